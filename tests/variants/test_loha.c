/* LoHa: the update itself, its export, and the dropouts that it shares with LoKr. */
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/read.h"
#include "tests/variants/adapted_layer.h"

enum { IN = 7, OUT = 5, TOKENS = 11, OUTPUTS = TOKENS * OUT };
enum { A1, B1, A2, B2 };

static layer_case of_rank(int64_t rank)
{
    return (layer_case){.in_features = IN, .out_features = OUT, .rank = rank, .tokens = TOKENS, .alpha = 3};
}

static double product_at(const peft_adapter *a, int left, int o, int i)
{
    double sum = 0;
    for (int64_t r = 0; r < a->rank; r++)
        sum += (double)a->values[left].data[o * a->rank + r] * (double)a->values[left + 1].data[r * IN + i];
    return sum;
}

START_TEST(the_update_is_a_product_of_products)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find("loha"), of_rank(2), NULL);
    layer_shake(&l);
    float *y = layer_output(&l, 1);
    for (int t = 0; t < TOKENS; t++)
        for (int o = 0; o < OUT; o++) {
            double expected = (double)l.bias_data[o];
            for (int i = 0; i < IN; i++) {
                double update = 1.5 * product_at(l.adapter, A1, o, i) * product_at(l.adapter, A2, o, i);
                expected += ((double)l.weight_data[o * IN + i] + update) * (double)l.x[t * IN + i];
            }
            ck_assert_double_eq_tol((double)y[t * OUT + o], expected, 1e-5 * (1 + fabs(expected)));
        }
    free(y);
    layer_close(&l);
}
END_TEST

/* Rank r^2, or that of the matrix where this is less. */
START_TEST(the_exported_rank_is_the_smaller_one)
{
    static const struct {
        int64_t rank, exported;
    } ranks[] = {{1, 1}, {2, 4}, {3, OUT}, {9, OUT}};
    for (size_t k = 0; k < sizeof ranks / sizeof *ranks; k++) {
        adapted_layer l;
        peft_lora_factors factors;
        layer_open(&l, peft_variant_find("loha"), of_rank(ranks[k].rank), NULL);
        ck_assert(!peft_adapter_to_lora(l.adapter, &factors, NULL));
        ck_assert_int_eq(factors.rank, ranks[k].exported);
        ck_assert_double_eq(factors.scaling, l.adapter->scaling);
        free(factors.A);
        free(factors.B);
        layer_close(&l);
    }
}
END_TEST

START_TEST(exporting_survives_a_failing_allocator)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find("loha"), of_rank(_i), NULL);
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_lora_factors factors;
        fail_allocation(call);
        peft_status status = peft_adapter_to_lora(l.adapter, &factors, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        free(factors.A);
        free(factors.B);
    }
    layer_close(&l);
}
END_TEST

/* ---- dropouts ---- */

static const char *const with_dropouts[] = {"loha", "lokr"};
enum { NUM_DROPOUTS = sizeof with_dropouts / sizeof *with_dropouts, STEPS = 60 };

/* Output of a step with the options, less the base output. */
static void updates_of(adapted_layer *l, int64_t step, float *updates)
{
    peft_graph *g;
    peft_context *ctx;
    const peft_context_options options = {.seed = 9};
    ck_assert(!peft_graph_create(&g, NULL) && !peft_context_open(&ctx, &options, NULL));
    peft_context_set_step(ctx, step);
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_2(TOKENS, IN), l->x, "x");
    peft_tensor *y = peft_adapter_forward(g, l->adapter, &l->base, x, &l->batch);
    peft_tensor *base = peft_adapter_forward(g, NULL, &l->base, x, &l->batch);
    peft_tensor *update = peft_graph_keep(g, peft_add(g, y, peft_scale(g, base, -1)));
    ck_assert(!peft_graph_run(g, ctx, NULL));
    memcpy(updates, read_values(g, update), OUTPUTS * sizeof *updates);
    peft_graph_free(g);
    peft_context_close(ctx);
}

typedef struct dropped {
    int outputs, steps; /* that were dropped */
} dropped;

/* What is left of each output of each step is all of it times `factor`, for all tokens alike. */
static dropped count_dropped(adapted_layer *l, double factor)
{
    dropped count = {0};
    float whole[OUTPUTS], left[OUTPUTS];
    l->batch.training = false;
    updates_of(l, 0, whole);
    l->batch.training = true;
    for (int64_t step = 0; step < STEPS; step++) {
        int outputs = 0;
        updates_of(l, step, left);
        for (int o = 0; o < OUT; o++) {
            bool gone = fabsf(left[o]) < 1e-6F;
            for (int t = 0; t < TOKENS; t++) {
                double expected = gone ? 0 : factor * (double)whole[t * OUT + o];
                ck_assert_double_eq_tol((double)left[t * OUT + o], expected, 1e-5);
            }
            outputs += gone;
        }
        count.outputs += outputs;
        count.steps += outputs == OUT;
    }
    return count;
}

static dropped drop(const char *variant, const char *option, double factor)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find(variant), of_rank(2), option);
    layer_shake(&l);
    dropped count = count_dropped(&l, factor);
    layer_close(&l);
    return count;
}

/* 300 draws with probability 1/4: 75 with deviation 7.5 */
START_TEST(rank_dropout_drops_outputs)
{
    bool loha = strcmp(with_dropouts[_i], "loha") == 0;
    dropped count = drop(with_dropouts[_i], "rank_dropout=0.25", loha ? 4.0 / 3 : 1);
    ck_assert_int_ge(count.outputs, 45);
    ck_assert_int_le(count.outputs, 105);
    ck_assert_int_le(count.steps, 5);
    if (!loha) drop("lokr", "rank_dropout=0.25;rank_dropout_scale=true", 4.0 / 3);
}
END_TEST

/* 60 draws with probability 1/4: 15 with deviation 3.4 */
START_TEST(module_dropout_drops_all_or_nothing)
{
    dropped count = drop(with_dropouts[_i], "module_dropout=0.25", 1);
    ck_assert_int_eq(count.outputs, count.steps * OUT);
    ck_assert_int_ge(count.steps, 2);
    ck_assert_int_le(count.steps, 28);
}
END_TEST

TEST_MAIN("loha", tcase_add_test(tc, the_update_is_a_product_of_products);
          tcase_add_test(tc, the_exported_rank_is_the_smaller_one);
          tcase_add_loop_test(tc, exporting_survives_a_failing_allocator, 1, 4);
          tcase_add_loop_test(tc, rank_dropout_drops_outputs, 0, NUM_DROPOUTS);
          tcase_add_loop_test(tc, module_dropout_drops_all_or_nothing, 0, NUM_DROPOUTS))
