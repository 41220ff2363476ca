#include <math.h>
#include <string.h>

#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

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
    {"rank 1, one token", plain, {SHAPE2(1, 9), SHAPE2(1, 7), SHAPE2(1, 7), SHAPE2(9, 1)}, 0},
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
 * together, and twice that where a sum is less than the sizes of what it sums up. (Of one token and rank 1, a whole
 * gradient is a multiple of one sum: its size is one where little cancels out.) */
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

/* ---- without rounding ---- */

enum { TOKENS, IN, OUT, RANK, NUM_SIZES };
enum { Y0, X, A, B, DY, NUM_ARRAYS };
static const int64_t sizes[][NUM_SIZES] = {{1, 7, 5, 1},      {2, 32, 16, 2},     {7, 31, 33, 3},    {130, 33, 67, 4},
                                           {37, 64, 20, 7},   {131, 96, 48, 8},   {5, 65, 515, 9},   {34, 261, 100, 12},
                                           {66, 100, 63, 15}, {37, 515, 261, 19}, {129, 40, 258, 33}};

/* -1, 0 and 1: their sums over some hundred are small enough for the eight bits of bf16. */
static float *whole_numbers(int64_t count, int array)
{
    float *values = calloc((size_t)count, sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (int64_t k = 0; k < count; k++) values[k] = (float)rint(1.2 * op_noise(((uint64_t)array << 24) + (uint64_t)k));
    return values;
}

/* Results are y, then the gradients of y0, x, A and B. */
static void compute(const int64_t size[NUM_SIZES], const char *backend, peft_dtype dtype, float *results[DY + 1])
{
    const peft_shape shapes[] = {peft_shape_2(size[TOKENS], size[OUT]), peft_shape_2(size[TOKENS], size[IN]),
                                 peft_shape_2(size[RANK], size[IN]), peft_shape_2(size[OUT], size[RANK]),
                                 peft_shape_2(size[TOKENS], size[OUT])};
    const peft_context_options options = {.threads = 2, .backend = backend, .dtype = dtype};
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    float *values[NUM_ARRAYS];
    peft_tensor *in[DY];
    ck_assert_msg(!peft_context_open(&ctx, &options, &error), "%s", error.message);
    ck_assert(!peft_graph_create(&g, &error));
    for (int k = 0; k < NUM_ARRAYS; k++) {
        int64_t count = peft_shape_count(&shapes[k]);
        values[k] = whole_numbers(count, k);
        results[k] = calloc((size_t)count, sizeof(float));
        ck_assert_ptr_nonnull(results[k]);
        if (k < DY) in[k] = peft_parameter(g, PEFT_F32, shapes[k], values[k], results[k], "input");
    }
    peft_tensor *y = peft_graph_keep(g, peft_low_rank(g, in[Y0], in[X], in[A], in[B], NULL, NULL, 1));
    ck_assert_msg(!peft_graph_differentiate_from(g, y, values[DY], &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    memcpy(results[DY], read_values(g, y), (size_t)peft_shape_count(&y->shape) * sizeof(float));
    peft_graph_free(g);
    peft_context_close(ctx);
    for (int k = 0; k < NUM_ARRAYS; k++) free(values[k]);
}

START_TEST(whole_numbers_come_out_exactly)
{
    const int64_t *size = sizes[_i];
    const int64_t counts[] = {size[TOKENS] * size[OUT], size[TOKENS] * size[IN], size[RANK] * size[IN],
                              size[OUT] * size[RANK], size[TOKENS] * size[OUT]};
    if (!peft_dtype_available(PEFT_BF16)) return;
    float *expected[NUM_ARRAYS], *found[NUM_ARRAYS];
    compute(size, "portable", PEFT_F32, expected);
    compute(size, "onednn", PEFT_BF16, found);
    for (int k = 0; k < NUM_ARRAYS; k++) {
        for (int64_t j = 0; j < counts[k]; j++)
            ck_assert_msg(expected[k][j] == found[k][j], "result %d, element %lld: expected %g, found %g", k,
                          (long long)j, (double)expected[k][j], (double)found[k][j]);
        free(expected[k]);
        free(found[k]);
    }
}
END_TEST

TEST_MAIN("low_rank", tcase_add_loop_test(tc, low_rank_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_loop_test(tc, whole_numbers_come_out_exactly, 0, sizeof sizes / sizeof *sizes);
          tcase_add_test(tc, wrong_shapes_are_refused))
