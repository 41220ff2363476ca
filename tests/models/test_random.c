/* Models of random weights: what is written opens as the model that was described. */
#include <math.h>
#include <string.h>

#include "models/model.h"
#include "models/random.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

enum { LAYERS = 2, HIDDEN = 32, INTERMEDIATE = 48, VOCAB = 100 };

static peft_error error;

static json_t *config_of(const char *type, int heads)
{
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "model_type", type, "vocab_size", VOCAB, "hidden_size",
                     HIDDEN, "num_hidden_layers", LAYERS, "num_attention_heads", heads, "intermediate_size",
                     INTERMEDIATE, "max_position_embeddings", 64, "type_vocab_size", 2);
}

static peft_model *write_and_open(uint64_t seed)
{
    json_t *config = config_of("bert", 4);
    peft_model *model = NULL;
    ck_assert_msg(!peft_random_model_write(scratch(""), config, seed, &error), "%s", error.message);
    ck_assert_msg(!peft_model_open(&model, scratch(""), NULL, &error), "%s", error.message);
    json_decref(config);
    return model;
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

START_TEST(it_opens_as_described)
{
    peft_model *model = write_and_open(1);
    int64_t linears;
    peft_model_linears(model, &linears);
    ck_assert_int_eq(linears, 6 * LAYERS + 2); /* and pooler and classifier */
    ck_assert_int_eq(peft_model_hidden_size(model), HIDDEN);
    ck_assert_int_eq(peft_model_vocab_size(model), VOCAB);
    ck_assert(peft_model_has_trained_head(model));
    peft_model_close(model);
}
END_TEST

/* Scales of norms 1, biases 0, matrices about 0 with deviation 0.02, so that activations keep their size. */
START_TEST(values_are_those_of_a_start)
{
    peft_model *model = write_and_open(1);
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    for (int64_t k = 0; k < count; k++) {
        const float *values = peft_weight_values(&weights[k], &(float *){NULL});
        int64_t size = peft_shape_count(&weights[k].shape);
        double squares = 0;
        for (int64_t i = 0; i < size; i++) squares += (double)values[i] * (double)values[i];
        double deviation = sqrt(squares / (double)size);
        bool scale = ends_with(weights[k].name, "LayerNorm.weight");
        double expected = scale ? 1 : weights[k].shape.ndim == 1 ? 0 : 0.02;
        ck_assert_msg(fabs(deviation - expected) < 0.2 * 0.02, "%s: %g, expected %g", weights[k].name, deviation,
                      expected);
    }
    peft_model_close(model);
}
END_TEST

START_TEST(the_seed_decides)
{
    float first[3];
    for (int k = 0; k < 3; k++) {
        peft_model *model = write_and_open(k == 2 ? 2 : 1);
        int64_t count;
        first[k] = peft_weight_values(&peft_model_weights(model, &count)[0], &(float *){NULL})[0];
        peft_model_close(model);
    }
    ck_assert(memcmp(&first[0], &first[1], sizeof first[0]) == 0);
    ck_assert(memcmp(&first[0], &first[2], sizeof first[0]) != 0);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    json_t *unknown = config_of("gpt9", 4), *odd = config_of("bert", 5), *good = config_of("bert", 4);
    ck_assert_int_eq(peft_random_model_write(scratch(""), unknown, 0, &error), PEFT_ERR_UNSUPPORTED);
    ck_assert(strstr(error.message, "gpt9"));
    ck_assert_int_eq(peft_random_model_write(scratch(""), odd, 0, &error), PEFT_ERR_FORMAT);
    ck_assert_int_eq(peft_random_model_write(scratch("nowhere"), good, 0, &error), PEFT_ERR_WRITE);
    ck_assert_uint_eq(scratch_count(), 0);
    json_decref(unknown);
    json_decref(odd);
    json_decref(good);
}
END_TEST

START_TEST(failing_allocations_are_reported)
{
    json_t *config = config_of("bert", 4);
    const char *folder = scratch("");
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        fail_own_allocation(call);
        peft_status status = peft_random_model_write(folder, config, 0, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
    }
    json_decref(config);
}
END_TEST

TEST_MAIN("random", tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
          tcase_add_test(tc, it_opens_as_described); tcase_add_test(tc, values_are_those_of_a_start);
          tcase_add_test(tc, the_seed_decides); tcase_add_test(tc, what_cannot_be_is_refused);
          tcase_add_test(tc, failing_allocations_are_reported))
