/* Attention with a bias that is learned: that of plain attention, and the bias has a gradient. */
#include "models/biased_attention.h"

#include <math.h>

#include "tests/support/main.h"
#include "tests/support/op_check.h"

enum { HEADS = 3, SIZE = 4, WIDTH = HEADS * SIZE, SEQUENCES = 3, TOKENS = 12, LONGEST = 7 };
enum { Q, K, V, BIAS, INPUTS };

static const int32_t starts[] = {0, 4, 5, TOKENS}; /* sequences of 4, 1 and 7 tokens */
static const peft_batch batch = {.num_tokens = TOKENS, .num_sequences = SEQUENCES, .starts = starts};

static const peft_attention_options all_options[] = {
    {.num_heads = HEADS},
    {.num_heads = HEADS, .scale = 0.3},
    {.num_heads = HEADS, .dropout = 0.3, .dropout_stream = 9, .first_row = 4},
};
enum { NUM_OPTIONS = sizeof all_options / sizeof *all_options };
static const peft_attention_options *current; /* of the running test, for building functions */

static peft_tensor *biased(peft_graph *g, peft_tensor *const *in)
{
    peft_attention_options options = *current;
    options.bias = in[BIAS];
    return peft_biased_attention(g, in[Q], in[K], in[V], &batch, &options);
}

static peft_tensor *plain(peft_graph *g, peft_tensor *const *in)
{
    peft_attention_options options = *current;
    options.bias = in[BIAS];
    return peft_attention(g, in[Q], in[K], in[V], peft_batch_starts(g, &batch), NULL, &options);
}

/* In bf16 queries, keys and the bias are rounded where attention reads them (tests/ops/test_attention.c). */
START_TEST(gradients_are_right)
{
    current = &all_options[_i];
    const op_case c = {
        "biased attention",
        biased,
        {SHAPE2(TOKENS, WIDTH), SHAPE2(TOKENS, WIDTH), SHAPE2(TOKENS, WIDTH), SHAPE3(HEADS, LONGEST, LONGEST)},
        0};
    op_check_rounded(&c, 1.0 / 32);
}
END_TEST

static void check_zero(const peft_tensor *t)
{
    for (int64_t k = 0; k < peft_shape_count(&t->shape); k++)
        ck_assert_double_le(fabs(((const double *)t->data)[k]), 1e-13);
}

/* In double, the difference of both is 0, and so are its gradients for an upstream gradient of noise. */
START_TEST(it_is_attention_with_this_bias)
{
    static const peft_shape shapes[] = {
        {2, {TOKENS, WIDTH}}, {2, {TOKENS, WIDTH}}, {2, {TOKENS, WIDTH}}, {3, {HEADS, LONGEST, LONGEST}}};
    static double values[INPUTS][TOKENS * WIDTH + HEADS * LONGEST * LONGEST], dy[TOKENS * WIDTH];
    peft_graph *g;
    peft_context *ctx;
    peft_error error;
    peft_tensor *in[INPUTS];
    current = &all_options[_i];
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    for (int k = 0; k < INPUTS; k++) {
        for (int64_t n = 0; n < peft_shape_count(&shapes[k]); n++) values[k][n] = op_noise((uint64_t)(k * 100000 + n));
        in[k] = k == BIAS ? peft_constant(g, PEFT_F64, shapes[k], values[k], "bias")
                          : peft_variable(g, PEFT_F64, shapes[k], values[k], "x");
    }
    for (int n = 0; n < TOKENS * WIDTH; n++) dy[n] = op_noise(900000 + (uint64_t)n);
    peft_tensor *off = peft_graph_keep(g, peft_add(g, biased(g, in), peft_scale(g, plain(g, in), -1)));
    ck_assert_msg(!peft_graph_differentiate_from(g, off, dy, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    check_zero(off);
    for (int k = Q; k <= V; k++) check_zero(in[k]->grad);
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

TEST_MAIN("biased_attention", tcase_add_loop_test(tc, gradients_are_right, 0, NUM_OPTIONS);
          tcase_add_loop_test(tc, it_is_attention_with_this_bias, 0, NUM_OPTIONS))
