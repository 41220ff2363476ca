#include <math.h>

#include "tests/support/main.h"
#include "tests/support/op_apply.h"
#include "tests/support/op_check.h"

static peft_tensor *softmax(peft_graph *g, peft_tensor *const *in)
{
    return peft_softmax(g, in[0]);
}

static peft_tensor *between(peft_graph *g, peft_tensor *const *in)
{
    return peft_scale(g, peft_softmax(g, peft_scale(g, in[0], 1.5)), -2);
}

static const op_case cases[] = {
    {"one element", softmax, {{.shape = {1, {1}}}}, 0},
    {"no rows", softmax, {{.shape = {2, {0, 3}}}}, 0},
    {"no columns", softmax, {{.shape = {2, {3, 0}}}}, 0},
    {"a vector", softmax, {{.shape = {1, {37}}, .low = -3, .high = 3}}, 0},
    {"odd sizes", softmax, {{.shape = {3, {3, 5, 17}}, .low = -9, .high = 9}}, 0},
    {"in place", between, {{.shape = {2, {9, 33}}, .low = -3, .high = 3}}, 0},
    {"several pieces", softmax, {{.shape = {2, {301, 130}}, .low = -9, .high = 9}}, 0},
};

START_TEST(softmax_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

static peft_tensor *apply_softmax(peft_graph *g, peft_tensor *x, const void *options)
{
    (void)options;
    return peft_softmax(g, x);
}

START_TEST(large_logits_do_not_overflow)
{
    const float x[] = {1e30F, 1e30F, -1e30F, -INFINITY};
    float y[4];
    op_run run = {.build = apply_softmax};
    op_apply(&run, peft_shape_1(4), x, y, NULL);
    const float expected[] = {0.5F, 0.5F, 0, 0};
    ck_assert_mem_eq(y, expected, sizeof y);
}
END_TEST

START_TEST(one_bad_logit_spoils_its_row_alone)
{
    float x[3 * 5] = {0}, y[3 * 5];
    x[7] = NAN;
    op_run run = {.build = apply_softmax};
    op_apply(&run, peft_shape_2(3, 5), x, y, NULL);
    for (int k = 0; k < 3 * 5; k++) ck_assert(k / 5 == 1 ? isnan(y[k]) : y[k] == 0.2F);
}
END_TEST

TEST_MAIN("softmax", tcase_add_loop_test(tc, softmax_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, large_logits_do_not_overflow); tcase_add_test(tc, one_bad_logit_spoils_its_row_alone))
