#include "tests/support/main.h"
#include "tests/support/op_check.h"

static peft_tensor *mean(peft_graph *g, peft_tensor *const *in)
{
    return peft_mse(g, in[0], in[1], 0);
}

static peft_tensor *of_a_larger_batch(peft_graph *g, peft_tensor *const *in)
{
    return peft_mse(g, in[0], in[1], 40);
}

static peft_tensor *with_itself(peft_graph *g, peft_tensor *const *in)
{
    return peft_mse(g, in[0], in[0], 0);
}

static const op_case cases[] = {
    {"mean", mean, {SHAPE2(7, 3), SHAPE2(7, 3)}, 0},
    {"given normalizer", of_a_larger_batch, {SHAPE2(7, 3), {.shape = {2, {7, 3}}, .constant = true}}, 0},
    {"the same tensor twice", with_itself, {SHAPE2(2, 3)}, 0},
};

START_TEST(mse_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

START_TEST(wrong_shapes_are_refused)
{
    op_case wrong = {"target", mean, {SHAPE2(7, 3), SHAPE2(3, 7)}, 0};
    op_check_refused(&wrong, PEFT_ERR_SHAPE, "mse: target: expected [7, 3], found [3, 7]");
}
END_TEST

TEST_MAIN("mse", tcase_add_loop_test(tc, mse_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, wrong_shapes_are_refused))
