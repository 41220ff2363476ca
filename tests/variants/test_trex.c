/* T-REX: the formula with MoR1E's gates, and the limit in which it is MoR1E. */
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "tests/support/main.h"
#include "tests/variants/adapted_layer.h"

enum { IN = 7, OUT = 5, TOKENS = 11, R1 = 2, R2 = 3, EXPERTS = R1 * R2 };
enum { A, B, ROUTER, OMEGA, MAIN };

static const layer_case sizes = {.in_features = IN, .out_features = OUT, .tokens = TOKENS, .alpha = 1.5};

static float *values_of(const adapted_layer *l, int value)
{
    return l->adapter->values[value].data;
}

static void copy_values(const adapted_layer *from, const adapted_layer *to, int first, int last)
{
    for (int v = first; v <= last; v++)
        memcpy(values_of(to, v), values_of(from, v),
               (size_t)peft_shape_count(&to->adapter->values[v].spec.shape) * sizeof(float));
}

/* The same gates, of MoR1E with an expert for each pair: row i of A is that of its experts i r2 ... i r2 + r2 - 1. */
START_TEST(pairs_of_vectors_are_experts)
{
    adapted_layer l, pairs;
    layer_open(&l, peft_variant_find("trex"), sizes, "r1=2;r2=3");
    layer_open(&pairs, peft_variant_find("mor1e"), sizes, "num_experts=6");
    layer_shake(&l);
    copy_values(&l, &pairs, ROUTER, MAIN);
    memcpy(pairs.all->values[0].data, l.all->values[0].data, EXPERTS * IN * sizeof(float));
    for (int j = 0; j < EXPERTS; j++) {
        memcpy(values_of(&pairs, A) + j * IN, values_of(&l, A) + j / R2 * IN, IN * sizeof(float));
        for (int o = 0; o < OUT; o++) values_of(&pairs, B)[o * EXPERTS + j] = values_of(&l, B)[o * R2 + j % R2];
    }
    float *y = layer_output(&l, 1), *expected = layer_output(&pairs, 1);
    ck_assert_double_le(largest_difference(y, expected, TOKENS * OUT), 1e-5);
    free(y);
    free(expected);
    layer_close(&l);
    layer_close(&pairs);
}
END_TEST

/* A router of pairs that never picks two different numbers. The first feature of all tokens is 1 for that, and M = 1,
 * o = 1, so that the gates are r^2 p here and r p there. */
START_TEST(a_diagonal_matrix_is_mor1e)
{
    enum { R = 3 };
    adapted_layer l, diagonal;
    layer_case scaled = sizes;
    scaled.alpha *= R;
    layer_open(&l, peft_variant_find("trex"), sizes, "r1=3;r2=3");
    layer_open(&diagonal, peft_variant_find("mor1e"), scaled, "num_experts=3");
    layer_shake(&diagonal);
    *values_of(&diagonal, OMEGA) = *values_of(&diagonal, MAIN) = 1;
    copy_values(&diagonal, &l, A, B);
    copy_values(&diagonal, &l, OMEGA, MAIN);
    memset(values_of(&l, ROUTER), 0, R * R * IN * sizeof(float));
    for (int j = 0; j < R * R; j++)
        if (j % (R + 1) == 0)
            memcpy(values_of(&l, ROUTER) + j * IN, values_of(&diagonal, ROUTER) + j / R * IN, IN * sizeof(float));
        else
            values_of(&l, ROUTER)[j * IN] = -200;
    for (int t = 0; t < TOKENS; t++) l.x[t * IN] = diagonal.x[t * IN] = 1;
    float *y = layer_output(&l, 1), *expected = layer_output(&diagonal, 1);
    ck_assert_double_le(largest_difference(y, expected, TOKENS * OUT), 2e-5);
    free(y);
    free(expected);
    layer_close(&l);
    layer_close(&diagonal);
}
END_TEST

static const char *const settings[] = {"r1=1;r2=1", "r1=3;r2=1;intuition=vectors", "r1=1;r2=9;centroids=kmeans",
                                       "r1=3;r2=2;dropout=0.2"};

START_TEST(gradients_are_right_whatever_the_settings)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find("trex"), sizes, settings[_i]);
    layer_shake(&l);
    layer_check_gradient(&l);
    layer_close(&l);
}
END_TEST

START_TEST(r1_plus_r2_vectors_make_their_product_of_experts)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find("trex"), sizes, NULL);
    ck_assert_int_eq(l.all->set.num_trained, 4 * IN + 8 * OUT + 32 * IN + 2 + 32 * IN);
    layer_close(&l);
}
END_TEST

TEST_MAIN("trex", tcase_add_test(tc, pairs_of_vectors_are_experts); tcase_add_test(tc, a_diagonal_matrix_is_mor1e);
          tcase_add_loop_test(tc, gradients_are_right_whatever_the_settings, 0, sizeof settings / sizeof *settings);
          tcase_add_test(tc, r1_plus_r2_vectors_make_their_product_of_experts))
