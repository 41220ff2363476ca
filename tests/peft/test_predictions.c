/* Tests of peft/predictions.c: what is written is read back to the bit, and nothing else is taken for it. */
#include "peft/predictions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/safetensors.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"

static peft_error error;

enum { COUNT = 4, LABELS = 3 };
static const float logits[COUNT * LABELS] = {0.1F,  0.2F,  -3.0F, 5.0F, 5.0F, 1.0F,
                                             -1.0F, -2.0F, -0.5F, 0.0F, 0.0F, 0.0F};
static const int32_t classes[COUNT] = {1, 0, 2, 2}, answers[COUNT] = {1, 0, 2, 0};
static const float scores[COUNT] = {0.5F, 1.0F, 2.5F, 5.0F};
static const peft_predictions_source source = {"sst2", "dev", "0123456789abcdef0123456789abcdef"};

static const char *path;

static void setup(void)
{
    scratch_setup();
    path = scratch(PEFT_PREDICTIONS_NAME);
}

static peft_status save_classes(peft_error *e)
{
    const peft_outcomes outcomes = {.count = COUNT, .predicted_scores = logits, .classes = classes, .positive = 0};
    return peft_predictions_save(&outcomes, LABELS, &source, path, e);
}

static void refuses(peft_status expected, const char *message)
{
    peft_predictions p;
    ck_assert_int_eq(peft_predictions_load(&p, path, &error), expected);
    ck_assert_msg(strstr(error.message, message) != NULL, "%s", error.message);
    ck_assert_ptr_null(p.logits);
}

START_TEST(classes_come_back_to_the_bit)
{
    peft_predictions p;
    ck_assert_int_eq(save_classes(&error), PEFT_OK);
    ck_assert_msg(peft_predictions_load(&p, path, &error) == PEFT_OK, "%s", error.message);
    ck_assert_uint_eq(p.count, COUNT);
    ck_assert_uint_eq(p.num_labels, LABELS);
    ck_assert_mem_eq(p.logits, logits, sizeof logits);
    ck_assert_mem_eq(p.classes, classes, sizeof classes);
    ck_assert_mem_eq(p.answers, answers, sizeof answers);
    ck_assert_ptr_null(p.scores);
    ck_assert_int_eq(p.positive, 0);
    ck_assert_str_eq(p.fingerprint, source.fingerprint);
    const peft_outcomes outcomes = peft_predictions_outcomes(&p);
    double accuracy;
    ck_assert_int_eq(peft_metric_compute("accuracy", &outcomes, &accuracy, &error), PEFT_OK);
    ck_assert_double_eq(accuracy, 0.75);
    peft_predictions_free(&p);
}
END_TEST

START_TEST(scores_come_back_to_the_bit)
{
    peft_predictions p;
    const peft_outcomes outcomes = {.count = COUNT, .predicted_scores = logits, .scores = scores, .positive = 1};
    ck_assert_int_eq(peft_predictions_save(&outcomes, 1, &source, path, &error), PEFT_OK);
    ck_assert_msg(peft_predictions_load(&p, path, &error) == PEFT_OK, "%s", error.message);
    ck_assert_mem_eq(p.logits, logits, COUNT * sizeof *logits);
    ck_assert_mem_eq(p.scores, scores, sizeof scores);
    ck_assert_ptr_null(p.classes);
    ck_assert_int_eq(p.positive, 1);
    peft_predictions_free(&p);
}
END_TEST

START_TEST(a_changed_byte_is_seen)
{
    ck_assert_int_eq(save_classes(&error), PEFT_OK);
    FILE *file = fopen(path, "r+b");
    ck_assert_int_eq(fseek(file, -1, SEEK_END), 0);
    ck_assert_int_eq(fputc(1, file), 1);
    ck_assert_int_eq(fclose(file), 0);
    refuses(PEFT_ERR_FORMAT, "checksum");
}
END_TEST

/* A file of such tensors, without a checksum. */
static void write_tensors(const peft_file_tensor *tensors, size_t count)
{
    ck_assert_int_eq(peft_safetensors_write(path, tensors, count, NULL, 0, &error), PEFT_OK);
}

START_TEST(what_is_no_prediction_is_refused)
{
    static const int32_t beyond[COUNT] = {1, 0, 3, 2}, below[COUNT] = {1, 0, -1, 2};
    const float endless[COUNT * LABELS] = {[5] = (float)INFINITY};
    peft_file_tensor t[] = {
        {.name = "logits",
         .dtype = PEFT_F32,
         .shape = peft_shape_2(COUNT, LABELS),
         .data = logits,
         .bytes = sizeof logits},
        {.name = "labels", .dtype = PEFT_I32, .shape = peft_shape_1(COUNT), .data = classes, .bytes = sizeof classes}};
    refuses(PEFT_ERR_FILE, PEFT_PREDICTIONS_NAME);
    write_tensors(t, 1);
    refuses(PEFT_ERR_FORMAT, "a tensor labels of 1 dimensions, found none");
    write_tensors(t + 1, 1);
    refuses(PEFT_ERR_FORMAT, "a tensor logits of 2 dimensions, found none");
    t[1].data = beyond;
    write_tensors(t, 2);
    refuses(PEFT_ERR_FORMAT, "labels: number 2: expected a class below 3, found 3");
    t[1].data = below;
    write_tensors(t, 2);
    refuses(PEFT_ERR_FORMAT, "labels: number 2: expected a class below 3, found -1");
    t[1].data = classes;
    t[1].shape = peft_shape_1(COUNT - 1);
    t[1].bytes = (COUNT - 1) * sizeof *classes;
    write_tensors(t, 2);
    refuses(PEFT_ERR_FORMAT, "labels: expected 4, found 3");
    t[1].shape = peft_shape_1(COUNT);
    t[1].bytes = sizeof classes;
    t[0].data = endless;
    write_tensors(t, 2);
    refuses(PEFT_ERR_NUMERIC, "logits: number 5 is inf");
    t[0].shape = peft_shape_2(0, LABELS);
    t[0].bytes = 0;
    write_tensors(t, 2);
    refuses(PEFT_ERR_FORMAT, "a tensor logits of 2 dimensions, found [0, 3]");
    t[0] = (peft_file_tensor){.name = "logits",
                              .dtype = PEFT_I32,
                              .shape = peft_shape_2(COUNT, LABELS),
                              .data = logits,
                              .bytes = sizeof logits};
    write_tensors(t, 2);
    refuses(PEFT_ERR_FORMAT, "logits: expected F32, found I32");
}
END_TEST

START_TEST(running_out_of_memory_leaves_nothing)
{
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        fail_own_allocation(call);
        peft_status status = save_classes(NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert_int_eq(access(path, F_OK) == 0, !failed);
    }
    failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_predictions p;
        fail_own_allocation(call);
        peft_status status = peft_predictions_load(&p, path, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        peft_predictions_free(&p);
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("predictions");
    tcase_add_checked_fixture(tc, setup, scratch_teardown);
    tcase_add_test(tc, classes_come_back_to_the_bit);
    tcase_add_test(tc, scores_come_back_to_the_bit);
    tcase_add_test(tc, a_changed_byte_is_seen);
    tcase_add_test(tc, what_is_no_prediction_is_refused);
    tcase_add_test(tc, running_out_of_memory_leaves_nothing);
    return run_tests(tc);
}
