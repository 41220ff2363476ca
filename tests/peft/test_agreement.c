/* Two models side by side. */
#include "peft/agreement.h"

#include <math.h>
#include <string.h>

#include "peft/inject.h"
#include "tests/peft/tiny_bert.h"
#include "tests/support/main.h"

static peft_error error;
static peft_context *ctx;
static peft_model *first, *second;

static void setup(void)
{
    ck_assert(!peft_context_open(&ctx, NULL, &error));
    first = tiny_open();
    second = tiny_open();
}

static void teardown(void)
{
    peft_model_close(first);
    peft_model_close(second);
    peft_context_close(ctx);
}

static peft_weight *head_bias(peft_model *model)
{
    int64_t count;
    peft_weight *weights = peft_model_weights(model, &count);
    for (int64_t k = 0; k < count; k++)
        if (strcmp(weights[k].name, "classifier.bias") == 0) return &weights[k];
    ck_abort_msg("the model has no head");
}

/* The head's bias is a term of every logit. */
START_TEST(the_difference_is_that_of_the_logits)
{
    peft_agreement same, moved;
    ck_assert_msg(!peft_models_compare(ctx, first, second, &same, &error), "%s", error.message);
    ck_assert_double_eq(same.difference, 0);
    ck_assert_double_gt(same.largest, 0.1);
    ck_assert_int_gt(same.sequences, 1);
    ck_assert(!peft_train_all_weights(second, &error));
    head_bias(second)->value[1] += 0.25F;
    ck_assert(!peft_models_compare(ctx, first, second, &moved, &error));
    ck_assert_double_eq_tol(moved.difference, 0.25, 1e-6);
    ck_assert_double_eq(moved.largest, same.largest);
}
END_TEST

START_TEST(answers_that_are_no_numbers_are_an_error)
{
    peft_agreement agreement;
    ck_assert(!peft_train_all_weights(second, &error));
    head_bias(second)->value[0] = NAN;
    ck_assert_int_eq(peft_models_compare(ctx, first, second, &agreement, &error), PEFT_ERR_NUMERIC);
}
END_TEST

START_TEST(models_of_other_labels_are_refused)
{
    peft_agreement agreement;
    peft_model *other;
    ck_assert(!peft_model_open(&other, tiny_golden("models/bert"), &(peft_model_options){.num_labels = 5}, &error));
    ck_assert_int_eq(peft_models_compare(ctx, first, other, &agreement, &error), PEFT_ERR_ARGUMENT);
    peft_model_close(other);
}
END_TEST

TEST_MAIN("agreement", tcase_add_checked_fixture(tc, setup, teardown);
          tcase_add_test(tc, the_difference_is_that_of_the_logits);
          tcase_add_test(tc, answers_that_are_no_numbers_are_an_error);
          tcase_add_test(tc, models_of_other_labels_are_refused))
