#include "tests/support/main.h"
#include "tests/support/op_check.h"

static peft_tensor *linear(peft_graph *g, peft_tensor *const *in)
{
    return peft_linear(g, in[0], in[1], in[2]);
}

static peft_tensor *used_twice(peft_graph *g, peft_tensor *const *in)
{
    return peft_linear(g, peft_linear(g, in[0], in[1], NULL), in[1], NULL);
}

static const op_case cases[] = {
    {"one token", linear, {SHAPE2(1, 7), SHAPE2(5, 7), SHAPE1(5)}, 0},
    {"odd sizes", linear, {SHAPE2(11, 7), SHAPE2(5, 7), SHAPE1(5)}, 0},
    {"without bias", linear, {SHAPE2(3, 4), SHAPE2(6, 4)}, 0},
    {"frozen weight", linear, {SHAPE2(11, 7), {.shape = {2, {5, 7}}, .constant = true}, SHAPE1(5)}, 0},
    {"several tiles", linear, {SHAPE2(1000, 33), SHAPE2(403, 33), SHAPE1(403)}, 0},
    {"a weight used twice", used_twice, {SHAPE2(5, 4), SHAPE2(4, 4)}, 0},
};

START_TEST(linear_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

START_TEST(wrong_shapes_are_refused)
{
    op_case wrong = {"weight", linear, {SHAPE2(11, 7), SHAPE2(5, 8)}, 0};
    op_check_refused(&wrong, PEFT_ERR_SHAPE, "linear: weight: expected [any, 7], found [5, 8]");
    op_case bias = {"bias", linear, {SHAPE2(11, 7), SHAPE2(5, 7), SHAPE1(6)}, 0};
    op_check_refused(&bias, PEFT_ERR_SHAPE, "linear: bias: expected [5], found [6]");
}
END_TEST

TEST_MAIN("linear", tcase_add_loop_test(tc, linear_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, wrong_shapes_are_refused))
