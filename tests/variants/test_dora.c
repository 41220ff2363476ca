/* DoRA: where it is LoRA, gradients with the lengths held constant, rows of zeros, dropout. */
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/read.h"
#include "tests/variants/adapted_layer.h"

enum { IN = 7, OUT = 5, RANK = 3, TOKENS = 11, OUTPUTS = TOKENS * OUT };
enum { A, B, M }; /* values of a layer */
static const layer_case sizes = {.in_features = IN, .out_features = OUT, .rank = RANK, .tokens = TOKENS, .alpha = 2.5};

static void open_dora(adapted_layer *l, const char *option)
{
    layer_open(l, peft_variant_find("dora"), sizes, option);
}

static float *values_of(const adapted_layer *l, int value)
{
    return l->adapter->values[value].data;
}

/* V = W + s B A and the lengths of its rows, the long way. */
typedef struct direct {
    double V[OUT][IN], N[OUT], s;
} direct;

static direct directly(const adapted_layer *l)
{
    direct d = {.s = sizes.alpha / RANK};
    for (int k = 0; k < OUT; k++) {
        double square = 0;
        for (int i = 0; i < IN; i++) {
            double v = (double)l->weight_data[k * IN + i];
            for (int r = 0; r < RANK; r++)
                v += d.s * (double)values_of(l, B)[k * RANK + r] * (double)values_of(l, A)[r * IN + i];
            d.V[k][i] = v;
            square += v * v;
        }
        d.N[k] = sqrt(square);
    }
    return d;
}

START_TEST(magnitudes_start_as_the_lengths_of_the_rows)
{
    adapted_layer l;
    open_dora(&l, NULL);
    direct d = directly(&l);
    for (int k = 0; k < OUT; k++) ck_assert_double_eq_tol((double)values_of(&l, M)[k], d.N[k], 1e-6 * d.N[k]);
    layer_close(&l);
}
END_TEST

START_TEST(the_scale_is_that_of_lora_or_of_rslora)
{
    adapted_layer l;
    open_dora(&l, NULL);
    ck_assert_double_eq_tol(l.adapter->scaling, sizes.alpha / RANK, 1e-15 * sizes.alpha);
    layer_close(&l);
    open_dora(&l, "use_rslora=true");
    ck_assert_double_eq_tol(l.adapter->scaling, sizes.alpha / sqrt(RANK), 1e-15 * sizes.alpha);
    layer_close(&l);
}
END_TEST

START_TEST(with_the_lengths_themselves_it_is_lora)
{
    adapted_layer dora, lora;
    open_dora(&dora, NULL);
    layer_open(&lora, peft_variant_find("lora"), sizes, NULL);
    layer_shake(&dora);
    memcpy(values_of(&lora, A), values_of(&dora, A), RANK * IN * sizeof(float));
    memcpy(values_of(&lora, B), values_of(&dora, B), RANK * OUT * sizeof(float));
    direct d = directly(&dora);
    for (int k = 0; k < OUT; k++) values_of(&dora, M)[k] = (float)d.N[k];
    float *y = layer_output(&dora, 1), *expected = layer_output(&lora, 1);
    ck_assert_double_le(largest_difference(y, expected, OUTPUTS), 1e-5 * (1 + largest_value(expected, OUTPUTS)));
    free(y);
    free(expected);
    layer_close(&dora);
    layer_close(&lora);
}
END_TEST

/* The paper's section 4.3 by hand, for the mean squared error of q m / N + b. */
START_TEST(detached_gradients_hold_the_lengths_constant)
{
    adapted_layer l;
    open_dora(&l, NULL);
    layer_shake(&l);
    direct d = directly(&l);
    double dm[OUT] = {0}, dA[RANK][IN] = {{0}}, dB[OUT][RANK] = {{0}};
    for (int t = 0; t < TOKENS; t++) {
        double h[RANK] = {0}, dh[RANK] = {0};
        const float *x = l.x + t * IN;
        for (int r = 0; r < RANK; r++)
            for (int i = 0; i < IN; i++) h[r] += (double)values_of(&l, A)[r * IN + i] * (double)x[i];
        for (int k = 0; k < OUT; k++) {
            double q = 0, ratio = (double)values_of(&l, M)[k] / d.N[k];
            for (int i = 0; i < IN; i++) q += d.V[k][i] * (double)x[i];
            double y = ratio * q + (double)l.bias_data[k];
            double G = 2 * (y - (double)l.target[t * OUT + k]) / OUTPUTS;
            dm[k] += G * q / d.N[k];
            for (int r = 0; r < RANK; r++) {
                dB[k][r] += d.s * G * ratio * h[r];
                dh[r] += d.s * G * ratio * (double)values_of(&l, B)[k * RANK + r];
            }
        }
        for (int r = 0; r < RANK; r++)
            for (int i = 0; i < IN; i++) dA[r][i] += dh[r] * (double)x[i];
    }
    double *gradient = layer_gradient(&l);
    for (int k = 0; k < RANK * IN; k++) ck_assert_double_eq_tol(gradient[k], dA[k / IN][k % IN], 1e-6);
    for (int k = 0; k < RANK * OUT; k++) ck_assert_double_eq_tol(gradient[RANK * IN + k], dB[k / RANK][k % RANK], 1e-6);
    for (int k = 0; k < OUT; k++) ck_assert_double_eq_tol(gradient[RANK * (IN + OUT) + k], dm[k], 1e-6);
    free(gradient);
    layer_close(&l);
}
END_TEST

START_TEST(the_full_gradient_is_another_one)
{
    adapted_layer detached, full;
    open_dora(&detached, NULL);
    open_dora(&full, "norm_gradient=full");
    layer_shake(&detached);
    layer_shake(&full);
    double *first = layer_gradient(&detached), *second = layer_gradient(&full), difference = 0;
    for (int k = 0; k < RANK * (IN + OUT); k++) difference = fmax(difference, fabs(first[k] - second[k]));
    ck_assert_double_gt(difference, 1e-3);
    for (int k = RANK * (IN + OUT); k < layer_num_coordinates(&full); k++) /* m and x */
        ck_assert_double_eq_tol(first[k], second[k], 1e-12);
    free(first);
    free(second);
    layer_close(&detached);
    layer_close(&full);
}
END_TEST

START_TEST(a_row_of_zeros_does_no_harm)
{
    adapted_layer l;
    open_dora(&l, "norm_gradient=full");
    memset(l.weight_data + IN, 0, IN * sizeof *l.weight_data);
    ck_assert(!peft_adapter_init_from_base(l.adapter, &l.base, 1, NULL));
    peft_adapter *adapter = l.adapter;
    float *y = layer_output(&l, 1);
    l.adapter = NULL;
    float *base = layer_output(&l, 1);
    l.adapter = adapter;
    ck_assert_mem_eq(y, base, OUTPUTS * sizeof *y);
    double *gradient = layer_gradient(&l);
    for (int k = 0; k < layer_num_coordinates(&l); k++) ck_assert(isfinite(gradient[k]));
    ck_assert(!peft_adapter_merge(l.adapter, l.weight_data, l.bias_data, NULL));
    for (int i = 0; i < IN; i++) ck_assert(l.weight_data[IN + i] == 0);
    free(gradient);
    free(y);
    free(base);
    layer_close(&l);
}
END_TEST

START_TEST(a_layer_may_have_no_bias)
{
    adapted_layer l;
    open_dora(&l, NULL);
    layer_shake(&l);
    l.base.bias = NULL;
    direct d = directly(&l);
    float *y = layer_output(&l, 1);
    for (int t = 0; t < TOKENS; t++)
        for (int k = 0; k < OUT; k++) {
            double q = 0;
            for (int i = 0; i < IN; i++) q += d.V[k][i] * (double)l.x[t * IN + i];
            ck_assert_double_eq_tol((double)y[t * OUT + k], q * (double)values_of(&l, M)[k] / d.N[k], 1e-5);
        }
    free(y);
    layer_close(&l);
}
END_TEST

/* y = W x + b + (m / N - 1) * W x' + m / N * s B A x' */
START_TEST(dropout_leaves_the_base_alone)
{
    adapted_layer l;
    open_dora(&l, "dropout=0.5");
    layer_shake(&l);
    direct d = directly(&l);
    peft_graph *g;
    peft_context *ctx;
    const peft_context_options options = {.seed = 9};
    ck_assert(!peft_graph_create(&g, NULL) && !peft_context_open(&ctx, &options, NULL));
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_2(TOKENS, IN), l.x, "x");
    peft_tensor *dropped = peft_graph_keep(g, peft_adapter_dropout(g, l.adapter, x, &l.batch));
    peft_tensor *y = peft_graph_keep(g, peft_adapter_forward(g, l.adapter, &l.base, x, &l.batch));
    ck_assert(!peft_graph_run(g, ctx, NULL));
    const float *mask = read_values(g, dropped);
    for (int t = 0; t < TOKENS; t++)
        for (int k = 0; k < OUT; k++) {
            double ratio = (double)values_of(&l, M)[k] / d.N[k], expected = (double)l.bias_data[k];
            for (int i = 0; i < IN; i++) {
                double W = (double)l.weight_data[k * IN + i];
                expected += W * (double)l.x[t * IN + i] + (ratio * d.V[k][i] - W) * (double)mask[t * IN + i];
            }
            ck_assert_double_eq_tol((double)((const float *)read_values(g, y))[t * OUT + k], expected,
                                    1e-5 * (1 + fabs(expected)));
        }
    peft_graph_free(g);
    peft_context_close(ctx);
    layer_close(&l);
}
END_TEST

START_TEST(merging_survives_a_failing_allocator)
{
    adapted_layer l;
    open_dora(&l, NULL);
    fail_allocation(0);
    peft_status status = peft_adapter_merge(l.adapter, l.weight_data, l.bias_data, NULL);
    ck_assert(allocation_failed());
    ck_assert_int_eq(status, PEFT_ERR_MEMORY);
    layer_close(&l);
}
END_TEST

TEST_MAIN("dora", tcase_add_test(tc, magnitudes_start_as_the_lengths_of_the_rows);
          tcase_add_test(tc, the_scale_is_that_of_lora_or_of_rslora);
          tcase_add_test(tc, with_the_lengths_themselves_it_is_lora);
          tcase_add_test(tc, detached_gradients_hold_the_lengths_constant);
          tcase_add_test(tc, the_full_gradient_is_another_one); tcase_add_test(tc, a_row_of_zeros_does_no_harm);
          tcase_add_test(tc, a_layer_may_have_no_bias); tcase_add_test(tc, dropout_leaves_the_base_alone);
          tcase_add_test(tc, merging_survives_a_failing_allocator))
