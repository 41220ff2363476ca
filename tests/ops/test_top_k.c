#include <math.h>

#include "tests/support/main.h"
#include "tests/support/op_apply.h"
#include "tests/support/op_check.h"

static peft_tensor *top(peft_graph *g, peft_tensor *x, const void *options)
{
    return peft_top_k(g, x, *(const int64_t *)options, 1, 0);
}

/* The k largest of each row, and the softmax over them alone. */
static peft_tensor *masked(peft_graph *g, peft_tensor *const *in)
{
    return peft_mul(g, in[0], peft_top_k(g, in[0], 2, 1, 0));
}

static peft_tensor *softmax_of_some(peft_graph *g, peft_tensor *const *in)
{
    return peft_softmax(g, peft_add(g, in[0], peft_top_k(g, in[0], 3, 0, -HUGE_VAL)));
}

static const op_case cases[] = {
    {"masked", masked, {SHAPE2(11, 5)}, 0},
    {"masked, all", masked, {SHAPE3(3, 4, 2)}, 0},
    {"masked, several pieces", masked, {SHAPE2(301, 130)}, 0},
    {"softmax of some", softmax_of_some, {SHAPE2(11, 8)}, 0},
};

START_TEST(the_gradient_goes_to_what_is_kept)
{
    op_check(&cases[_i]);
}
END_TEST

static void check_mask(int64_t k, const float x[4], const float expected[4])
{
    float y[4];
    op_run run = {.build = top, .options = &k};
    op_apply(&run, peft_shape_2(1, 4), x, y, NULL);
    ck_assert_mem_eq(y, expected, sizeof y);
}

START_TEST(of_equal_ones_the_first_are_taken)
{
    const float mixed[] = {2, -1, 3, 2}, equal[] = {5, 5, 5, 5};
    check_mask(1, mixed, (const float[]){0, 0, 1, 0});
    check_mask(2, mixed, (const float[]){1, 0, 1, 0});
    check_mask(3, mixed, (const float[]){1, 0, 1, 1});
    check_mask(4, mixed, (const float[]){1, 1, 1, 1});
    check_mask(2, equal, (const float[]){1, 1, 0, 0});
}
END_TEST

static peft_tensor *none(peft_graph *g, peft_tensor *const *in)
{
    return peft_top_k(g, in[0], 0, 1, 0);
}

static peft_tensor *too_many(peft_graph *g, peft_tensor *const *in)
{
    return peft_top_k(g, in[0], 6, 1, 0);
}

START_TEST(numbers_outside_are_refused)
{
    op_case few = {"none", none, {SHAPE2(3, 5)}, 0}, many = {"too many", too_many, {SHAPE2(3, 5)}, 0};
    op_check_refused(&few, PEFT_ERR_ARGUMENT, "top_k: k: expected 1 ... 5, found 0");
    op_check_refused(&many, PEFT_ERR_ARGUMENT, "top_k: k: expected 1 ... 5, found 6");
}
END_TEST

TEST_MAIN("top_k", tcase_add_loop_test(tc, the_gradient_goes_to_what_is_kept, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, of_equal_ones_the_first_are_taken); tcase_add_test(tc, numbers_outside_are_refused))
