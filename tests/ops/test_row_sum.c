/* Ops that make one number of a row: log_sum_exp, entropy. */
#include <math.h>

#include "tests/support/main.h"
#include "tests/support/op_apply.h"
#include "tests/support/op_check.h"

static peft_tensor *log_sum_exp(peft_graph *g, peft_tensor *const *in)
{
    return peft_log_sum_exp(g, in[0]);
}

/* The entropy of a softmax, and of rows that are no probabilities. */
static peft_tensor *entropy(peft_graph *g, peft_tensor *const *in)
{
    return peft_entropy(g, peft_softmax(g, in[0]));
}

static peft_tensor *entropy_of_rows(peft_graph *g, peft_tensor *const *in)
{
    return peft_entropy(g, in[0]);
}

static const op_case cases[] = {
    {"log_sum_exp of one element", log_sum_exp, {SHAPE1(1)}, 0},
    {"log_sum_exp of no rows", log_sum_exp, {SHAPE2(0, 3)}, 0},
    {"log_sum_exp of odd sizes", log_sum_exp, {{.shape = {3, {3, 5, 17}}, .low = -9, .high = 9}}, 0},
    {"log_sum_exp of several pieces", log_sum_exp, {{.shape = {2, {301, 130}}, .low = -9, .high = 9}}, 0},
    {"entropy of one element", entropy, {SHAPE1(1)}, 0},
    {"entropy of odd sizes", entropy, {{.shape = {3, {3, 5, 17}}, .low = -3, .high = 3}}, 0},
    {"entropy of any numbers", entropy_of_rows, {{.shape = {2, {9, 4}}, .low = 0.1, .high = 2}}, 0},
    {"entropy of several pieces", entropy, {{.shape = {2, {301, 130}}, .low = -3, .high = 3}}, 0},
};

START_TEST(rows_are_summed_up)
{
    op_check(&cases[_i]);
}
END_TEST

static peft_tensor *apply_log_sum_exp(peft_graph *g, peft_tensor *x, const void *options)
{
    (void)options;
    return peft_log_sum_exp(g, x);
}

static peft_tensor *apply_entropy(peft_graph *g, peft_tensor *x, const void *options)
{
    (void)options;
    return peft_entropy(g, x);
}

START_TEST(large_numbers_do_not_overflow)
{
    const float x[] = {1e30F, -1e30F, -100, -100};
    float y[2];
    op_run run = {.build = apply_log_sum_exp};
    op_apply(&run, peft_shape_2(2, 2), x, y, NULL);
    ck_assert(y[0] == 1e30F);
    ck_assert_double_eq_tol((double)y[1], log(2) - 100, 1e-5);
}
END_TEST

/* 0 log 0 is 0, and its slope is that at 1e-9. */
START_TEST(entropy_is_between_none_and_log_n)
{
    const float p[] = {1, 0, 0, 0, 0.25F, 0.25F, 0.25F, 0.25F};
    float y[2], dp[8];
    op_run run = {.build = apply_entropy};
    op_apply(&run, peft_shape_2(2, 4), p, y, dp);
    ck_assert(y[0] == 0);
    ck_assert_double_eq_tol((double)y[1], log(4), 1e-6);
    ck_assert_double_eq_tol((double)dp[1], -1 - log(1e-9), 1e-5);
    ck_assert_double_eq_tol((double)dp[4], -1 + log(4), 1e-6);
}
END_TEST

START_TEST(empty_rows_are_refused)
{
    op_case none = {"no columns", log_sum_exp, {SHAPE2(3, 0)}, 0};
    op_check_refused(&none, PEFT_ERR_SHAPE, "log_sum_exp: x: expected rows of one element or more");
}
END_TEST

TEST_MAIN("row_sum", tcase_add_loop_test(tc, rows_are_summed_up, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, large_numbers_do_not_overflow); tcase_add_test(tc, entropy_is_between_none_and_log_n);
          tcase_add_test(tc, empty_rows_are_refused))
