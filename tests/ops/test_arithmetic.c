#include "tests/support/main.h"
#include "tests/support/op_apply.h"
#include "tests/support/op_check.h"

static peft_tensor *add(peft_graph *g, peft_tensor *const *in)
{
    return peft_add(g, in[0], in[1]);
}

static peft_tensor *mul(peft_graph *g, peft_tensor *const *in)
{
    return peft_mul(g, in[0], in[1]);
}

static peft_tensor *scale(peft_graph *g, peft_tensor *const *in)
{
    return peft_scale(g, in[0], -0.3);
}

static peft_tensor *shift(peft_graph *g, peft_tensor *const *in)
{
    return peft_shift(g, in[0], -0.3);
}

static peft_tensor *shift_between(peft_graph *g, peft_tensor *const *in)
{
    return peft_scale(g, peft_shift(g, peft_scale(g, in[0], 1.5), 2), -2);
}

static peft_tensor *twice(peft_graph *g, peft_tensor *const *in)
{
    return peft_add(g, in[0], in[0]);
}

static peft_tensor *square(peft_graph *g, peft_tensor *const *in)
{
    return peft_mul(g, in[0], in[0]);
}

static peft_tensor *root(peft_graph *g, peft_tensor *const *in)
{
    return peft_power(g, in[0], 0.5);
}

static peft_tensor *reciprocal(peft_graph *g, peft_tensor *const *in)
{
    return peft_power(g, in[0], -1);
}

static peft_tensor *cube(peft_graph *g, peft_tensor *const *in)
{
    return peft_power(g, in[0], 3);
}

static peft_tensor *modulate(peft_graph *g, peft_tensor *const *in)
{
    return peft_modulate(g, in[0], in[1], in[2]);
}

static peft_tensor *modulate_between(peft_graph *g, peft_tensor *const *in)
{
    return peft_scale(g, peft_modulate(g, peft_scale(g, in[0], 1.5), in[1], in[2]), -2);
}

/* 2 x (x + b) c, everything written in place where that can be */
static peft_tensor *several(peft_graph *g, peft_tensor *const *in)
{
    peft_tensor *sum = peft_add(g, peft_scale(g, in[0], 1), in[1]);
    return peft_scale(g, peft_mul(g, peft_mul(g, sum, in[0]), in[2]), 2);
}

static const op_case cases[] = {
    {"(x + a) b", modulate, {SHAPE3(3, 5, 19), SHAPE1(15), SHAPE1(15)}, 0},
    {"(x + a) b, one column", modulate, {SHAPE2(7, 1), SHAPE1(7), SHAPE1(7)}, 0},
    {"(x + a) b, no rows", modulate, {SHAPE2(0, 5), SHAPE1(0), SHAPE1(0)}, 0},
    {"(x + a) b, in place", modulate_between, {SHAPE2(7, 33), SHAPE1(7), SHAPE1(7)}, 0},
    {"(x + a) b, x frozen", modulate, {{.shape = {2, {7, 5}}, .constant = true}, SHAPE1(7), SHAPE1(7)}, 0},
    {"(x + a) b, b frozen", modulate, {SHAPE2(7, 5), SHAPE1(7), {.shape = {1, {7}}, .constant = true}}, 0},
    {"(x + a) b, several pieces", modulate, {SHAPE2(301, 130), SHAPE1(301), SHAPE1(301)}, 0},
    {"a + b, one element", add, {SHAPE1(1), SHAPE1(1)}, 0},
    {"a + b, no elements", add, {SHAPE2(0, 5), SHAPE2(0, 5)}, 0},
    {"a + b", add, {SHAPE3(3, 5, 7), SHAPE3(3, 5, 7)}, 0},
    {"a + b, b a row", add, {SHAPE3(3, 5, 7), SHAPE1(7)}, 0},
    {"a + b, b a matrix", add, {SHAPE3(3, 5, 7), SHAPE2(5, 7)}, 0},
    {"a + b, b a row, no rows", add, {SHAPE2(0, 7), SHAPE1(7)}, 0},
    {"a + b, b one element", add, {SHAPE3(3, 5, 7), SHAPE1(1)}, 0},
    {"a + b, several pieces", add, {SHAPE2(301, 130), SHAPE2(301, 130)}, 0},
    {"a + b, several strips", add, {SHAPE2(301, 130), SHAPE1(130)}, 0},
    {"a + b, one element for several pieces", add, {SHAPE2(301, 130), SHAPE1(1)}, 0},
    {"a b, one element", mul, {SHAPE1(1), SHAPE1(1)}, 0},
    {"a b, no elements", mul, {SHAPE2(0, 5), SHAPE2(0, 5)}, 0},
    {"a b", mul, {SHAPE3(3, 5, 7), SHAPE3(3, 5, 7)}, 0},
    {"a b, b a row", mul, {SHAPE3(3, 5, 19), SHAPE1(19)}, 0},
    {"a b, b a matrix", mul, {SHAPE3(3, 5, 7), SHAPE2(5, 7)}, 0},
    {"a b, b one element", mul, {SHAPE3(3, 5, 7), SHAPE1(1)}, 0},
    {"a b, several pieces", mul, {SHAPE2(301, 130), SHAPE2(301, 130)}, 0},
    {"a b, several strips", mul, {SHAPE2(301, 130), SHAPE1(130)}, 0},
    {"a b, one element for several pieces", mul, {SHAPE2(301, 130), SHAPE1(1)}, 0},
    {"a b, a frozen", mul, {{.shape = {2, {5, 7}}, .constant = true}, SHAPE1(7)}, 0},
    {"a b, b frozen", mul, {SHAPE2(5, 7), {.shape = {1, {7}}, .constant = true}}, 0},
    {"f x", scale, {SHAPE2(5, 7)}, 0},
    {"f x, several pieces", scale, {SHAPE2(301, 130)}, 0},
    {"root of x", root, {{.shape = {2, {5, 7}}, .low = 0.2, .high = 3}}, 0},
    {"1 / x, several pieces", reciprocal, {{.shape = {2, {301, 130}}, .low = 0.2, .high = 3}}, 0},
    {"x^3", cube, {SHAPE2(5, 7)}, 0},
    {"x^3, no elements", cube, {SHAPE2(0, 7)}, 0},
    {"x + c", shift, {SHAPE2(5, 7)}, 0},
    {"x + c, no elements", shift, {SHAPE2(0, 7)}, 0},
    {"x + c, several pieces", shift, {SHAPE2(301, 130)}, 0},
    {"x + c, in place", shift_between, {SHAPE2(9, 11)}, 0},
    {"x + x", twice, {SHAPE2(5, 7)}, 0},
    {"x x", square, {SHAPE2(5, 7)}, 0},
    {"several together", several, {SHAPE2(5, 19), SHAPE1(19), SHAPE2(5, 19)}, 0},
};

START_TEST(arithmetic_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

static peft_tensor *root_of(peft_graph *g, peft_tensor *x, const void *options)
{
    (void)options;
    return peft_power(g, x, 0.5);
}

/* A norm has no slope at 0: none is taken. */
START_TEST(the_root_of_zero_has_no_gradient)
{
    float x[] = {0, 4}, y[2], dx[2];
    op_run run = {.build = root_of};
    op_apply(&run, peft_shape_1(2), x, y, dx);
    ck_assert(y[0] == 0 && y[1] == 2 && dx[0] == 0 && dx[1] == 0.25F);
}
END_TEST

START_TEST(shapes_that_do_not_repeat_are_refused)
{
    op_case first = {"first dimension", add, {SHAPE2(5, 7), SHAPE1(5)}, 0};
    op_check_refused(&first, PEFT_ERR_SHAPE, "add: b: expected last dimensions of [5, 7] or one element, found [5]");
    op_case larger = {"larger b", mul, {SHAPE1(7), SHAPE2(5, 7)}, 0};
    op_check_refused(&larger, PEFT_ERR_SHAPE, "mul: b");
    op_case ones = {"a dimension of 1", mul, {SHAPE2(5, 7), SHAPE2(5, 1)}, 0};
    op_check_refused(&ones, PEFT_ERR_SHAPE, "mul: b");
    static const int32_t index[] = {0};
    op_case integers = {"integers", add, {SHAPE1(1), {.shape = {1, {1}}, .indices = index}}, 0};
    op_check_refused(&integers, PEFT_ERR_DTYPE, "add: b");
}
END_TEST

TEST_MAIN("arithmetic", tcase_add_loop_test(tc, arithmetic_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, the_root_of_zero_has_no_gradient);
          tcase_add_test(tc, shapes_that_do_not_repeat_are_refused))
