#include "ops/batch.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

static const int32_t starts[] = {0, 3, 4, 11}, short_of[] = {0, 3, 4, 10}, empty[] = {0, 3, 3, 11},
                     late[] = {1, 3, 4, 11};

static peft_tensor *mean_pool(peft_graph *g, peft_tensor *const *in)
{
    return peft_mean_pool(g, in[0], in[1]);
}

static peft_tensor *first_pool(peft_graph *g, peft_tensor *const *in)
{
    return peft_first_pool(g, in[0], in[1]);
}

/* Sequences of 3, 1 and 7 tokens. */
static const int32_t prompts[] = {2, 1, 7}, too_long[] = {2, 1, 8}, without_prompt[] = {2, 0, 7};

static peft_tensor *prefix_pool(peft_graph *g, peft_tensor *const *in)
{
    return peft_prefix_pool(g, in[0], in[1], in[2]);
}

static peft_tensor *prefix_pool_and_use(peft_graph *g, peft_tensor *const *in)
{
    return peft_mul(g, peft_prefix_pool(g, in[0], in[1], in[2]), peft_mean_pool(g, in[0], in[1]));
}

static peft_tensor *spread(peft_graph *g, peft_tensor *const *in)
{
    return peft_spread(g, in[0], in[1]);
}

static peft_tensor *spread_the_mean(peft_graph *g, peft_tensor *const *in)
{
    return peft_mul(g, in[0], peft_spread(g, peft_mean_pool(g, in[0], in[1]), in[1]));
}

#define INPUTS(values)                                                                                                 \
    {                                                                                                                  \
        {.shape = {2, {11, 7}}},                                                                                       \
        {                                                                                                              \
            .shape = {1, {4}}, .indices = values                                                                       \
        }                                                                                                              \
    }

#define PREFIX_INPUTS(values)                                                                                          \
    {                                                                                                                  \
        {.shape = {2, {11, 7}}}, {.shape = {1, {4}}, .indices = starts},                                               \
        {                                                                                                              \
            .shape = {1, {3}}, .indices = values                                                                       \
        }                                                                                                              \
    }

static const op_case cases[] = {
    {"mean", mean_pool, INPUTS(starts), 0},
    {"first", first_pool, INPUTS(starts), 0},
    {"spread", spread, {SHAPE2(3, 7), {.shape = {1, {4}}, .indices = starts}}, 0},
    {"spread the mean", spread_the_mean, INPUTS(starts), 0},
    {"prefix", prefix_pool, PREFIX_INPUTS(prompts), 0},
    {"prefix and mean", prefix_pool_and_use, PREFIX_INPUTS(prompts), 0},
};

START_TEST(pooling_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

START_TEST(starts_are_checked)
{
    op_case wrong = {"starts", mean_pool, INPUTS(short_of), 0};
    op_check_refused(&wrong, PEFT_ERR_ARGUMENT, "mean_pool: starts[3]: expected 11 tokens, found 10");
    op_case without_token = {"starts", first_pool, INPUTS(empty), 0};
    op_check_refused(&without_token, PEFT_ERR_ARGUMENT, "first_pool: starts[2]: expected more than 3, found 3");
    op_case not_from_zero = {"starts", first_pool, INPUTS(late), 0};
    op_check_refused(&not_from_zero, PEFT_ERR_ARGUMENT, "first_pool: starts[0]: expected 0, found 1");
    op_case sequences = {"spread", spread, {SHAPE2(4, 7), {.shape = {1, {4}}, .indices = starts}}, 0};
    op_check_refused(&sequences, PEFT_ERR_SHAPE, "spread: x: expected [3, any], found [4, 7]");
    op_case unordered = {"spread", spread, {SHAPE2(3, 7), {.shape = {1, {4}}, .indices = empty}}, 0};
    op_check_refused(&unordered, PEFT_ERR_ARGUMENT, "spread: starts[2]: expected more than 3, found 3");
    op_case longer = {"counts", prefix_pool, PREFIX_INPUTS(too_long), 0};
    op_check_refused(&longer, PEFT_ERR_ARGUMENT, "prefix_pool: counts[2]: expected 1 ... 7, found 8");
    op_case none = {"counts", prefix_pool, PREFIX_INPUTS(without_prompt), 0};
    op_check_refused(&none, PEFT_ERR_ARGUMENT, "prefix_pool: counts[1]: expected 1 ... 1, found 0");
}
END_TEST

/* Two sequences of 1 and 2 tokens, each known by what its own tokens were. */
START_TEST(a_pooled_batch_has_a_token_for_each_sequence)
{
    static const int32_t sequences[] = {0, 1, 3};
    static const float x[] = {1, 3, 4, 0, 0, 2};
    const peft_batch batch = {
        .num_tokens = 3, .num_sequences = 2, .starts = sequences, .first_token = 40, .first_sequence = 7};
    peft_graph *g;
    peft_context *ctx;
    ck_assert(!peft_graph_create(&g, NULL) && !peft_context_open(&ctx, NULL, NULL));
    const peft_batch *pooled = peft_batch_pooled(g, &batch);
    ck_assert(pooled->num_tokens == 2 && pooled->num_sequences == 2 && pooled->first_token == 7);
    ck_assert(pooled->starts[0] == 0 && pooled->starts[1] == 1 && pooled->starts[2] == 2);
    ck_assert_ptr_null(peft_batch_embedding_means(g, pooled));
    peft_batch_set_embeddings(g, &batch, peft_constant(g, PEFT_F32, peft_shape_2(3, 2), x, "x"));
    peft_tensor *means = peft_graph_keep(g, peft_batch_embedding_means(g, pooled));
    ck_assert(!peft_graph_run(g, ctx, NULL));
    const double side = 0.70710678; /* (1, 3) and (2, 1), centred and of length one */
    const double expected[] = {-side, side, side, -side};
    for (int k = 0; k < 4; k++)
        ck_assert_double_eq_tol((double)((const float *)read_values(g, means))[k], expected[k], 1e-6);
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

TEST_MAIN("pool", tcase_add_loop_test(tc, pooling_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, starts_are_checked); tcase_add_test(tc, a_pooled_batch_has_a_token_for_each_sequence))
