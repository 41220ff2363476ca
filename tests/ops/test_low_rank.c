#include "tests/support/main.h"
#include "tests/support/op_check.h"

static const int32_t starts[] = {0, 3, 4, 11};

static peft_tensor *build(peft_graph *g, peft_tensor *const *in, peft_tensor *gate, peft_tensor *sequences)
{
    return peft_low_rank(g, in[0], in[1], in[2], in[3], gate, sequences, 1.7);
}

static peft_tensor *plain(peft_graph *g, peft_tensor *const *in)
{
    return build(g, in, NULL, NULL);
}

static peft_tensor *gated(peft_graph *g, peft_tensor *const *in)
{
    return build(g, in, in[4], in[5]);
}

static peft_tensor *no_base(peft_graph *g, peft_tensor *const *in)
{
    return peft_low_rank(g, NULL, in[0], in[1], in[2], NULL, NULL, 0.5);
}

/* The base output is read again by someone else, so it may not be overwritten. */
static peft_tensor *base_used_again(peft_graph *g, peft_tensor *const *in)
{
    peft_tensor *base = peft_linear(g, in[0], in[1], NULL);
    peft_tensor *y = peft_low_rank(g, base, in[0], in[2], in[3], NULL, NULL, 2.0);
    return peft_low_rank(g, y, base, in[4], in[3], NULL, NULL, 1.0);
}

#define STARTS                                                                                                         \
    {                                                                                                                  \
        .shape = {1, {4}}, .indices = starts                                                                           \
    }

static const op_case cases[] = {
    {"plain", plain, {SHAPE2(11, 5), SHAPE2(11, 7), SHAPE2(3, 7), SHAPE2(5, 3)}, 0},
    {"rank 1, one token", plain, {SHAPE2(1, 5), SHAPE2(1, 7), SHAPE2(1, 7), SHAPE2(5, 1)}, 0},
    {"rank above both sizes", plain, {SHAPE2(4, 5), SHAPE2(4, 7), SHAPE2(9, 7), SHAPE2(5, 9)}, 0},
    {"without base", no_base, {SHAPE2(11, 7), SHAPE2(3, 7), SHAPE2(5, 3)}, 0},
    {"base used again", base_used_again, {SHAPE2(6, 7), SHAPE2(5, 7), SHAPE2(2, 7), SHAPE2(5, 2), SHAPE2(2, 5)}, 0},
    {"gate of features", gated, {SHAPE2(11, 5), SHAPE2(11, 7), SHAPE2(3, 7), SHAPE2(5, 3), SHAPE1(3), STARTS}, 0},
    {"gate of tokens", gated, {SHAPE2(11, 5), SHAPE2(11, 7), SHAPE2(4, 7), SHAPE2(5, 4), SHAPE2(11, 4), STARTS}, 0},
    {"gate of experts", gated, {SHAPE2(11, 5), SHAPE2(11, 7), SHAPE2(6, 7), SHAPE2(5, 6), SHAPE2(11, 2), STARTS}, 0},
    {"gate of sequences", gated, {SHAPE2(11, 5), SHAPE2(11, 7), SHAPE2(4, 7), SHAPE2(5, 4), SHAPE2(3, 4), STARTS}, 0},
    {"an adapter a sequence",
     gated,
     {SHAPE2(11, 5), SHAPE2(11, 7), SHAPE3(3, 2, 7), SHAPE3(3, 5, 2), SHAPE2(3, 2), STARTS},
     0},
    {"rank of whole vectors", plain, {SHAPE2(70, 21), SHAPE2(70, 33), SHAPE2(16, 33), SHAPE2(21, 16)}, 0},
    {"whole vectors for each sequence",
     gated,
     {SHAPE2(11, 5), SHAPE2(11, 7), SHAPE3(3, 16, 7), SHAPE3(3, 5, 16), SHAPE2(3, 4), STARTS},
     0},
    {"many pieces", plain, {SHAPE2(4200, 3), SHAPE2(4200, 2), SHAPE2(1, 2), SHAPE2(3, 1)}, 0},
    {"several pieces", plain, {SHAPE2(700, 131), SHAPE2(700, 77), SHAPE2(8, 77), SHAPE2(131, 8)}, 0},
    {"several chunks of columns", plain, {SHAPE2(37, 515), SHAPE2(37, 261), SHAPE2(19, 261), SHAPE2(515, 19)}, 0},
    {"a rank of whole and part strips", plain, {SHAPE2(35, 18), SHAPE2(35, 34), SHAPE2(101, 34), SHAPE2(18, 101)}, 0},
    {"whole vectors for gated tokens",
     gated,
     {SHAPE2(75, 258), SHAPE2(75, 514), SHAPE2(64, 514), SHAPE2(258, 64), SHAPE2(75, 4)},
     0},
};

/* x, A, c and B are rounded, each by 2^-9 of itself at most, and as many factors of each gradient: by 2^-7 all
 * together, and twice that where a sum is less than the sizes of what it sums up. */
static const double BF16_TOLERANCE = 1.0 / 64;

START_TEST(low_rank_is_right)
{
    op_check_rounded(&cases[_i], BF16_TOLERANCE);
}
END_TEST

START_TEST(wrong_shapes_are_refused)
{
    op_case b = {"B", plain, {SHAPE2(11, 5), SHAPE2(11, 7), SHAPE2(3, 7), SHAPE2(5, 4)}, 0};
    op_check_refused(&b, PEFT_ERR_SHAPE, "low_rank: B: expected [any, 3], found [5, 4]");
    op_case gate = {"gate", gated, {SHAPE2(11, 5), SHAPE2(11, 7), SHAPE2(3, 7), SHAPE2(5, 3), SHAPE1(2), STARTS}, 0};
    op_check_refused(&gate, PEFT_ERR_SHAPE, "gate: expected entries that divide the rank 3, found 2");
    op_case loose = {"per sequence", plain, {SHAPE2(11, 5), SHAPE2(11, 7), SHAPE3(3, 2, 7), SHAPE3(3, 5, 2)}, 0};
    op_check_refused(&loose, PEFT_ERR_ARGUMENT, "an adapter for each sequence needs starts");
}
END_TEST

TEST_MAIN("low_rank", tcase_add_loop_test(tc, low_rank_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, wrong_shapes_are_refused))
