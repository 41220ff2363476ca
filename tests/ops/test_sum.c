#include "tests/support/main.h"
#include "tests/support/op_apply.h"
#include "tests/support/op_check.h"

static int32_t dim; /* of the running test */

static peft_tensor *sum(peft_graph *g, peft_tensor *const *in)
{
    return peft_sum(g, in[0], dim);
}

static peft_tensor *mean(peft_graph *g, peft_tensor *const *in)
{
    return peft_mean(g, in[0], dim);
}

static const struct {
    op_case c;
    int32_t dim;
} cases[] = {
    {{"of everything", sum, {SHAPE3(3, 5, 7)}, 0}, PEFT_ALL_DIMS},
    {{"over the first dimension", sum, {SHAPE3(3, 5, 7)}, 0}, 0},
    {{"over the middle dimension", sum, {SHAPE3(3, 5, 7)}, 0}, 1},
    {{"over the last dimension", sum, {SHAPE3(3, 5, 7)}, 0}, 2},
    {{"of a vector", sum, {SHAPE1(9)}, 0}, 0},
    {{"of no rows", sum, {SHAPE2(0, 3)}, 0}, 0},
    {{"of no columns", sum, {SHAPE2(3, 0)}, 0}, 1},
    {{"of several pieces", sum, {SHAPE2(301, 130)}, 0}, PEFT_ALL_DIMS},
    {{"of several strips", sum, {SHAPE2(301, 130)}, 0}, 0},
    {{"of many rows", sum, {SHAPE2(3001, 13)}, 0}, 1},
    {{"of long rows", sum, {SHAPE2(3, 17001)}, 0}, 1},
    {{"mean of everything", mean, {SHAPE3(3, 5, 7)}, 0}, PEFT_ALL_DIMS},
    {{"mean over a dimension", mean, {SHAPE3(3, 5, 7)}, 0}, 1},
};

START_TEST(sums_are_right)
{
    dim = cases[_i].dim;
    op_check(&cases[_i].c);
}
END_TEST

static peft_tensor *total(peft_graph *g, peft_tensor *x, const void *options)
{
    (void)options;
    return peft_sum(g, x, PEFT_ALL_DIMS);
}

/* In float, a million ones on top of 2^24 would all be lost. */
START_TEST(sums_are_taken_in_double)
{
    enum { COUNT = 1000001 };
    static float x[COUNT];
    x[0] = 0x1p24F;
    for (int k = 1; k < COUNT; k++) x[k] = 1;
    float y;
    op_run run = {.build = total};
    op_apply(&run, peft_shape_1(COUNT), x, &y, NULL);
    ck_assert_double_eq((double)y, 0x1p24 + COUNT - 1);
}
END_TEST

START_TEST(a_dimension_that_is_not_there_is_refused)
{
    dim = 2;
    op_case c = {"sum", sum, {SHAPE2(4, 5)}, 0};
    op_check_refused(&c, PEFT_ERR_ARGUMENT, "sum: dimension: expected less than 2, found 2");
    dim = -2;
    c.build = mean;
    op_check_refused(&c, PEFT_ERR_ARGUMENT, "mean: dimension");
}
END_TEST

TEST_MAIN("sum", tcase_add_loop_test(tc, sums_are_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, sums_are_taken_in_double); tcase_add_test(tc, a_dimension_that_is_not_there_is_refused))
