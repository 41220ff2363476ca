#include <math.h>
#include <stdlib.h>

#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

static peft_tensor *scan(peft_graph *g, peft_tensor *const *in)
{
    return peft_selective_scan(g, in[0], in[1], in[2], in[3], in[4], in[5], in[6]);
}

static peft_tensor *scan_without_skip(peft_graph *g, peft_tensor *const *in)
{
    return peft_selective_scan(g, in[0], in[1], in[2], in[3], in[4], NULL, in[5]);
}

static peft_tensor *ssd(peft_graph *g, peft_tensor *const *in)
{
    return peft_ssd(g, in[0], in[1], in[2], in[3], in[4], in[5], in[6], 4);
}

static peft_tensor *ssd_in_one(peft_graph *g, peft_tensor *const *in)
{
    return peft_ssd(g, in[0], in[1], in[2], in[3], in[4], in[5], in[6], 1000);
}

static peft_tensor *ssd_loop(peft_graph *g, peft_tensor *const *in)
{
    return peft_ssd(g, in[0], in[1], in[2], in[3], in[4], in[5], in[6], 1);
}

static peft_tensor *ssd_without_skip(peft_graph *g, peft_tensor *const *in)
{
    return peft_ssd(g, in[0], in[1], in[2], in[3], in[4], NULL, in[5], 3);
}

static const int32_t one[] = {0, 1}, three[] = {0, 2, 9, 11}, long_ones[] = {0, 90, 91, 160};
#define STARTS(values)                                                                                                 \
    {                                                                                                                  \
        .shape = {1, {sizeof(values) / sizeof *(values)}}, .indices = values                                           \
    }
#define STEPS(...)                                                                                                     \
    {                                                                                                                  \
        .shape = {2, {__VA_ARGS__}}, .low = 0.05, .high = 0.8                                                          \
    }
#define RATES(ndim, ...)                                                                                               \
    {                                                                                                                  \
        .shape = {ndim, {__VA_ARGS__}}, .low = -2, .high = -0.1                                                        \
    }

static const op_case cases[] = {
    {"scan, one token",
     scan,
     {SHAPE2(1, 3), STEPS(1, 3), RATES(2, 3, 2), SHAPE2(1, 2), SHAPE2(1, 2), SHAPE1(3), STARTS(one)},
     0},
    {"scan, short sequences",
     scan,
     {SHAPE2(11, 5), STEPS(11, 5), RATES(2, 5, 3), SHAPE2(11, 3), SHAPE2(11, 3), SHAPE1(5), STARTS(three)},
     0},
    {"scan, without skip",
     scan_without_skip,
     {SHAPE2(11, 17), STEPS(11, 17), RATES(2, 17, 1), SHAPE2(11, 1), SHAPE2(11, 1), STARTS(three)},
     0},
    {"scan, several strips",
     scan,
     {SHAPE2(160, 37), STEPS(160, 37), RATES(2, 37, 16), SHAPE2(160, 16), SHAPE2(160, 16), SHAPE1(37),
      STARTS(long_ones)},
     0},
    {"ssd, one token",
     ssd,
     {SHAPE2(1, 6), STEPS(1, 2), RATES(1, 2), SHAPE2(1, 2), SHAPE2(1, 2), SHAPE1(2), STARTS(one)},
     0},
    {"ssd, chunks of 4",
     ssd,
     {SHAPE2(11, 6), STEPS(11, 2), RATES(1, 2), SHAPE2(11, 3), SHAPE2(11, 3), SHAPE1(2), STARTS(three)},
     0},
    {"ssd, as a loop",
     ssd_loop,
     {SHAPE2(11, 6), STEPS(11, 2), RATES(1, 2), SHAPE2(11, 3), SHAPE2(11, 3), SHAPE1(2), STARTS(three)},
     0},
    {"ssd, without skip",
     ssd_without_skip,
     {SHAPE2(11, 5), STEPS(11, 1), RATES(1, 1), SHAPE2(11, 7), SHAPE2(11, 7), STARTS(three)},
     0},
    {"ssd, many chunks",
     ssd,
     {SHAPE2(160, 66), STEPS(160, 2), RATES(1, 2), SHAPE2(160, 20), SHAPE2(160, 20), SHAPE1(2), STARTS(long_ones)},
     0},
    {"ssd, a chunk each",
     ssd_in_one,
     {SHAPE2(160, 66), STEPS(160, 2), RATES(1, 2), SHAPE2(160, 20), SHAPE2(160, 20), SHAPE1(2), STARTS(long_ones)},
     0},
};

START_TEST(scans_are_right)
{
    op_check(&cases[_i]);
}
END_TEST

/* ---- both beside the plain recurrence ---- */

enum { T = 23, HEADS = 3, P = 2, I = HEADS * P, J = 5, SEQUENCES = 2 };
static const int32_t starts[] = {0, 16, T};

typedef struct values {
    double x[T * I], delta[T * I], A[I * J], B[T * J], C[T * J], skip[I];
} values;

static double between(double low, double high, int counter)
{
    return low + (high - low) * 0.5 * (op_noise((uint64_t)counter) + 1);
}

/* A head's channels share delta, A and skip. */
static void draw(values *v)
{
    for (int t = 0; t < T; t++)
        for (int c = 0; c < I; c++) {
            v->x[t * I + c] = between(-1, 1, t * I + c);
            v->delta[t * I + c] = between(0.01, 0.5, 1000 + t * HEADS + c / P);
        }
    for (int c = 0; c < I; c++)
        for (int j = 0; j < J; j++) v->A[c * J + j] = between(-3, -0.1, 2000 + c / P);
    for (int k = 0; k < T * J; k++) v->B[k] = between(-1, 1, 3000 + k), v->C[k] = between(-1, 1, 4000 + k);
    for (int c = 0; c < I; c++) v->skip[c] = between(-1, 1, 5000 + c / P);
}

static void recurrence(const values *v, double *y)
{
    for (int s = 0; s < SEQUENCES; s++)
        for (int c = 0; c < I; c++) {
            double h[J] = {0};
            for (int t = starts[s]; t < starts[s + 1]; t++) {
                const double x = v->x[t * I + c], delta = v->delta[t * I + c];
                y[t * I + c] = v->skip[c] * x;
                for (int j = 0; j < J; j++) {
                    h[j] = exp(delta * v->A[c * J + j]) * h[j] + delta * x * v->B[t * J + j];
                    y[t * I + c] += h[j] * v->C[t * J + j];
                }
            }
        }
}

/* Every P-th of `count` numbers. */
static double *each_head(const double *of_channels, int rows)
{
    double *of_heads = malloc((size_t)(rows * HEADS) * sizeof *of_heads);
    for (int k = 0; k < rows * HEADS; k++) of_heads[k] = of_channels[k * P];
    return of_heads;
}

static void check_values(peft_graph *g, peft_tensor *y, const double *expected)
{
    peft_error error = {0};
    peft_context *ctx;
    const peft_context_options options = {.threads = 2, .backend = "portable"};
    ck_assert(!peft_context_open(&ctx, &options, &error));
    ck_assert_ptr_nonnull(peft_graph_keep(g, y));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    for (int k = 0; k < T * I; k++) ck_assert_double_eq_tol(((const double *)read_values(g, y))[k], expected[k], 1e-13);
    peft_graph_reset(g);
    peft_context_close(ctx);
}

START_TEST(both_are_the_plain_recurrence)
{
    static values v;
    double y[T * I];
    draw(&v);
    recurrence(&v, y);
    peft_error error = {0};
    peft_graph *g;
    ck_assert(!peft_graph_create(&g, &error));
    double *delta = each_head(v.delta, T), *skip = each_head(v.skip, 1), A[HEADS];
    for (int k = 0; k < HEADS; k++) A[k] = v.A[k * P * J];
#define LEAF(shape, data) peft_constant(g, PEFT_F64, shape, data, #data)
    for (int64_t chunk = 0; chunk <= T; chunk++) { /* 0: the scan of channels */
        peft_tensor *x = LEAF(peft_shape_2(T, I), v.x), *B = LEAF(peft_shape_2(T, J), v.B);
        peft_tensor *C = LEAF(peft_shape_2(T, J), v.C);
        peft_tensor *s = peft_constant(g, PEFT_I32, peft_shape_1(SEQUENCES + 1), starts, "starts");
        peft_tensor *made =
            chunk ? peft_ssd(g, x, LEAF(peft_shape_2(T, HEADS), delta), LEAF(peft_shape_1(HEADS), A), B, C,
                             LEAF(peft_shape_1(HEADS), skip), s, chunk)
                  : peft_selective_scan(g, x, LEAF(peft_shape_2(T, I), v.delta), LEAF(peft_shape_2(I, J), v.A), B, C,
                                        LEAF(peft_shape_1(I), v.skip), s);
        check_values(g, made, y);
    }
#undef LEAF
    free(delta);
    free(skip);
    peft_graph_free(g);
}
END_TEST

static peft_tensor *no_chunk(peft_graph *g, peft_tensor *const *in)
{
    return peft_ssd(g, in[0], in[1], in[2], in[3], in[4], in[5], in[6], 0);
}

START_TEST(wrong_arguments_are_refused)
{
    op_case rates = {
        "A",
        scan,
        {SHAPE2(11, 5), STEPS(11, 5), RATES(2, 5, 2), SHAPE2(11, 3), SHAPE2(11, 3), SHAPE1(5), STARTS(three)},
        0};
    op_check_refused(&rates, PEFT_ERR_SHAPE, "selective_scan: A: expected [5, 3], found [5, 2]");
    op_case heads = {"heads",
                     ssd,
                     {SHAPE2(11, 5), STEPS(11, 2), RATES(1, 2), SHAPE2(11, 3), SHAPE2(11, 3), SHAPE1(2), STARTS(three)},
                     0};
    op_check_refused(&heads, PEFT_ERR_SHAPE, "ssd: A: expected a divisor of 5 columns, found 2 heads");
    op_case delta = {"delta",
                     ssd,
                     {SHAPE2(11, 6), STEPS(11, 6), RATES(1, 2), SHAPE2(11, 3), SHAPE2(11, 3), SHAPE1(2), STARTS(three)},
                     0};
    op_check_refused(&delta, PEFT_ERR_SHAPE, "ssd: delta: expected [11, 2], found [11, 6]");
    op_case chunk = {"chunk",
                     no_chunk,
                     {SHAPE2(11, 6), STEPS(11, 2), RATES(1, 2), SHAPE2(11, 3), SHAPE2(11, 3), SHAPE1(2), STARTS(three)},
                     0};
    op_check_refused(&chunk, PEFT_ERR_ARGUMENT, "ssd: chunk: expected 1 or more, found 0");
}
END_TEST

TEST_MAIN("scan", tcase_add_loop_test(tc, scans_are_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, both_are_the_plain_recurrence); tcase_add_test(tc, wrong_arguments_are_refused))
