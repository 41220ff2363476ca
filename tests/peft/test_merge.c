#include "peft/merge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"
#include "peft/adapter_folder.h"
#include "peft/inject.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/read.h"

static const char *const goldens[] = {"lora-all", "rslora", "rank-pattern", "layers"};
enum { NUM_GOLDENS = sizeof goldens / sizeof *goldens, TOKENS = 9, SEQUENCES = 2, LABELS = 3 };

/* One rounding of a sum of some weights below 1 against PEFT's two. */
static const double WEIGHT_TOLERANCE = 1e-6;
/* Two layers of float sums. */
static const double LOGIT_TOLERANCE = 1e-5;

static peft_error error;
static peft_model *model;
static peft_adapters *adapters;

static const char *fixture(const char *kind, const char *name, const char *rest)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/goldens/%s/%s%s", getenv("PEFT_FIXTURES"), kind, name, rest);
    return path;
}

static void open_golden(const char *name)
{
    ck_assert_msg(!peft_model_open(&model, fixture("models", "bert", ""), NULL, &error), "%s", error.message);
    ck_assert_msg(!peft_adapter_load(model, fixture("variants", name, "/adapter"), NULL, &adapters, NULL, &error), "%s",
                  error.message);
}

static void close_golden(void)
{
    peft_detach(model, adapters);
    peft_adapters_free(adapters);
    peft_model_close(model);
}

static void compute_logits(float *logits)
{
    static const int32_t starts[] = {0, 4, TOKENS}, types[TOKENS] = {0};
    static const int32_t ids[TOKENS] = {2, 17, 45, 3, 2, 99, 8, 51, 3}, positions[TOKENS] = {0, 1, 2, 3, 0, 1, 2, 3, 4};
    const peft_batch batch = {.num_tokens = TOKENS, .num_sequences = SEQUENCES, .starts = starts};
    const peft_model_input input = {ids, types, positions};
    peft_graph *g;
    peft_context *ctx;
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    peft_tensor *y = peft_graph_keep(g, peft_model_logits(g, model, &(peft_model_run){&batch, &input, false}));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    memcpy(logits, read_values(g, y), SEQUENCES * LABELS * sizeof(float));
    peft_graph_free(g);
    peft_context_close(ctx);
}

static const float *values_of(const char *name)
{
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    for (int64_t i = 0; i < count; i++)
        if (strcmp(weights[i].name, name) == 0) return peft_weight_values(&weights[i], &(float *){NULL});
    ck_abort_msg("%s: no such weight", name);
}

static void check_weight(const peft_file_tensor *tensor)
{
    const float *found = values_of(tensor->name), *expected = tensor->data;
    for (int64_t i = 0; i < peft_shape_count(&tensor->shape); i++)
        ck_assert_msg(fabs((double)found[i] - (double)expected[i]) <= WEIGHT_TOLERANCE,
                      "%s[%lld]: expected %.9g, found %.9g", tensor->name, (long long)i, (double)expected[i],
                      (double)found[i]);
}

/* The file has the weights that the merge changes. */
START_TEST(merged_weights_are_those_of_peft)
{
    peft_merge *merge;
    peft_safetensors *expected;
    open_golden(goldens[_i]);
    ck_assert_msg(!peft_model_merge(model, &merge, &error), "%s", error.message);
    ck_assert(!peft_safetensors_open(fixture("variants", goldens[_i], "/merged.safetensors"), &expected, &error));
    for (size_t i = 0; i < peft_safetensors_count(expected); i++) check_weight(peft_safetensors_at(expected, i));
    peft_safetensors_close(expected);
    peft_model_unmerge(merge);
    close_golden();
}
END_TEST

START_TEST(a_merge_changes_no_logit_and_can_be_undone_to_the_bit)
{
    float adapted[SEQUENCES * LABELS], merged[SEQUENCES * LABELS], undone[SEQUENCES * LABELS];
    peft_merge *merge;
    open_golden(goldens[_i]);
    compute_logits(adapted);
    ck_assert(!peft_model_merge(model, &merge, &error));
    compute_logits(merged);
    peft_model_unmerge(merge);
    compute_logits(undone);
    for (int i = 0; i < SEQUENCES * LABELS; i++)
        ck_assert_double_eq_tol((double)merged[i], (double)adapted[i], LOGIT_TOLERANCE);
    ck_assert_mem_eq(undone, adapted, sizeof adapted);
    close_golden();
}
END_TEST

START_TEST(layers_that_share_a_weight_are_refused)
{
    peft_merge *merge;
    int64_t count;
    open_golden("rslora");
    peft_linear_layer *linears = peft_model_linears(model, &count);
    const peft_base_linear own = linears[1].base;
    linears[1].base.weight = linears[0].base.weight;
    ck_assert_int_eq(peft_model_merge(model, &merge, &error), PEFT_ERR_UNSUPPORTED);
    ck_assert_ptr_null(merge);
    ck_assert_ptr_nonnull(strstr(error.message, "shares its weight with"));
    ck_assert_ptr_nonnull(linears[0].adapter);
    ck_assert_ptr_null(linears[0].base.weight->value);
    linears[1].base = own;
    close_golden();
}
END_TEST

START_TEST(every_failing_allocation_is_reported)
{
    open_golden("layers");
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_merge *merge;
        fail_allocation(call);
        peft_status status = peft_model_merge(model, &merge, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        peft_model_unmerge(merge);
    }
    close_golden();
}
END_TEST

TEST_MAIN("merge", tcase_add_loop_test(tc, merged_weights_are_those_of_peft, 0, NUM_GOLDENS);
          tcase_add_loop_test(tc, a_merge_changes_no_logit_and_can_be_undone_to_the_bit, 0, NUM_GOLDENS);
          tcase_add_test(tc, layers_that_share_a_weight_are_refused);
          tcase_add_test(tc, every_failing_allocation_is_reported))
