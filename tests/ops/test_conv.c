#include <math.h>

#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

/* ---- along a sequence ---- */

static peft_tensor *causal(peft_graph *g, peft_tensor *const *in)
{
    return peft_causal_conv(g, in[0], in[1], in[2], in[3]);
}

static peft_tensor *causal_without_bias(peft_graph *g, peft_tensor *const *in)
{
    return peft_causal_conv(g, in[0], in[1], NULL, in[2]);
}

static const int32_t one[] = {0, 1}, three[] = {0, 2, 9, 11}, long_ones[] = {0, 60, 201};
#define STARTS(values)                                                                                                 \
    {                                                                                                                  \
        .shape = {1, {sizeof(values) / sizeof *(values)}}, .indices = values                                           \
    }

/* ---- along a sample ---- */

static peft_tensor *conv(peft_graph *g, peft_tensor *const *in)
{
    return peft_conv(g, in[0], in[1], in[2]);
}

static peft_tensor *conv_without_bias(peft_graph *g, peft_tensor *const *in)
{
    return peft_conv(g, in[0], in[1], NULL);
}

static const op_case cases[] = {
    {"causal, one token", causal, {SHAPE2(1, 3), SHAPE2(3, 4), SHAPE1(3), STARTS(one)}, 0},
    {"causal, short sequences", causal, {SHAPE2(11, 5), SHAPE2(5, 4), SHAPE1(5), STARTS(three)}, 0},
    {"causal, without bias", causal_without_bias, {SHAPE2(11, 19), SHAPE2(19, 3), STARTS(three)}, 0},
    {"causal, of one tap", causal, {SHAPE2(11, 17), SHAPE2(17, 1), SHAPE1(17), STARTS(three)}, 0},
    {"causal, frozen",
     causal,
     {SHAPE2(11, 5), {.shape = {2, {5, 4}}, .constant = true}, {.shape = {1, {5}}, .constant = true}, STARTS(three)},
     0},
    {"causal, several strips", causal, {SHAPE2(201, 150), SHAPE2(150, 4), SHAPE1(150), STARTS(long_ones)}, 0},
    {"one sample, one channel", conv, {SHAPE3(1, 5, 1), SHAPE3(1, 1, 7), SHAPE1(1)}, 0},
    {"no samples", conv, {SHAPE3(0, 5, 2), SHAPE3(3, 2, 7), SHAPE1(3)}, 0},
    {"shorter than the taps", conv, {SHAPE3(3, 2, 2), SHAPE3(3, 2, 7), SHAPE1(3)}, 0},
    {"one channel to some", conv, {SHAPE3(3, 9, 1), SHAPE3(4, 1, 7), SHAPE1(4)}, 0},
    {"some channels to one", conv, {SHAPE3(3, 9, 5), SHAPE3(1, 5, 3), SHAPE1(1)}, 0},
    {"one tap, without bias", conv_without_bias, {SHAPE3(3, 9, 5), SHAPE3(2, 5, 1)}, 0},
    {"frozen weight", conv, {SHAPE3(3, 9, 5), {.shape = {3, {2, 5, 3}}, .constant = true}, SHAPE1(2)}, 0},
    {"several pieces", conv, {SHAPE3(50, 31, 8), SHAPE3(12, 8, 7), SHAPE1(12)}, 0},
    {"more pieces than sums", conv, {SHAPE3(2, 3001, 3), SHAPE3(4, 3, 5), SHAPE1(4)}, 1e-4}, /* 6002 terms of dw */
};

START_TEST(convolutions_are_right)
{
    op_check(&cases[_i]);
}
END_TEST

/* As torch.nn.functional.conv1d(padding=1) of two channels has it. */
START_TEST(values_are_those_of_the_definition)
{
    peft_error error = {0};
    peft_graph *g;
    peft_context *ctx;
    const peft_context_options options = {.threads = 1};
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, &options, &error));
    const float x[] = {1, 10, 2, 20, 3, 30}, w[] = {1, 2, 3, 0.1F, 0.2F, 0.3F}, bias[] = {100};
    peft_tensor *y = peft_conv(g, peft_constant(g, PEFT_F32, peft_shape_3(1, 3, 2), x, "x"),
                               peft_constant(g, PEFT_F32, peft_shape_3(1, 2, 3), w, "w"),
                               peft_constant(g, PEFT_F32, peft_shape_1(1), bias, "b"));
    ck_assert_ptr_nonnull(peft_graph_keep(g, y));
    ck_assert(!peft_graph_run(g, ctx, &error));
    const double expected[] = {116, 128, 116};
    for (int p = 0; p < 3; p++)
        ck_assert_double_eq_tol((double)((const float *)read_values(g, y))[p], expected[p], 1e-4);

    peft_graph_reset(g);
    static const int32_t starts[] = {0, 2, 3};
    const float taps[] = {10, 1, 10, 1};
    y = peft_causal_conv(g, peft_constant(g, PEFT_F32, peft_shape_2(3, 2), x, "x"),
                         peft_constant(g, PEFT_F32, peft_shape_2(2, 2), taps, "w"), NULL,
                         peft_constant(g, PEFT_I32, peft_shape_1(3), starts, "starts"));
    ck_assert_ptr_nonnull(peft_graph_keep(g, y));
    ck_assert(!peft_graph_run(g, ctx, &error));
    const float causal_expected[] = {1, 10, 12, 120, 3, 30};
    ck_assert_mem_eq(read_values(g, y), causal_expected, sizeof causal_expected);
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
    op_case even = {"even", conv, {SHAPE3(1, 5, 2), SHAPE3(3, 2, 4), SHAPE1(3)}, 0};
    op_check_refused(&even, PEFT_ERR_SHAPE, "conv: weight: expected an odd width, found 4");
    op_case channels = {"channels", conv, {SHAPE3(1, 5, 2), SHAPE3(3, 4, 3), SHAPE1(3)}, 0};
    op_check_refused(&channels, PEFT_ERR_SHAPE, "conv: weight: expected [any, 2, any], found [3, 4, 3]");
    op_case bias = {"bias", conv, {SHAPE3(1, 5, 2), SHAPE3(3, 2, 3), SHAPE1(2)}, 0};
    op_check_refused(&bias, PEFT_ERR_SHAPE, "conv: bias: expected [3], found [2]");
    op_case tokens = {"tokens", causal, {SHAPE2(7, 3), SHAPE2(3, 4), SHAPE1(3), STARTS(three)}, 0};
    op_check_refused(&tokens, PEFT_ERR_ARGUMENT, "causal_conv: starts");
    op_case taps = {"taps", causal, {SHAPE2(11, 3), SHAPE2(4, 3), SHAPE1(3), STARTS(three)}, 0};
    op_check_refused(&taps, PEFT_ERR_SHAPE, "causal_conv: weight: expected [3, any], found [4, 3]");
}
END_TEST

TEST_MAIN("conv", tcase_add_loop_test(tc, convolutions_are_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, values_are_those_of_the_definition); tcase_add_test(tc, wrong_arguments_are_refused))
