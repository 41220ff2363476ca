/* What is special to MoRA: the maps around its matrix, for each of its types, and the rank that it reaches. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/linear_algebra.h"
#include "tests/support/main.h"
#include "tests/variants/adapted_layer.h"
#include "tests/variants/mora_goldens.h"

enum { NUM_GOLDENS = sizeof goldens / sizeof *goldens };

static const char *const types[] = {"mora_type=1", "mora_type=2", "mora_type=3", "mora_type=4", "mora_type=6"};
enum { NUM_TYPES = sizeof types / sizeof *types };

/* Narrower and wider than n, whole and broken groups, one token. */
static const layer_case sizes[] = {
    {.in_features = 7, .out_features = 5, .rank = 3, .tokens = 3},
    {.in_features = 12, .out_features = 20, .rank = 2, .tokens = 2},
    {.in_features = 23, .out_features = 4, .rank = 1, .tokens = 1},
};
enum { NUM_SIZES = sizeof sizes / sizeof *sizes, NUM_ALL = NUM_TYPES * NUM_SIZES };

static void open_mora(adapted_layer *l, const layer_case *of, const char *options)
{
    layer_open(l, peft_variant_find("mora"), *of, options);
}

static float *matrix(const adapted_layer *l)
{
    return l->adapter->values[0].data;
}

/* The numbers that mora_goldens.py fills arrays with. */
static void fill(float *to, int64_t count, int64_t step, int64_t shift)
{
    for (int64_t i = 0; i < count; i++) to[i] = (float)((i * step + shift) % 61 - 30) / 64;
}

static void remove_base(adapted_layer *l)
{
    memset(l->weight_data, 0, (size_t)(l->sizes.in_features * l->sizes.out_features) * sizeof(float));
    memset(l->bias_data, 0, (size_t)l->sizes.out_features * sizeof(float));
}

START_TEST(it_is_that_of_the_authors_program)
{
    adapted_layer l;
    const layer_case of = {
        .in_features = goldens[_i].in, .out_features = goldens[_i].out, .rank = goldens[_i].rank, .tokens = 1};
    open_mora(&l, &of, goldens[_i].options);
    remove_base(&l);
    fill(matrix(&l), peft_value_count(&l.adapter->values[0]), 37, 11);
    fill(l.x, of.in_features, 29, 5);
    float *y = layer_output(&l, 1);
    for (int64_t o = 0; o < of.out_features; o++)
        ck_assert_msg(fabsf(y[o] - goldens[_i].y[o]) <= 2e-6F, "%s, %s: output %lld is %g, expected %g", layer_text(&l),
                      goldens[_i].options, (long long)o, (double)y[o], (double)goldens[_i].y[o]);
    free(y);
    layer_close(&l);
}
END_TEST

/* ---- what the registry's tests ask of the default, of every type ---- */

START_TEST(it_starts_as_the_base_layer)
{
    adapted_layer l;
    open_mora(&l, &sizes[_i % NUM_SIZES], types[_i / NUM_SIZES]);
    int64_t outputs = l.sizes.tokens * l.sizes.out_features;
    float *y = layer_output(&l, 1);
    peft_adapter *adapter = l.adapter;
    l.adapter = NULL;
    float *base = layer_output(&l, 1);
    l.adapter = adapter;
    ck_assert_mem_eq(y, base, (size_t)outputs * sizeof(float));
    free(y);
    free(base);
    layer_close(&l);
}
END_TEST

START_TEST(gradients_are_right)
{
    adapted_layer l;
    open_mora(&l, &sizes[_i % NUM_SIZES], types[_i / NUM_SIZES]);
    layer_shake(&l);
    layer_check_gradient(&l);
    layer_close(&l);
}
END_TEST

START_TEST(merged_it_is_the_same)
{
    adapted_layer l;
    peft_error error;
    open_mora(&l, &sizes[_i % NUM_SIZES], types[_i / NUM_SIZES]);
    layer_shake(&l);
    int64_t outputs = l.sizes.tokens * l.sizes.out_features;
    float *expected = layer_output(&l, 1);
    ck_assert_msg(!peft_adapter_merge(l.adapter, l.weight_data, l.bias_data, &error), "%s", error.message);
    l.adapter = NULL;
    float *y = layer_output(&l, 1);
    ck_assert_double_le(largest_difference(y, expected, outputs), 1e-5 * (1 + largest_value(expected, outputs)));
    free(y);
    free(expected);
    layer_close(&l);
}
END_TEST

/* ---- parameters and rank ---- */

/* n = sqrt((in + out) r), rounded, and even where it rotates. */
START_TEST(it_has_the_parameters_of_a_lora)
{
    static const struct {
        layer_case sizes;
        const char *options;
        int64_t n;
    } examples[] = {{{.in_features = 384, .out_features = 384, .rank = 8, .tokens = 1}, "mora_type=1", 78},
                    {{.in_features = 768, .out_features = 768, .rank = 8, .tokens = 1}, "mora_type=1", 111},
                    {{.in_features = 768, .out_features = 768, .rank = 8, .tokens = 1}, NULL, 110},
                    {{.in_features = 1, .out_features = 1, .rank = 1, .tokens = 1}, NULL, 2}};
    adapted_layer l;
    open_mora(&l, &examples[_i].sizes, examples[_i].options);
    ck_assert_int_eq(l.all->set.num_trained, examples[_i].n * examples[_i].n);
    layer_close(&l);
}
END_TEST

/* Of LoRA's parameters for rank 2: an update of rank 11. */
START_TEST(its_update_has_a_high_rank)
{
    enum { IN = 32, OUT = 32, N = 11 };
    const layer_case of = {.in_features = IN, .out_features = OUT, .rank = 2, .tokens = 1};
    adapted_layer l;
    peft_error error;
    double update[IN * OUT], U[OUT * IN], S[IN], Vt[IN * IN];
    open_mora(&l, &of, "mora_type=1");
    layer_shake(&l);
    remove_base(&l);
    ck_assert(!peft_adapter_merge(l.adapter, l.weight_data, l.bias_data, &error));
    for (int k = 0; k < IN * OUT; k++) update[k] = (double)l.weight_data[k];
    ck_assert(!peft_svd(OUT, IN, update, U, S, Vt, &error));
    ck_assert_int_eq(l.adapter->values[0].spec.shape.size[0], N);
    ck_assert_double_gt(S[N - 1], 1e-3 * S[0]);
    ck_assert_double_le(S[N], 1e-6 * S[0]);
    layer_close(&l);
}
END_TEST

/* A matrix as large as the layer, and nothing to fold: it is the update itself. */
START_TEST(a_matrix_of_the_layers_size_is_the_update)
{
    const layer_case of = {.in_features = 8, .out_features = 8, .rank = 4, .tokens = 5};
    for (int type = 0; type < NUM_TYPES; type++) {
        adapted_layer l;
        open_mora(&l, &of, types[type]);
        layer_shake(&l);
        float *y = layer_output(&l, 1);
        for (int k = 0; k < 64; k++) l.weight_data[k] += matrix(&l)[k];
        l.adapter = NULL;
        float *expected = layer_output(&l, 1);
        ck_assert_double_le(largest_difference(y, expected, 5 * 8), 1e-5);
        free(y);
        free(expected);
        layer_close(&l);
    }
}
END_TEST

TEST_MAIN("mora", tcase_add_loop_test(tc, it_is_that_of_the_authors_program, 0, NUM_GOLDENS);
          tcase_add_loop_test(tc, it_starts_as_the_base_layer, 0, NUM_ALL);
          tcase_add_loop_test(tc, gradients_are_right, 0, NUM_ALL);
          tcase_add_loop_test(tc, merged_it_is_the_same, 0, NUM_ALL);
          tcase_add_loop_test(tc, it_has_the_parameters_of_a_lora, 0, 4);
          tcase_add_test(tc, its_update_has_a_high_rank); tcase_add_test(tc, a_matrix_of_the_layers_size_is_the_update))
