/* What is true of every registered variant. */
#include <string.h>

#include "ops/ops.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/read.h"
#include "tests/variants/layer_training.h"

/* Two orders of summing a few dozen float products. */
static const double FLOAT_TOLERANCE = 1e-5;

/* Odd sizes, ranks of 1 and above both sizes, one token. */
static const layer_case cases[] = {
    {.in_features = 7, .out_features = 5, .rank = 3, .tokens = 11, .alpha = 2.5},
    {.in_features = 7, .out_features = 5, .rank = 1, .tokens = 1, .alpha = 1},
    {.in_features = 5, .out_features = 7, .rank = 9, .tokens = 4, .alpha = 8},
    {.in_features = 64, .out_features = 48, .rank = 4, .tokens = 40, .alpha = 16},
};
enum { NUM_CASES = sizeof cases / sizeof *cases, SMALL_CASES = 3 };

static int num_variants(void)
{
    int count = 0;
    while (peft_variant_at((size_t)count)) count++;
    return count;
}

static const peft_variant *variant_of(int i)
{
    return peft_variant_at((size_t)(i / NUM_CASES));
}

static const layer_case *case_of(int i)
{
    return &cases[i % NUM_CASES];
}

static int64_t outputs_of(const adapted_layer *l)
{
    return l->sizes.tokens * l->sizes.out_features;
}

static float *base_output(adapted_layer *l)
{
    peft_adapter *adapter = l->adapter;
    l->adapter = NULL;
    float *y = layer_output(l, 1);
    l->adapter = adapter;
    return y;
}

START_TEST(a_new_adapter_changes_no_output)
{
    adapted_layer l;
    layer_open(&l, variant_of(_i), *case_of(_i), NULL);
    float *y = layer_output(&l, 1), *expected = base_output(&l);
    ck_assert_msg(largest_difference(y, expected, outputs_of(&l)) == 0, "%s: the start is not the base layer",
                  layer_text(&l));
    free(y);
    free(expected);
    layer_close(&l);
}
END_TEST

/* By default DoRA's backward is not the derivative of its forward (variants/dora.c). */
static const char *differentiable(const peft_variant *variant)
{
    return strcmp(variant->name, "dora") == 0 ? "norm_gradient=full" : NULL;
}

START_TEST(backward_is_the_adjoint_of_forward)
{
    if (_i % NUM_CASES >= SMALL_CASES) return;
    adapted_layer l;
    layer_open(&l, variant_of(_i), *case_of(_i), differentiable(variant_of(_i)));
    layer_shake(&l);
    layer_check_gradient(&l);
    layer_close(&l);
}
END_TEST

static void check_close(const adapted_layer *l, const char *what, const float *found, const float *expected,
                        int64_t count)
{
    double off = largest_difference(found, expected, count);
    double limit = FLOAT_TOLERANCE * (1 + largest_value(expected, count));
    ck_assert_msg(off <= limit, "%s: %s is off by %g, expected at most %g", layer_text(l), what, off, limit);
}

START_TEST(merged_weights_give_the_adapted_output)
{
    const peft_variant *variant = variant_of(_i);
    adapted_layer l;
    peft_error error = {0};
    layer_open(&l, variant, *case_of(_i), NULL);
    layer_shake(&l);
    float *expected = layer_output(&l, 1);
    peft_status status = peft_adapter_merge(l.adapter, l.weight_data, l.bias_data, &error);
    if (variant->merge || variant->to_lora) {
        ck_assert_msg(!status, "%s: %s", layer_text(&l), error.message);
        float *y = base_output(&l);
        check_close(&l, "the merged output", y, expected, outputs_of(&l));
        free(y);
    } else {
        ck_assert_msg(status == PEFT_ERR_UNSUPPORTED && strstr(error.message, variant->name),
                      "%s: expected a refusal, found %d: %s", layer_text(&l), status, error.message);
    }
    free(expected);
    layer_close(&l);
}
END_TEST

START_TEST(the_weight_gives_the_adapted_output)
{
    adapted_layer l;
    layer_open(&l, variant_of(_i), *case_of(_i), NULL);
    layer_shake(&l);
    ck_assert_msg(layer_has_weight(&l) == (variant_of(_i)->weight != NULL), "%s: is there a weight?", layer_text(&l));
    if (layer_has_weight(&l)) {
        float *y = layer_output_by_weight(&l), *expected = layer_output(&l, 1);
        check_close(&l, "the output of the weight", y, expected, outputs_of(&l));
        free(y);
        free(expected);
    }
    layer_close(&l);
}
END_TEST

/* A LoRA made of the exported factors, put in place of the adapter. */
static float *exported_output(adapted_layer *l, const peft_lora_factors *f)
{
    adapted_layer plain;
    layer_case sizes = l->sizes;
    sizes.rank = f->rank;
    sizes.alpha = f->scaling * (double)f->rank;
    layer_open(&plain, peft_variant_find("lora"), sizes, NULL);
    memcpy(plain.adapter->values[0].data, f->A, (size_t)(f->rank * sizes.in_features) * sizeof(float));
    memcpy(plain.adapter->values[1].data, f->B, (size_t)(f->rank * sizes.out_features) * sizeof(float));
    float *y = layer_output(&plain, 1);
    layer_close(&plain);
    return y;
}

START_TEST(the_exported_lora_gives_the_same_output)
{
    const peft_variant *variant = variant_of(_i);
    adapted_layer l;
    peft_lora_factors factors;
    peft_error error = {0};
    layer_open(&l, variant, *case_of(_i), NULL);
    layer_shake(&l);
    if (variant->to_lora) {
        ck_assert_msg(!peft_adapter_to_lora(l.adapter, &factors, &error), "%s: %s", layer_text(&l), error.message);
        float *y = exported_output(&l, &factors), *expected = layer_output(&l, 1);
        check_close(&l, "the exported LoRA", y, expected, outputs_of(&l));
        free(y);
        free(expected);
        free(factors.A);
        free(factors.B);
    } else {
        ck_assert_msg(peft_adapter_to_lora(l.adapter, &factors, &error) == PEFT_ERR_UNSUPPORTED,
                      "%s: expected a refusal", layer_text(&l));
    }
    layer_close(&l);
}
END_TEST

START_TEST(twice_the_alpha_is_twice_the_update)
{
    const peft_variant *variant = variant_of(_i);
    if (!peft_options_find(variant->options, "alpha") || variant->merge) return; /* no sum W + s B A */
    adapted_layer once, twice;
    layer_case doubled = *case_of(_i);
    doubled.alpha *= 2;
    layer_open(&once, variant, *case_of(_i), NULL);
    layer_open(&twice, variant, doubled, NULL);
    layer_shake(&once);
    layer_shake(&twice);
    float *base = base_output(&once), *y1 = layer_output(&once, 1), *y2 = layer_output(&twice, 1);
    ck_assert_msg(largest_difference(y1, base, outputs_of(&once)) > 1e-3, "%s: no update", layer_text(&once));
    for (int64_t i = 0; i < outputs_of(&once); i++) y1[i] += y1[i] - base[i];
    check_close(&once, "the update of twice the alpha", y2, y1, outputs_of(&once));
    free(base);
    free(y1);
    free(y2);
    layer_close(&once);
    layer_close(&twice);
}
END_TEST

/* ---- batches and threads ---- */

/* Of first tokens, computed with all tokens and alone; and the losses that the adapter adds. */
static double first_outputs(const adapted_layer *l, bool alone, float *y)
{
    peft_graph *g;
    peft_context *ctx;
    peft_error error = {0};
    ck_assert(!peft_graph_create(&g, NULL) && !peft_context_open(&ctx, NULL, NULL));
    peft_shape inputs = peft_shape_2(l->sizes.tokens, l->sizes.in_features), one = peft_shape_1(1);
    peft_tensor *x = peft_constant(g, PEFT_F32, inputs, l->x, "x"), *starts = peft_batch_starts(g, &l->batch);
    const peft_batch *batch = alone ? peft_batch_pooled(g, &l->batch) : &l->batch;
    if (alone) x = peft_first_pool(g, x, starts);
    peft_tensor *out = peft_adapter_forward(g, l->adapter, &l->base, x, batch);
    out = peft_graph_keep(g, alone ? out : peft_first_pool(g, out, starts));
    const float zero = 0;
    peft_tensor *losses = peft_graph_total_loss(g, peft_constant(g, PEFT_F32, one, &zero, "zero"), 1);
    peft_graph_keep(g, losses);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s: %s", layer_text(l), error.message);
    ck_assert_msg(!peft_graph_observation_at(g, 0), "%s: an observation of tokens", layer_text(l));
    memcpy(y, read_values(g, out), (size_t)(l->batch.num_sequences * l->sizes.out_features) * sizeof *y);
    double added = (double)*(const float *)read_values(g, losses);
    peft_graph_free(g);
    peft_context_close(ctx);
    return added;
}

START_TEST(tokens_that_nobody_reads_can_be_left_out)
{
    enum { MOST = LAYER_SEQUENCES * 64 };
    if (!variant_of(_i)->by_token) return;
    adapted_layer l;
    float all[MOST], alone[MOST];
    layer_open(&l, variant_of(_i), *case_of(_i), NULL);
    layer_shake(&l);
    ck_assert_msg(first_outputs(&l, true, alone) == first_outputs(&l, false, all), "%s: a loss of tokens",
                  layer_text(&l));
    check_close(&l, "the first tokens alone", alone, all, l.batch.num_sequences * l.sizes.out_features);
    layer_close(&l);
}
END_TEST

START_TEST(the_number_of_threads_changes_no_bit)
{
    adapted_layer l;
    layer_open(&l, variant_of(_i), *case_of(_i), NULL);
    layer_shake(&l);
    float *one = layer_output(&l, 1), *two = layer_output(&l, 2);
    ck_assert_msg(memcmp(one, two, (size_t)outputs_of(&l) * sizeof(float)) == 0, "%s: two threads", layer_text(&l));
    free(one);
    free(two);
    layer_close(&l);
}
END_TEST

/* ---- training ---- */

enum { STEPS = 10 };

START_TEST(a_resumed_training_ends_in_the_same_bits)
{
    layer_training whole, begun, resumed;
    training_open(&whole, variant_of(_i), *case_of(_i), NULL, 1);
    training_run(&whole, 1, STEPS, STEPS);
    training_open(&begun, variant_of(_i), *case_of(_i), NULL, 1);
    for (int64_t step = 1; step < STEPS; step++) {
        training_run(&begun, step, step, STEPS);
        training_open(&resumed, variant_of(_i), *case_of(_i), NULL, 1);
        training_resume(&resumed, &begun);
        training_run(&resumed, step + 1, STEPS, STEPS);
        ck_assert_msg(training_same(&resumed, &whole), "%s: resumed after step %lld", layer_text(&whole.layer),
                      (long long)step);
        training_close(&resumed);
    }
    training_close(&whole);
    training_close(&begun);
}
END_TEST

START_TEST(training_on_more_threads_ends_in_the_same_bits)
{
    layer_training one, two;
    training_open(&one, variant_of(_i), *case_of(_i), NULL, 1);
    training_open(&two, variant_of(_i), *case_of(_i), NULL, 2);
    training_run(&one, 1, STEPS, STEPS);
    training_run(&two, 1, STEPS, STEPS);
    ck_assert_msg(training_same(&one, &two), "%s: two threads", layer_text(&one.layer));
    training_close(&one);
    training_close(&two);
}
END_TEST

/* ---- tables ---- */

typedef struct tally {
    const float *next; /* where the next trained value should begin */
    int64_t trained;
} tally;

static peft_status count_value(void *argument, const char *module, peft_value *value, peft_error *error)
{
    tally *t = argument;
    (void)module;
    (void)error;
    ck_assert_ptr_nonnull(value->spec.name);
    ck_assert_ptr_nonnull(value->data);
    ck_assert_int_eq(value->gradient != NULL, value->spec.kind == PEFT_VALUE_TRAINED);
    if (!value->gradient) return PEFT_OK;
    ck_assert_ptr_eq(value->data, t->next);
    t->trained += peft_shape_count(&value->spec.shape);
    t->next += peft_shape_count(&value->spec.shape);
    return PEFT_OK;
}

START_TEST(trained_values_lie_in_one_row)
{
    adapted_layer l;
    layer_open(&l, variant_of(_i), *case_of(_i), NULL);
    tally t = {.next = l.all->set.memory};
    ck_assert(!peft_adapters_each_value(l.all, count_value, &t, NULL));
    ck_assert_int_eq(t.trained, l.all->set.num_trained);
    ck_assert_int_gt(t.trained, 0);
    layer_close(&l);
}
END_TEST

START_TEST(tables_are_complete)
{
    const peft_variant *v = peft_variant_at((size_t)_i);
    peft_error error = {0};
    ck_assert_msg(!peft_variant_check(v, &error), "%s", error.message);
    ck_assert_ptr_eq(peft_variant_find(v->name), v);
    for (const peft_json_field *f = v->json_fields; f && f->json; f++) {
        json_t *initial = json_loads(f->initial, JSON_DECODE_ANY, NULL);
        ck_assert_msg(initial != NULL, "%s: json_fields: %s: \"%s\" is no JSON", v->name, f->json, f->initial);
        json_decref(initial);
    }
}
END_TEST

START_TEST(an_unknown_variant_is_refused_with_the_nearest)
{
    const peft_variant *variant;
    peft_error error = {0};
    ck_assert_int_eq(peft_variant_get("rs-lora", &variant, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_null(variant);
    ck_assert_ptr_nonnull(strstr(error.message, "did you mean \"rslora\"?"));
    ck_assert(!peft_variant_get("lora", &variant, &error));
    ck_assert_str_eq(variant->name, "lora");
}
END_TEST

/* ---- creation ---- */

static const peft_layer two_layers[] = {{"a.query", 6, 4}, {"b.query", 3, 8}};

static peft_adapters *create(const peft_variant *variant, const peft_layer *layers, int64_t count, uint64_t seed)
{
    void *options = calloc(1, variant->options_bytes);
    peft_adapters *all;
    peft_error error = {0};
    ck_assert(!peft_options_init(variant->options, options, &error));
    ck_assert_msg(!peft_adapters_create(&all, variant, options, layers, count, seed, &error), "%s", error.message);
    peft_options_free(variant->options, options);
    free(options);
    return all;
}

static bool same_values(const peft_adapter *a, const peft_adapter *b)
{
    bool same = a->num_values == b->num_values;
    for (int32_t v = 0; v < a->num_values && same; v++)
        same = memcmp(a->values[v].data, b->values[v].data,
                      (size_t)peft_shape_count(&a->values[v].spec.shape) * sizeof(float)) == 0;
    return same;
}

/* Some variants start from constants. */
static bool draws(const peft_adapter *a)
{
    bool random = false;
    for (int32_t v = 0; v < a->num_values; v++)
        random |= a->values[v].spec.start == PEFT_START_UNIFORM || a->values[v].spec.start == PEFT_START_NORMAL;
    return random;
}

START_TEST(start_values_depend_on_seed_and_name_alone)
{
    const peft_variant *variant = peft_variant_at((size_t)_i);
    const peft_layer turned[] = {two_layers[1], two_layers[0]};
    peft_adapters *first = create(variant, two_layers, 2, 1), *again = create(variant, turned, 2, 1);
    peft_adapters *other = create(variant, two_layers, 2, 2);
    ck_assert(same_values(&first->layers[0], peft_adapters_find(again, "a.query")));
    ck_assert(same_values(&first->layers[1], peft_adapters_find(again, "b.query")));
    ck_assert_ptr_null(peft_adapters_find(again, "c.query"));
    ck_assert_int_eq(same_values(&first->layers[0], &other->layers[0]), !draws(&first->layers[0]));
    peft_adapters_free(first);
    peft_adapters_free(again);
    peft_adapters_free(other);
}
END_TEST

START_TEST(creation_survives_a_failing_allocator)
{
    const peft_variant *variant = peft_variant_at((size_t)_i);
    void *options = calloc(1, variant->options_bytes);
    ck_assert(!peft_options_init(variant->options, options, NULL));
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_adapters *all;
        fail_allocation(call);
        peft_status status = peft_adapters_create(&all, variant, options, two_layers, 2, 1, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert_int_eq(all == NULL, failed);
        peft_adapters_free(all);
    }
    peft_options_free(variant->options, options);
    free(options);
}
END_TEST

TEST_MAIN("registry", int n = num_variants(); int pairs = n * NUM_CASES;
          tcase_add_loop_test(tc, a_new_adapter_changes_no_output, 0, pairs);
          tcase_add_loop_test(tc, backward_is_the_adjoint_of_forward, 0, pairs);
          tcase_add_loop_test(tc, merged_weights_give_the_adapted_output, 0, pairs);
          tcase_add_loop_test(tc, the_weight_gives_the_adapted_output, 0, pairs);
          tcase_add_loop_test(tc, the_exported_lora_gives_the_same_output, 0, pairs);
          tcase_add_loop_test(tc, twice_the_alpha_is_twice_the_update, 0, pairs);
          tcase_add_loop_test(tc, tokens_that_nobody_reads_can_be_left_out, 0, pairs);
          tcase_add_loop_test(tc, the_number_of_threads_changes_no_bit, 0, pairs);
          tcase_add_loop_test(tc, a_resumed_training_ends_in_the_same_bits, 0, pairs);
          tcase_add_loop_test(tc, training_on_more_threads_ends_in_the_same_bits, 0, pairs);
          tcase_add_loop_test(tc, trained_values_lie_in_one_row, 0, pairs);
          tcase_add_loop_test(tc, tables_are_complete, 0, n);
          tcase_add_test(tc, an_unknown_variant_is_refused_with_the_nearest);
          tcase_add_loop_test(tc, start_values_depend_on_seed_and_name_alone, 0, n);
          tcase_add_loop_test(tc, creation_survives_a_failing_allocator, 0, n))
