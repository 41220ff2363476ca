/* Products with packed frozen weights, against sums in double. */
#include "ops/ops.h"
#include "ops/weight.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whole units and rows beyond them, in one tile and in many; columns that fill no vector; a weight of each shape. */
static const struct {
    int64_t tokens, in, out;
    bool bias;
} sizes[] = {{1, 7, 5, true},      {32, 64, 64, true},   {33, 33, 65, false},    {96, 384, 384, true},
             {100, 100, 70, true}, {255, 17, 96, false}, {487, 384, 1536, true}, {700, 1536, 384, true},
             {2048, 64, 48, true}, {5000, 8, 8, true}};
enum { NUM_SIZES = sizeof sizes / sizeof *sizes };

static const peft_dtype dtypes[] = {PEFT_F32, PEFT_BF16};
enum { NUM_DTYPES = 2 };

/* y = x W^T + b; computed twice over, x W^T is added once more, and so is dx. */
typedef struct layer {
    int64_t tokens, in, out;
    float *x, *W, *b, *dy; /* b NULL: none */
    float *y, *dx, *db;    /* what came out */
} layer;

static float *floats(int64_t count)
{
    float *values = calloc((size_t)count, sizeof *values);
    ck_assert_ptr_nonnull(values);
    return values;
}

/* Small whole numbers have no rounding anywhere; else values from -1 to 1. */
static float *fill(int64_t count, uint64_t from, bool whole)
{
    float *values = floats(count);
    for (int64_t k = 0; k < count; k++) {
        double u = op_noise(from + (uint64_t)k);
        values[k] = (float)(whole ? rint(4 * u) : u);
    }
    return values;
}

static layer make(int index, bool whole)
{
    layer l = {.tokens = sizes[index].tokens, .in = sizes[index].in, .out = sizes[index].out};
    l.x = fill(l.tokens * l.in, 1, whole);
    l.W = fill(l.out * l.in, 1U << 24, whole);
    l.b = sizes[index].bias ? fill(l.out, 1U << 25, whole) : NULL;
    l.dy = fill(l.tokens * l.out, 1U << 26, whole);
    l.y = floats(l.tokens * l.out);
    l.dx = floats(l.tokens * l.in);
    l.db = floats(l.out);
    return l;
}

static void release(layer *l)
{
    float *const all[] = {l->x, l->W, l->b, l->dy, l->y, l->dx, l->db};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) free(all[k]);
}

static size_t compute_packed(layer *l, peft_dtype dtype, const char *backend, int threads, peft_packing packing,
                             bool twice)
{
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    const peft_context_options options = {.threads = threads, .backend = backend, .dtype = dtype};
    ck_assert_msg(!peft_context_open(&ctx, &options, &error), "%s", error.message);
    ck_assert(!peft_graph_create(&g, &error));
    peft_weight weight = {.name = "W", .shape = peft_shape_2(l->out, l->in), .stored.data = l->W};
    ck_assert_msg(!peft_weight_pack(&weight, ctx, packing, &error), "%s", error.message);
    size_t bytes = peft_weight_packed_bytes(&weight);
    ck_assert_int_eq(bytes > 0, strcmp(peft_context_backend(ctx), "onednn") == 0);

    memset(l->dx, 0, (size_t)(l->tokens * l->in) * sizeof *l->dx);
    memset(l->db, 0, (size_t)l->out * sizeof *l->db);
    peft_tensor *x = peft_parameter(g, PEFT_F32, peft_shape_2(l->tokens, l->in), l->x, l->dx, "x");
    peft_tensor *b = l->b ? peft_parameter(g, PEFT_F32, peft_shape_1(l->out), l->b, l->db, "b") : NULL;
    peft_tensor *y = peft_linear(g, x, peft_weight_leaf(g, &weight), b);
    if (twice) y = peft_add(g, y, peft_linear(g, x, peft_weight_leaf(g, &weight), NULL));
    peft_graph_keep(g, y);
    ck_assert(!peft_graph_differentiate_from(g, y, l->dy, &error));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    ck_assert_int_eq(peft_graph_library_bytes(g, ctx) > 0, !bytes);
    memcpy(l->y, read_values(g, y), (size_t)(l->tokens * l->out) * sizeof *l->y);
    peft_weight_unpack(&weight);
    peft_graph_free(g);
    peft_context_close(ctx);
    return bytes;
}

static void compute(layer *l, peft_dtype dtype, const char *backend, int threads, bool twice)
{
    compute_packed(l, dtype, backend, threads, PEFT_PACK_BOTH, twice);
}

/* Rounding a factor to bf16 (8 bits with the leading one) changes it by 2^-8 of itself at most, so a product by
 * 2^-7 + 2^-16; a float sum of n products adds n 2^-24. Both in terms of the sum of the products' sizes. */
static double relative_bound(peft_dtype dtype, int64_t n)
{
    return (dtype == PEFT_BF16 ? 0x1p-7 + 0x1p-16 : 0) + (double)(n + 2) * 0x1p-24;
}

/* found = start + sum_k a[k * step_a] w[k * step_w], `times` over */
static void check_sum(float found, double start, int64_t n, const float *a, const float *w, int64_t step_w,
                      double times, double relative)
{
    double sum = 0, size = fabs(start);
    for (int64_t k = 0; k < n; k++) {
        double product = times * (double)a[k] * (double)w[k * step_w];
        sum += product;
        size += fabs(product);
    }
    ck_assert_msg(fabs((double)found - start - sum) <= relative * size,
                  "a sum of %lld products: expected %.9g, found %.9g, within %.3g", (long long)n, start + sum,
                  (double)found, relative * size);
}

/* Some thousand elements of y and dx each, the last rows and columns among them. */
static void check_layer(const layer *l, double times, double y_bound, double dx_bound)
{
    enum { SOME = 4001 };
    int64_t y_count = l->tokens * l->out, dx_count = l->tokens * l->in;
    for (int64_t s = 0; s < SOME; s++) {
        int64_t at = y_count - 1 - s * 7919 % y_count, t = at / l->out, o = at % l->out;
        check_sum(l->y[at], l->b ? (double)l->b[o] : 0, l->in, l->x + t * l->in, l->W + o * l->in, 1, times, y_bound);
        at = dx_count - 1 - s * 7919 % dx_count;
        t = at / l->in;
        check_sum(l->dx[at], 0, l->out, l->dy + t * l->out, l->W + at % l->in, l->in, times, dx_bound);
    }
    for (int64_t o = 0; l->b && o < l->out; o++) {
        double sum = 0;
        for (int64_t t = 0; t < l->tokens; t++) sum += (double)l->dy[t * l->out + o];
        ck_assert_double_eq_tol((double)l->db[o], sum, 1e-5 * (double)l->tokens);
    }
}

START_TEST(products_are_as_exact_as_their_type)
{
    peft_dtype dtype = dtypes[_i / NUM_SIZES];
    if (!peft_backend_available("onednn") || !peft_dtype_available(dtype)) return;
    for (int twice = 0; twice < 2; twice++) {
        layer l = make(_i % NUM_SIZES, false);
        compute(&l, dtype, "onednn", 2, twice);
        check_layer(&l, 1 + twice, relative_bound(dtype, l.in), relative_bound(dtype, l.out));
        release(&l);
    }
}
END_TEST

/* Factors that bf16 holds are multiplied and summed without an error: nothing but the factors is rounded. */
START_TEST(whole_numbers_come_out_exactly)
{
    peft_dtype dtype = dtypes[_i / NUM_SIZES];
    if (!peft_backend_available("onednn") || !peft_dtype_available(dtype)) return;
    layer l = make(_i % NUM_SIZES, true);
    compute(&l, dtype, "onednn", 2, true);
    check_layer(&l, 2, 0, 0);
    release(&l);
}
END_TEST

/* To the nearest of the floats whose lower half is zero, ties to an even upper half. */
static float rounded(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t upper = bits >> 16, lower = bits & 0xFFFF;
    if (lower > 0x8000 || (lower == 0x8000 && (upper & 1))) upper++;
    bits = upper << 16;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

/* Every eighth value lies in the middle between two. */
static void set_rounding_cases(float *values, int64_t count)
{
    for (int64_t k = 0; k < count; k++) {
        uint32_t bits;
        memcpy(&bits, &values[k], sizeof bits);
        if (k % 8 == 0) bits = (bits & 0xFFFF0000U) | 0x8000;
        memcpy(&values[k], &bits, sizeof bits);
    }
}

/* W is turned out of what forward reads, for one and for two layers that share it. */
START_TEST(a_weight_that_is_packed_once_gives_the_same_bits)
{
    peft_dtype dtype = dtypes[_i / NUM_SIZES];
    if (!peft_backend_available("onednn") || !peft_dtype_available(dtype)) return;
    for (int twice = 0; twice < 2; twice++) {
        layer l = make(_i % NUM_SIZES, false), once = make(_i % NUM_SIZES, false);
        size_t both = compute_packed(&l, dtype, "onednn", 2, PEFT_PACK_BOTH, twice);
        ck_assert_uint_lt(compute_packed(&once, dtype, "onednn", 2, PEFT_PACK_ONCE, twice), both);
        ck_assert_mem_eq(l.y, once.y, (size_t)(l.tokens * l.out) * sizeof *l.y);
        ck_assert_mem_eq(l.dx, once.dx, (size_t)(l.tokens * l.in) * sizeof *l.dx);
        release(&l);
        release(&once);
    }
}
END_TEST

/* With W = 1, each sum is one rounded factor. */
START_TEST(bf16_rounds_to_the_nearest)
{
    enum { TOKENS = 100, SIZE = 40 };
    if (!peft_dtype_available(PEFT_BF16)) return;
    layer l = {.tokens = TOKENS, .in = SIZE, .out = SIZE};
    l.x = fill(TOKENS * SIZE, 1, false);
    l.dy = fill(TOKENS * SIZE, 1U << 26, false);
    l.W = floats(SIZE * SIZE);
    for (int k = 0; k < SIZE; k++) l.W[k * SIZE + k] = 1;
    l.y = floats(TOKENS * SIZE);
    l.dx = floats(TOKENS * SIZE);
    l.db = floats(SIZE);
    set_rounding_cases(l.x, TOKENS * SIZE);
    set_rounding_cases(l.dy, TOKENS * SIZE);
    compute(&l, PEFT_BF16, "onednn", 2, false);
    for (int k = 0; k < TOKENS * SIZE; k++) {
        ck_assert_double_eq((double)l.y[k], (double)rounded(l.x[k]));
        ck_assert_double_eq((double)l.dx[k], (double)rounded(l.dy[k]));
    }
    release(&l);
}
END_TEST

/* The largest value sets the scale: that is how far float sums in two orders differ. */
START_TEST(float_products_agree_with_the_portable_ones)
{
    if (!peft_backend_available("onednn")) return;
    layer fast = make(_i, false), portable = make(_i, false);
    compute(&fast, PEFT_F32, "onednn", 2, true);
    compute(&portable, PEFT_F32, "portable", 1, true);
    const struct {
        const float *found, *expected;
        int64_t count;
    } pairs[] = {{fast.y, portable.y, fast.tokens * fast.out}, {fast.dx, portable.dx, fast.tokens * fast.in}};
    for (int p = 0; p < 2; p++) {
        double most = 0;
        for (int64_t k = 0; k < pairs[p].count; k++) most = fmax(most, fabs((double)pairs[p].expected[k]));
        for (int64_t k = 0; k < pairs[p].count; k++)
            ck_assert_double_eq_tol((double)pairs[p].found[k], (double)pairs[p].expected[k], 1e-5 * most);
    }
    release(&fast);
    release(&portable);
}
END_TEST

START_TEST(any_number_of_threads_gives_the_same_bits)
{
    peft_dtype dtype = dtypes[_i / NUM_SIZES];
    if (!peft_backend_available("onednn") || !peft_dtype_available(dtype)) return;
    layer one = make(_i % NUM_SIZES, false);
    compute(&one, dtype, "onednn", 1, true);
    for (int threads = 2; threads <= 5; threads += 3) {
        layer more = make(_i % NUM_SIZES, false);
        compute(&more, dtype, "onednn", threads, true);
        ck_assert_mem_eq(one.y, more.y, (size_t)(one.tokens * one.out) * sizeof(float));
        ck_assert_mem_eq(one.dx, more.dx, (size_t)(one.tokens * one.in) * sizeof(float));
        ck_assert_mem_eq(one.db, more.db, (size_t)one.out * sizeof(float));
        release(&more);
    }
    release(&one);
}
END_TEST

/* One that was packed for another context, or for the forward pass alone, is multiplied as stored. */
START_TEST(only_what_fits_the_context_is_used)
{
    if (!peft_backend_available("onednn")) return;
    peft_error error = {0};
    peft_context *first, *second;
    const peft_context_options options = {.threads = 1, .backend = "onednn"};
    ck_assert(!peft_context_open(&first, &options, &error));
    ck_assert(!peft_context_open(&second, &options, &error));
    float values[6] = {1, 2, 3, 4, 5, 6}, x[3] = {1, 10, 100}, dx[3] = {0}, dy[2] = {1, 1};
    peft_weight weight = {.name = "W", .shape = peft_shape_2(2, 3), .stored.data = values};
    ck_assert(!peft_weight_pack(&weight, first, PEFT_PACK_FORWARD, &error));
    size_t bytes = peft_weight_packed_bytes(&weight);
    ck_assert(!peft_weight_pack(&weight, first, PEFT_PACK_BOTH, &error));
    ck_assert_uint_eq(peft_weight_packed_bytes(&weight), bytes); /* once */
    peft_context *const both[] = {first, second};
    for (int k = 0; k < 2; k++) {
        peft_graph *g;
        ck_assert(!peft_graph_create(&g, &error));
        memset(dx, 0, sizeof dx);
        peft_tensor *in = peft_parameter(g, PEFT_F32, peft_shape_2(1, 3), x, dx, "x");
        peft_tensor *y = peft_graph_keep(g, peft_linear(g, in, peft_weight_leaf(g, &weight), NULL));
        ck_assert(!peft_graph_differentiate_from(g, y, dy, &error));
        ck_assert(!peft_graph_run(g, both[k], &error));
        ck_assert_double_eq((double)((const float *)read_values(g, y))[0], 321);
        ck_assert_double_eq((double)dx[2], 9);
        peft_graph_free(g);
    }
    peft_weight_unpack(&weight);
    peft_context_close(first);
    peft_context_close(second);
}
END_TEST

/* Contexts of all backends and types side by side, each with its own form of the weights, turn by turn. */
START_TEST(contexts_of_several_backends_work_side_by_side)
{
    enum { MOST = 8, TOKENS = 2, SIZE = 3 };
    const float values[SIZE * SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, x[TOKENS * SIZE] = {1, 10, 100, 2, 20, 200};
    peft_context *contexts[MOST] = {0};
    peft_weight weights[MOST];
    int count = 0;
    peft_error error = {0};
    for (int d = 0; d < NUM_DTYPES; d++)
        for (int k = 0; peft_backend_name(k); k++) {
            const peft_context_options options = {.threads = 2, .backend = peft_backend_name(k), .dtype = dtypes[d]};
            if (peft_context_open(&contexts[count], &options, &error)) continue;
            weights[count] = (peft_weight){.name = "W", .shape = peft_shape_2(SIZE, SIZE), .stored.data = values};
            ck_assert(!peft_weight_pack(&weights[count], contexts[count], PEFT_PACK_BOTH, &error));
            count++;
        }
    ck_assert_int_ge(count, 1);
    for (int turn = 0; turn < 2 * count; turn++) {
        peft_graph *g;
        ck_assert(!peft_graph_create(&g, &error));
        peft_tensor *in = peft_constant(g, PEFT_F32, peft_shape_2(TOKENS, SIZE), x, "x");
        peft_tensor *y = peft_graph_keep(g, peft_linear(g, in, peft_weight_leaf(g, &weights[turn % count]), NULL));
        ck_assert_msg(!peft_graph_run(g, contexts[turn % count], &error), "%s", error.message);
        const float expected[TOKENS * SIZE] = {321, 654, 987, 642, 1308, 1974};
        ck_assert_mem_eq(read_values(g, y), expected, sizeof expected); /* whole numbers that bf16 sums hold, too */
        peft_graph_free(g);
    }
    for (int k = 0; k < count; k++) {
        peft_weight_unpack(&weights[k]);
        peft_context_close(contexts[k]);
    }
}
END_TEST

START_TEST(bf16_is_refused_where_it_is_not)
{
    peft_error error = {0};
    peft_context *ctx;
    const peft_context_options portable = {.threads = 1, .backend = "portable", .dtype = PEFT_BF16};
    ck_assert_int_eq(peft_context_open(&ctx, &portable, &error), PEFT_ERR_UNSUPPORTED);
    ck_assert_str_eq(error.message, "bf16: backend portable has f32 alone; expected onednn");
    const peft_context_options wrong = {.threads = 1, .dtype = PEFT_I32};
    ck_assert_int_eq(peft_context_open(&ctx, &wrong, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "dtype: expected F32 or BF16, found I32");
    const peft_context_options bf16 = {.threads = 1, .dtype = PEFT_BF16};
    ck_assert_int_eq(peft_context_open(&ctx, &bf16, &error) == PEFT_OK, peft_dtype_available(PEFT_BF16));
    peft_context_close(ctx);
}
END_TEST

/* Packs a weight, plans a product, which makes its code, and multiplies. */
static peft_status multiply_once(peft_error *error)
{
    enum { TOKENS = 20, IN = 48, OUT = 64 };
    static float values[OUT * IN], x[TOKENS * IN], dx[TOKENS * IN], dy[TOKENS * OUT];
    peft_context *ctx = NULL;
    peft_graph *g = NULL;
    const peft_context_options options = {.threads = 2, .backend = "onednn"};
    peft_weight weight = {.name = "W", .shape = peft_shape_2(OUT, IN), .stored.data = values};
    peft_status status = peft_context_open(&ctx, &options, error);
    if (status == PEFT_OK) status = peft_weight_pack(&weight, ctx, PEFT_PACK_BOTH, error);
    if (status == PEFT_OK) status = peft_graph_create(&g, error);
    if (status == PEFT_OK) {
        peft_tensor *in = peft_parameter(g, PEFT_F32, peft_shape_2(TOKENS, IN), x, dx, "x");
        peft_tensor *y = peft_linear(g, in, peft_weight_leaf(g, &weight), NULL);
        status = peft_graph_differentiate_from(g, y, dy, error);
    }
    if (status == PEFT_OK) status = peft_graph_run(g, ctx, error);
    peft_graph_free(g);
    peft_weight_unpack(&weight);
    peft_context_close(ctx);
    return status;
}

START_TEST(no_memory_is_an_error)
{
    if (!peft_backend_available("onednn")) return;
    peft_error error = {0};
    ck_assert(!multiply_once(&error)); /* what the library keeps for itself is there from now on */
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        error = (peft_error){0};
        fail_allocation(call);
        peft_status status = multiply_once(&error);
        failed = allocation_failed();
        ck_assert_msg(status == (failed ? PEFT_ERR_MEMORY : PEFT_OK), "call %lld: %s", (long long)call, error.message);
    }
}
END_TEST

TEST_MAIN("packed", tcase_add_loop_test(tc, products_are_as_exact_as_their_type, 0, NUM_SIZES *NUM_DTYPES);
          tcase_add_loop_test(tc, a_weight_that_is_packed_once_gives_the_same_bits, 0, NUM_SIZES *NUM_DTYPES);
          tcase_add_loop_test(tc, whole_numbers_come_out_exactly, 0, NUM_SIZES *NUM_DTYPES);
          tcase_add_test(tc, bf16_rounds_to_the_nearest);
          tcase_add_loop_test(tc, float_products_agree_with_the_portable_ones, 0, NUM_SIZES);
          tcase_add_loop_test(tc, any_number_of_threads_gives_the_same_bits, 0, NUM_SIZES *NUM_DTYPES);
          tcase_add_test(tc, only_what_fits_the_context_is_used);
          tcase_add_test(tc, contexts_of_several_backends_work_side_by_side);
          tcase_add_test(tc, bf16_is_refused_where_it_is_not); tcase_add_test(tc, no_memory_is_an_error))
