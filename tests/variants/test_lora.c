/* What is special to LoRA: its start values, its size, and adapters that differ from sequence to sequence. */
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "tests/support/main.h"
#include "tests/support/read.h"
#include "tests/variants/adapted_layer.h"

enum { A, B };

static const layer_case wide = {.in_features = 400, .out_features = 300, .rank = 16, .tokens = 3, .alpha = 16};

static void open_lora(adapted_layer *l, layer_case sizes, const char *option)
{
    layer_open(l, peft_variant_find("lora"), sizes, option);
}

static double mean_square(const float *data, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)data[i] * (double)data[i];
    return sum / (double)count;
}

/* torch.nn.Linear's bound; a uniform distribution up to b has mean square b^2 / 3, here of 6,400 numbers. */
START_TEST(A_starts_uniform_and_B_at_zero)
{
    adapted_layer l;
    open_lora(&l, wide, NULL);
    const float *a = l.adapter->values[A].data;
    double bound = 1 / sqrt(400.0);
    ck_assert_double_le(largest_value(a, 16 * 400), bound);
    ck_assert_double_gt(largest_value(a, 16 * 400), 0.99 * bound);
    ck_assert_double_eq_tol(mean_square(a, 16 * 400), bound * bound / 3, 0.05 * bound * bound);
    ck_assert(largest_value(l.adapter->values[B].data, 300 * 16) == 0);
    layer_close(&l);
}
END_TEST

START_TEST(A_may_start_normal_with_deviation_one_over_r)
{
    adapted_layer l;
    open_lora(&l, wide, "init=gaussian");
    const float *a = l.adapter->values[A].data;
    ck_assert_double_eq_tol(mean_square(a, 16 * 400) * 16 * 16, 1, 0.1);
    ck_assert_double_gt(largest_value(a, 16 * 400), 3.0 / 16);
    layer_close(&l);
}
END_TEST

START_TEST(it_has_r_times_in_plus_out_parameters)
{
    adapted_layer l;
    open_lora(&l, wide, NULL);
    ck_assert_int_eq(l.all->set.num_trained, 16 * (400 + 300));
    ck_assert_double_eq(l.adapter->scaling, 1);
    layer_close(&l);
}
END_TEST

START_TEST(rank_and_alpha_of_a_layer_come_from_patterns)
{
    const layer_case sizes = {.in_features = 6, .out_features = 4, .rank = 4, .tokens = 1, .alpha = 8};
    adapted_layer l;
    open_lora(&l, sizes, "rank_pattern={\"layer\\\\.1\\\\.query|layer.0.query\": 2, \"query\": 3}");
    ck_assert_int_eq(l.adapter->rank, 2);
    ck_assert_double_eq(l.adapter->scaling, 4);
    ck_assert_int_eq(l.adapter->values[A].spec.shape.size[0], 2);
    layer_close(&l);
    open_lora(&l, sizes, "alpha_pattern={\"query\": 3}");
    ck_assert_double_eq(l.adapter->scaling, 0.75);
    layer_close(&l);
}
END_TEST

/* The formula by hand: y = W x + b + s B (A x). */
START_TEST(it_is_the_formula)
{
    adapted_layer l;
    open_lora(&l, (layer_case){.in_features = 5, .out_features = 3, .rank = 2, .tokens = 4, .alpha = 3}, NULL);
    layer_shake(&l);
    float *y = layer_output(&l, 1);
    const float *a = l.adapter->values[A].data, *b = l.adapter->values[B].data;
    for (int t = 0; t < 4; t++)
        for (int o = 0; o < 3; o++) {
            double sum = (double)l.bias_data[o];
            for (int i = 0; i < 5; i++) sum += (double)l.weight_data[o * 5 + i] * (double)l.x[t * 5 + i];
            for (int r = 0; r < 2; r++)
                for (int i = 0; i < 5; i++)
                    sum += 1.5 * (double)b[o * 2 + r] * (double)a[r * 5 + i] * (double)l.x[t * 5 + i];
            ck_assert_double_eq_tol((double)y[t * 3 + o], sum, 1e-5);
        }
    free(y);
    layer_close(&l);
}
END_TEST

typedef struct stacked {
    float A[2 * 2 * 5], B[2 * 3 * 2];
} stacked;

/* Two sequences whose factors stand one after another in [S, ...] give what each adapter alone gives its sequence. */
START_TEST(each_sequence_may_have_its_own_factors)
{
    const layer_case sizes = {.in_features = 5, .out_features = 3, .rank = 2, .tokens = 6, .alpha = 3};
    adapted_layer l;
    stacked both;
    float *alone[2];
    open_lora(&l, sizes, NULL);
    for (int s = 0; s < 2; s++) {
        layer_shake(&l);
        memcpy(both.A + s * 10, l.adapter->values[A].data, sizeof both.A / 2);
        memcpy(both.B + s * 6, l.adapter->values[B].data, sizeof both.B / 2);
        alone[s] = layer_output(&l, 1);
    }
    peft_graph *g;
    peft_context *ctx;
    peft_error error = {0};
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    peft_graph_bind(g, &l.adapter->values[A], peft_constant(g, PEFT_F32, peft_shape_3(2, 2, 5), both.A, "A"));
    peft_graph_bind(g, &l.adapter->values[B], peft_constant(g, PEFT_F32, peft_shape_3(2, 3, 2), both.B, "B"));
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_2(6, 5), l.x, "x");
    peft_tensor *y = peft_graph_keep(g, peft_adapter_forward(g, l.adapter, &l.base, x, &l.batch));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    ck_assert_double_le(largest_difference(read_values(g, y), alone[0], 3), 1e-6);
    ck_assert_double_le(largest_difference((const float *)read_values(g, y) + 3, alone[1] + 3, 5 * 3), 1e-6);
    ck_assert_double_gt(largest_difference((const float *)read_values(g, y) + 3, alone[0] + 3, 5 * 3), 1e-2);
    peft_graph_free(g);
    peft_context_close(ctx);
    free(alone[0]);
    free(alone[1]);
    layer_close(&l);
}
END_TEST

START_TEST(dropout_acts_on_the_update_while_training_only)
{
    const layer_case sizes = {.in_features = 32, .out_features = 8, .rank = 4, .tokens = 20, .alpha = 4};
    adapted_layer l, plain;
    open_lora(&l, sizes, "dropout=0.5");
    open_lora(&plain, sizes, NULL);
    float *start = layer_output(&l, 1), *base = layer_output(&plain, 1);
    ck_assert_mem_eq(start, base, 160 * sizeof(float)); /* B is zero: the base's input is not dropped */
    layer_shake(&l);
    layer_shake(&plain);
    float *dropped = layer_output(&l, 1), *expected = layer_output(&plain, 1);
    ck_assert_double_gt(largest_difference(dropped, expected, 160), 1e-2);
    ck_assert(!layer_has_weight(&l));
    l.batch.training = false;
    ck_assert(layer_has_weight(&l));
    float *kept = layer_output(&l, 1);
    ck_assert_mem_eq(kept, expected, 160 * sizeof(float));
    float *const outputs[] = {start, base, dropped, expected, kept};
    for (size_t i = 0; i < 5; i++) free(outputs[i]);
    layer_close(&l);
    layer_close(&plain);
}
END_TEST

TEST_MAIN("lora", tcase_add_test(tc, A_starts_uniform_and_B_at_zero);
          tcase_add_test(tc, A_may_start_normal_with_deviation_one_over_r);
          tcase_add_test(tc, it_has_r_times_in_plus_out_parameters);
          tcase_add_test(tc, rank_and_alpha_of_a_layer_come_from_patterns); tcase_add_test(tc, it_is_the_formula);
          tcase_add_test(tc, each_sequence_may_have_its_own_factors);
          tcase_add_test(tc, dropout_acts_on_the_update_while_training_only))
