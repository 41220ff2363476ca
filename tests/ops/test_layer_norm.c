#include <math.h>

#include "tests/support/main.h"
#include "tests/support/op_apply.h"
#include "tests/support/op_check.h"

static const double EPS = 1e-5;

static peft_tensor *layer_norm(peft_graph *g, peft_tensor *const *in)
{
    return peft_layer_norm(g, in[0], in[1], in[2], EPS);
}

static peft_tensor *only_bias(peft_graph *g, peft_tensor *const *in)
{
    return peft_layer_norm(g, in[0], NULL, in[1], EPS);
}

static peft_tensor *rms_norm(peft_graph *g, peft_tensor *const *in)
{
    return peft_rms_norm(g, in[0], in[1], EPS);
}

/* Written over its input in forward, and over dy in backward. */
static peft_tensor *between(peft_graph *g, peft_tensor *const *in)
{
    return peft_scale(g, peft_layer_norm(g, peft_scale(g, in[0], 1.5), in[1], in[2], EPS), -2);
}

static const op_case cases[] = {
    {"one row", layer_norm, {SHAPE2(1, 5), SHAPE1(5), SHAPE1(5)}, 0},
    {"no rows", layer_norm, {SHAPE2(0, 5), SHAPE1(5), SHAPE1(5)}, 0},
    {"a vector", layer_norm, {SHAPE1(37), SHAPE1(37), SHAPE1(37)}, 0},
    {"odd sizes", layer_norm, {SHAPE3(2, 3, 19), SHAPE1(19), SHAPE1(19)}, 0},
    {"weight alone", layer_norm, {SHAPE2(5, 19), SHAPE1(19)}, 0},
    {"bias alone", only_bias, {SHAPE2(5, 19), SHAPE1(19)}, 0},
    {"neither", layer_norm, {SHAPE2(5, 19)}, 0},
    {"frozen weight", layer_norm, {SHAPE2(5, 19), {.shape = {1, {19}}, .constant = true}, SHAPE1(19)}, 0},
    {"gradient of the bias alone",
     layer_norm,
     {{.shape = {2, {5, 19}}, .constant = true}, {.shape = {1, {19}}, .constant = true}, SHAPE1(19)},
     0},
    {"in place", between, {SHAPE2(7, 33), SHAPE1(33), SHAPE1(33)}, 0},
    {"rms", rms_norm, {SHAPE3(2, 3, 19), SHAPE1(19)}, 0},
    {"rms without a weight", rms_norm, {SHAPE2(1, 5)}, 0},
    {"rms of several pieces", rms_norm, {SHAPE2(301, 130), SHAPE1(130)}, 0},
    {"several pieces", layer_norm, {SHAPE2(301, 130), SHAPE1(130), SHAPE1(130)}, 0},
};

START_TEST(layer_norm_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

static peft_tensor *apply_layer_norm(peft_graph *g, peft_tensor *x, const void *options)
{
    (void)options;
    return peft_layer_norm(g, x, NULL, NULL, 0);
}

/* Around 1000 a variance of 1, taken as the mean of squares less the square of the mean, would lose all its digits. */
START_TEST(rows_get_mean_zero_and_variance_one)
{
    enum { COLUMNS = 100 };
    float x[COLUMNS], y[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) x[c] = 1000 + (float)op_noise((uint64_t)c);
    op_run run = {.build = apply_layer_norm};
    op_apply(&run, peft_shape_1(COLUMNS), x, y, NULL);
    double mean = 0, variance = 0;
    for (int c = 0; c < COLUMNS; c++) mean += (double)y[c] / COLUMNS;
    for (int c = 0; c < COLUMNS; c++) variance += pow((double)y[c] - mean, 2) / COLUMNS;
    ck_assert_double_eq_tol(mean, 0, 2e-4); /* half a digit of x is 6e-5 of its deviation */
    ck_assert_double_eq_tol(variance, 1, 1e-5);
}
END_TEST

static peft_tensor *apply_rms_norm(peft_graph *g, peft_tensor *x, const void *options)
{
    (void)options;
    return peft_rms_norm(g, x, NULL, 0);
}

START_TEST(around_zero_the_mean_square_is_one)
{
    const float x[] = {3, 4, 0, 0};
    float y[4];
    op_run run = {.build = apply_rms_norm};
    op_apply(&run, peft_shape_1(4), x, y, NULL);
    ck_assert_double_eq_tol((double)y[0], 1.2, 1e-6); /* 3 / sqrt(25 / 4) */
    ck_assert_double_eq_tol((double)y[1], 1.6, 1e-6);
    ck_assert_double_eq((double)y[2], 0);
}
END_TEST

static peft_tensor *negative_eps(peft_graph *g, peft_tensor *const *in)
{
    return peft_layer_norm(g, in[0], NULL, NULL, -1);
}

START_TEST(wrong_arguments_are_refused)
{
    op_case weight = {"weight", layer_norm, {SHAPE2(11, 7), SHAPE1(6)}, 0};
    op_check_refused(&weight, PEFT_ERR_SHAPE, "layer_norm: weight: expected [7], found [6]");
    op_case bias = {"bias", layer_norm, {SHAPE2(11, 7), SHAPE1(7), SHAPE2(1, 7)}, 0};
    op_check_refused(&bias, PEFT_ERR_SHAPE, "layer_norm: bias: expected [7], found [1, 7]");
    op_case eps = {"eps", negative_eps, {SHAPE2(11, 7)}, 0};
    op_check_refused(&eps, PEFT_ERR_ARGUMENT, "layer_norm: eps");
}
END_TEST

TEST_MAIN("layer_norm", tcase_add_loop_test(tc, layer_norm_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, around_zero_the_mean_square_is_one);
          tcase_add_test(tc, rows_get_mean_zero_and_variance_one); tcase_add_test(tc, wrong_arguments_are_refused))
