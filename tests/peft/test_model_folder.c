/* A model written and read again: the same numbers, under names that transformers knows. */
#include "peft/model_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/safetensors.h"
#include "ops/ops.h"
#include "peft/inject.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/read.h"

enum { TOKENS = 7, SEQUENCES = 2, LABELS = 3 };

static peft_error error;

static peft_model *open_model(const char *folder, const peft_model_options *options)
{
    char path[512];
    peft_model *model;
    if (!folder) snprintf(path, sizeof path, "%s/goldens/models/bert", getenv("PEFT_FIXTURES"));
    ck_assert_msg(!peft_model_open(&model, folder ? folder : path, options, &error), "%s", error.message);
    return model;
}

static void compute_logits(const peft_model *model, float logits[SEQUENCES * LABELS])
{
    static const int32_t starts[] = {0, 3, TOKENS}, ids[] = {2, 30, 3, 2, 17, 99, 3}, types[TOKENS];
    static const int32_t positions[] = {0, 1, 2, 0, 1, 2, 3};
    const peft_batch batch = {.num_tokens = TOKENS, .num_sequences = SEQUENCES, .starts = starts};
    const peft_model_input input = {ids, types, positions};
    const peft_model_run run = {&batch, &input, false};
    peft_graph *g;
    peft_context *ctx;
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    peft_tensor *y = peft_graph_keep(g, peft_model_logits(g, model, &run));
    ck_assert(!peft_graph_run(g, ctx, &error));
    memcpy(logits, read_values(g, y), SEQUENCES * LABELS * sizeof *logits);
    peft_graph_free(g);
    peft_context_close(ctx);
}

/* Every value moved a little, as training does. */
static void move_all(peft_model *model)
{
    int64_t count;
    ck_assert(!peft_train_all_weights(model, &error));
    const peft_weight *weights = peft_model_weights(model, &count);
    for (int64_t k = 0; k < count; k++)
        for (int64_t i = 0; i < peft_shape_count(&weights[k].shape); i++)
            weights[k].value[i] += 1e-3F * (float)((i * 7 + k) % 13);
}

START_TEST(a_trained_model_is_read_as_it_was_written)
{
    char *const names[LABELS] = {(char[]){"no"}, (char[]){"maybe"}, (char[]){"yes"}};
    float before[SEQUENCES * LABELS], moved[SEQUENCES * LABELS], after[SEQUENCES * LABELS];
    peft_model *model = open_model(NULL, NULL);
    compute_logits(model, before);
    move_all(model);
    compute_logits(model, moved);
    ck_assert(memcmp(before, moved, sizeof before) != 0);
    ck_assert_msg(!peft_model_save(model, PEFT_F32, names, scratch("trained"), &error), "%s", error.message);
    peft_model_close(model);

    model = open_model(scratch("trained"), NULL);
    ck_assert(peft_model_has_trained_head(model));
    compute_logits(model, after);
    ck_assert_mem_eq(moved, after, sizeof moved);
    peft_model_close(model);
    json_t *config;
    ck_assert(!peft_json_load(scratch("trained/config.json"), &config, &error));
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(config, "id2label"), "1")), "maybe");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(config, "label2id"), "yes")), 2);
    ck_assert_str_eq(json_string_value(json_object_get(config, "model_type")), "bert");
    ck_assert_ptr_null(json_object_get(config, "problem_type"));
    json_decref(config);
}
END_TEST

START_TEST(a_score_is_a_regression)
{
    const peft_model_options options = {.num_labels = 1, .regression = true};
    peft_model *model = open_model(NULL, &options);
    ck_assert(!peft_model_save(model, PEFT_F32, NULL, scratch("score"), &error));
    peft_model_close(model);
    model = open_model(scratch("score"), NULL);
    ck_assert_int_eq(peft_model_num_labels(model), 1);
    ck_assert(peft_model_has_trained_head(model));
    peft_model_close(model);
    json_t *config;
    ck_assert(!peft_json_load(scratch("score/config.json"), &config, &error));
    ck_assert_str_eq(json_string_value(json_object_get(config, "problem_type")), "regression");
    json_decref(config);
}
END_TEST

START_TEST(an_encoder_stays_one)
{
    const peft_model_options options = {.part = PEFT_MODEL_ENCODER};
    peft_model *model = open_model(NULL, &options);
    int64_t before, after;
    peft_model_weights(model, &before);
    ck_assert(!peft_model_save(model, PEFT_F32, NULL, scratch("encoder"), &error));
    peft_model_close(model);
    model = open_model(scratch("encoder"), &options);
    peft_model_weights(model, &after);
    ck_assert_int_eq(before, after);
    ck_assert(!peft_model_has_trained_head(model));
    peft_model_close(model);
    json_t *config;
    ck_assert(!peft_json_load(scratch("encoder/config.json"), &config, &error));
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(config, "architectures"), 0)), "BertModel");
    json_decref(config);
}
END_TEST

START_TEST(failing_allocations_are_reported)
{
    peft_model *model = open_model(NULL, NULL);
    const char *folder = scratch("failing");
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        fail_allocation(call);
        peft_status status = peft_model_save(model, PEFT_F32, NULL, folder, NULL);
        failed = allocation_failed();
        /* jansson takes a document for malformed, or drops letters of a long key, where its buffer cannot grow. */
        ck_assert_msg(failed || status == PEFT_OK, "without a failure: %s", peft_status_text(status));
    }
    peft_model_close(model);
}
END_TEST

TEST_MAIN("model_folder", tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
          tcase_add_test(tc, a_trained_model_is_read_as_it_was_written); tcase_add_test(tc, a_score_is_a_regression);
          tcase_add_test(tc, an_encoder_stays_one); tcase_add_test(tc, failing_allocations_are_reported))
