/* Mixtures of vectors: the formula, and the limit in which they are IA3. */
#include <math.h>
#include <string.h>

#include "tests/support/main.h"
#include "tests/variants/adapted_layer.h"

enum { L, ROUTER };
enum { IN = 7, OUT = 5, TOKENS = 11, EXPERTS = 3 };

static const layer_case sizes = {.in_features = IN, .out_features = OUT, .rank = 1, .tokens = TOKENS};

static void open_mov(adapted_layer *l, const char *options)
{
    layer_open(l, peft_variant_find("mov"), sizes, options);
    layer_shake(l);
}

static double score(const adapted_layer *l, int t, int e)
{
    double sum = 0;
    for (int i = 0; i < IN; i++) sum += (double)l->adapter->values[ROUTER].data[e * IN + i] * (double)l->x[t * IN + i];
    return sum;
}

/* y = f ⊙ sum_e p_e l_e, as the paper has it. */
START_TEST(it_is_the_formula)
{
    adapted_layer l;
    open_mov(&l, "num_experts=3");
    float *y = layer_output(&l, 1);
    for (int t = 0; t < TOKENS; t++)
        for (int o = 0; o < OUT; o++) {
            double f = (double)l.bias_data[o], sum = 0, factor = 0;
            for (int i = 0; i < IN; i++) f += (double)l.weight_data[o * IN + i] * (double)l.x[t * IN + i];
            for (int e = 0; e < EXPERTS; e++) sum += exp(score(&l, t, e));
            for (int e = 0; e < EXPERTS; e++)
                factor += exp(score(&l, t, e)) / sum * (double)l.adapter->values[L].data[e * OUT + o];
            ck_assert_double_eq_tol((double)y[t * OUT + o], f * factor, 1e-5);
        }
    free(y);
    layer_close(&l);
}
END_TEST

static void check_is_ia3(const char *options)
{
    adapted_layer l, ia3;
    open_mov(&l, options);
    layer_open(&ia3, peft_variant_find("ia3"), sizes, "feedforward_modules=[]");
    int64_t experts = l.adapter->num_experts;
    for (int64_t e = 1; e < experts; e++)
        memcpy(l.adapter->values[L].data + e * OUT, l.adapter->values[L].data, OUT * sizeof(float));
    memcpy(ia3.adapter->values[0].data, l.adapter->values[L].data, OUT * sizeof(float));
    float *y = layer_output(&l, 1), *expected = layer_output(&ia3, 1);
    ck_assert_double_le(largest_difference(y, expected, TOKENS * OUT), 2e-6);
    free(y);
    free(expected);
    layer_close(&l);
    layer_close(&ia3);
}

START_TEST(one_expert_is_ia3)
{
    check_is_ia3("num_experts=1");
}
END_TEST

START_TEST(experts_that_are_alike_are_ia3_whatever_the_router)
{
    check_is_ia3("num_experts=3");
    check_is_ia3("num_experts=3;top_k=2");
}
END_TEST

static const char *const settings[] = {"num_experts=1", "num_experts=3;top_k=2",
                                       "num_experts=3;top_k=1;renormalize=false;router_bias=true",
                                       "num_experts=3;balance_loss=entropy;z_loss_coef=0.1;jitter=0.2"};

START_TEST(gradients_are_right_whatever_the_settings)
{
    adapted_layer l;
    open_mov(&l, settings[_i]);
    layer_check_gradient(&l);
    layer_close(&l);
}
END_TEST

START_TEST(the_start_is_the_base_layer_though_probabilities_are_dropped)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find("mov"), sizes, "num_experts=3;top_k=1;renormalize=false");
    peft_adapter *adapter = l.adapter;
    float *y = layer_output(&l, 1);
    l.adapter = NULL;
    float *expected = layer_output(&l, 1);
    ck_assert_mem_eq(y, expected, TOKENS * OUT * sizeof *y);
    l.adapter = adapter;
    free(y);
    free(expected);
    layer_close(&l);
}
END_TEST

TEST_MAIN("mov", tcase_add_test(tc, it_is_the_formula); tcase_add_test(tc, one_expert_is_ia3);
          tcase_add_test(tc, experts_that_are_alike_are_ia3_whatever_the_router);
          tcase_add_loop_test(tc, gradients_are_right_whatever_the_settings, 0, sizeof settings / sizeof *settings);
          tcase_add_test(tc, the_start_is_the_base_layer_though_probabilities_are_dropped))
