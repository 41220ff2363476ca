/* Observations belong together by module and name, however many a batch has of them. */
#include "peft/observations.h"

#include <stdio.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/side.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/variants/adapted_layer.h"

typedef struct seen {
    const char *module, *name;
    int count;
    float values[3];
} seen;

/* One batch, in which `all` [count] are observed. */
static peft_status add_batch(peft_observations *o, const seen *all, int count, double weight, peft_error *error)
{
    peft_graph *g;
    peft_context *ctx;
    ck_assert(!peft_graph_create(&g, NULL) && !peft_context_open(&ctx, NULL, NULL));
    for (int k = 0; k < count; k++)
        peft_graph_observe(g, all[k].module, all[k].name,
                           peft_constant(g, PEFT_F32, peft_shape_1(all[k].count), all[k].values, "values"));
    ck_assert(!peft_graph_run(g, ctx, NULL));
    peft_status status = peft_observations_add(o, g, weight, error);
    peft_graph_free(g);
    peft_context_close(ctx);
    return status;
}

/* The lines of one step, read back; NULL past the end. */
static json_t *read_line(FILE *file)
{
    char line[4096];
    return fgets(line, sizeof line, file) ? json_loads(line, 0, NULL) : NULL;
}

static void check_line(FILE *file, const char *module, const char *name, int count, const double *values)
{
    json_t *line = read_line(file);
    ck_assert_ptr_nonnull(line);
    ck_assert_str_eq(json_string_value(json_object_get(line, "module")), module);
    ck_assert_str_eq(json_string_value(json_object_get(line, "name")), name);
    const json_t *found = json_object_get(line, "values");
    ck_assert_uint_eq(json_array_size(found), (size_t)count);
    for (int i = 0; i < count; i++)
        ck_assert_double_eq_tol(json_real_value(json_array_get(found, (size_t)i)), values[i], 1e-12);
    json_decref(line);
}

START_TEST(batches_may_see_a_thing_once_or_for_each_sequence)
{
    static const seen first[] = {{"a", "load", 2, {1, 3}}, {"b", "load", 1, {5}}}, more[] = {{"a", "load", 2, {2, 0}},
                                                                                             {"a", "load", 2, {4, 2}},
                                                                                             {"a", "load", 2, {0, 1}},
                                                                                             {"a", "entropy", 1, {7}},
                                                                                             {"b", "load", 1, {1}}};
    peft_observations o;
    peft_error error;
    const peft_parameters none = {0};
    peft_observations_open(&o, scratch("observations.jsonl"));
    /* The longer batch comes first, then last: neither decides what the other has. */
    for (int turn = 0; turn < 2; turn++) {
        ck_assert(!add_batch(&o, turn ? first : more, turn ? 2 : 5, turn ? 6 : 2, &error));
        ck_assert(!add_batch(&o, turn ? more : first, turn ? 5 : 2, turn ? 2 : 6, &error));
        ck_assert(!peft_observations_write(&o, turn + 1, &none, &error));
    }
    peft_observations_close(&o);
    FILE *file = fopen(scratch("observations.jsonl"), "r");
    ck_assert_ptr_nonnull(file);
    const double load[] = {(6 * 1 + 2 * 2) / 8.0, (6 * 3 + 2 * 1) / 8.0}, other[] = {(6 * 5 + 2 * 1) / 8.0};
    const double entropy[] = {7}; /* of the batch that saw it */
    check_line(file, "a", "load", 2, load);
    check_line(file, "a", "entropy", 1, entropy);
    check_line(file, "b", "load", 1, other);
    check_line(file, "a", "load", 2, load);
    check_line(file, "b", "load", 1, other);
    check_line(file, "a", "entropy", 1, entropy);
    ck_assert_ptr_null(read_line(file));
    fclose(file);
}
END_TEST

START_TEST(other_sizes_than_before_are_refused)
{
    static const seen two[] = {{"a", "load", 2, {1, 3}}}, three[] = {{"a", "load", 3, {1, 3, 5}}};
    peft_observations o;
    peft_error error;
    peft_observations_open(&o, scratch("observations.jsonl"));
    ck_assert(!add_batch(&o, two, 1, 1, &error));
    ck_assert_int_eq(add_batch(&o, three, 1, 1, &error), PEFT_ERR_SHAPE);
    ck_assert_ptr_nonnull(strstr(error.message, "a: load: expected 2 numbers"));
    peft_observations_close(&o);
}
END_TEST

/* A batch of MoLoRA's layer; with `own`, each sequence has adapters of its own. */
static peft_status add_layer(peft_observations *o, const adapted_layer *l, bool own, peft_error *error)
{
    peft_graph *g;
    peft_context *ctx;
    ck_assert(!peft_graph_create(&g, NULL) && !peft_context_open(&ctx, NULL, NULL));
    for (int32_t v = 0; v < l->adapter->num_values && own; v++) {
        const peft_value *value = &l->adapter->values[v];
        peft_shape one = {.ndim = 1, .size = {1}};
        for (int32_t d = 0; d < value->spec.shape.ndim; d++) one.size[one.ndim++] = value->spec.shape.size[d];
        peft_tensor *leaf = peft_reshape(g, peft_constant(g, PEFT_F32, value->spec.shape, value->data, "own"), one);
        peft_graph_bind(g, value, peft_concat(g, 0, (peft_tensor *[]){leaf, leaf}, 2));
    }
    layer_forward(g, l);
    ck_assert(!peft_graph_run(g, ctx, NULL));
    peft_status status = peft_observations_add(o, g, 11, error);
    peft_graph_free(g);
    peft_context_close(ctx);
    return status;
}

START_TEST(adapters_for_each_sequence_and_for_all_can_share_a_step)
{
    const layer_case sizes = {.in_features = 8, .out_features = 6, .rank = 3, .tokens = 11, .alpha = 2.5};
    adapted_layer l;
    peft_observations o;
    peft_error error;
    layer_open(&l, peft_variant_find("molora"), sizes, NULL);
    layer_shake(&l);
    peft_observations_open(&o, scratch("observations.jsonl"));
    ck_assert_msg(!add_layer(&o, &l, false, &error), "%s", error.message);
    int64_t items = o.num_items;
    ck_assert_msg(!add_layer(&o, &l, true, &error), "%s", error.message);
    ck_assert_int_eq(o.num_items, items);
    double sum = 0;
    for (int64_t e = 0; e < o.items[0].count; e++) sum += o.items[0].sums[e] / o.items[0].weight;
    ck_assert_double_eq_tol(sum, 1, 1e-6); /* the load of all experts */
    peft_observations_close(&o);
    layer_close(&l);
}
END_TEST

START_TEST(memory_may_run_out)
{
    static const seen all[] = {{"a", "load", 2, {1, 3}}, {"b", "load", 1, {5}}, {"a", "load", 2, {1, 3}}};
    peft_graph *g;
    peft_context *ctx;
    ck_assert(!peft_graph_create(&g, NULL) && !peft_context_open(&ctx, NULL, NULL));
    for (int k = 0; k < 3; k++)
        peft_graph_observe(g, all[k].module, all[k].name,
                           peft_constant(g, PEFT_F32, peft_shape_1(all[k].count), all[k].values, "values"));
    ck_assert(!peft_graph_run(g, ctx, NULL));
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_observations o;
        peft_observations_open(&o, scratch("observations.jsonl"));
        fail_allocation(call);
        peft_status status = peft_observations_add(&o, g, 1, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        peft_observations_close(&o);
    }
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("observations");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_add_test(tc, batches_may_see_a_thing_once_or_for_each_sequence);
    tcase_add_test(tc, other_sizes_than_before_are_refused);
    tcase_add_test(tc, adapters_for_each_sequence_and_for_all_can_share_a_step);
    tcase_add_test(tc, memory_may_run_out);
    return run_tests(tc);
}
