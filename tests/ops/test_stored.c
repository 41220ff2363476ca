/* Frozen weights in every format: what the numbers are, and products and input gradients of them as they are stored,
 * against the same weight as floats. */
#include "ops/ops.h"
#include "ops/weight.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- weights ---- */

static const struct {
    peft_format format;
    bool transposed;
} kinds[] = {{PEFT_FORMAT_F32, false},  {PEFT_FORMAT_F32, true},  {PEFT_FORMAT_F16, false}, {PEFT_FORMAT_F16, true},
             {PEFT_FORMAT_BF16, false}, {PEFT_FORMAT_BF16, true}, {PEFT_FORMAT_Q8_0, false}};
enum { NUM_KINDS = sizeof kinds / sizeof *kinds };

/* One token, and many; rows of W that are fewer than, as many as, and more than what is read at once. */
static const struct {
    int64_t tokens, in, out;
    bool bias;
} sizes[] = {{1, 32, 5, true}, {33, 64, 128, false}, {400, 96, 131, true}, {70, 320, 300, true}};
enum { NUM_SIZES = sizeof sizes / sizeof *sizes };

enum { BLOCK = 32, BLOCK_BYTES = 34 };

static void *allocate(int64_t count, size_t bytes)
{
    void *memory = calloc((size_t)count + 1, bytes);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

static uint16_t bits_at(int64_t k)
{
    return (uint16_t)(fabs(op_noise((uint64_t)k)) * 65536);
}

/* A sign, an exponent near that of 1/8, and a fraction. */
static uint16_t half_at(int64_t k)
{
    return (uint16_t)((bits_at(k) & 0x83FFU) | (10U + bits_at(k + 9999) % 4U) << 10);
}

static double half_value(uint16_t half)
{
    int exponent = half >> 10 & 31;
    double fraction = half & 1023;
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return half & 0x8000 ? -size : size;
}

static uint16_t bf16_at(int64_t k)
{
    return (uint16_t)((bits_at(k) & 0x807FU) | (122U + bits_at(k + 9999) % 4U) << 7);
}

static double bf16_value(uint16_t bits)
{
    double size = ldexp(128 + (bits & 127), (bits >> 7 & 255) - 127 - 7);
    return bits & 0x8000 ? -size : size;
}

static double value_at(peft_format format, int64_t k)
{
    if (format == PEFT_FORMAT_F16) return half_value(half_at(k));
    if (format == PEFT_FORMAT_BF16) return bf16_value(bf16_at(k));
    if (format == PEFT_FORMAT_Q8_0) return half_value(half_at(k / BLOCK) & 0x7FFF) / 128 * (int8_t)bits_at(k);
    return (double)(float)op_noise((uint64_t)k);
}

static void put(peft_format format, int64_t k, int64_t at, char *bytes)
{
    const float whole = (float)value_at(PEFT_FORMAT_F32, k);
    const uint16_t half = half_at(k), upper = bf16_at(k);
    if (format == PEFT_FORMAT_F32) memcpy(bytes + at * 4, &whole, sizeof whole);
    if (format == PEFT_FORMAT_F16) memcpy(bytes + at * 2, &half, sizeof half);
    if (format == PEFT_FORMAT_BF16) memcpy(bytes + at * 2, &upper, sizeof upper);
}

/* A scale 128 times smaller is an exponent smaller by 7. */
static void put_block(int64_t block, char *bytes)
{
    uint16_t scale = (uint16_t)((half_at(block) & 0x7FFFU) - (7U << 10));
    memcpy(bytes + block * BLOCK_BYTES, &scale, sizeof scale);
    for (int64_t k = 0; k < BLOCK; k++) bytes[block * BLOCK_BYTES + 2 + k] = (char)(int8_t)bits_at(block * BLOCK + k);
}

typedef struct matrix {
    char *bytes;
    float *values; /* [out, in] */
    peft_weight stored, plain;
} matrix;

static matrix make_matrix(peft_format format, bool transposed, int64_t out, int64_t in)
{
    matrix m = {allocate(out * in, sizeof(float)), allocate(out * in, sizeof(float)), {0}, {0}};
    for (int64_t k = 0; k < out * in; k++) {
        m.values[k] = (float)value_at(format, k);
        put(format, k, transposed ? k % in * out + k / in : k, m.bytes);
    }
    for (int64_t b = 0; format == PEFT_FORMAT_Q8_0 && b < out * in / BLOCK; b++) put_block(b, m.bytes);
    m.plain = (peft_weight){.name = "W", .shape = peft_shape_2(out, in), .stored.data = m.values};
    m.stored = (peft_weight){.name = "W", .shape = peft_shape_2(out, in), .stored = {m.bytes, format, transposed}};
    return m;
}

static void free_matrix(const matrix *m)
{
    free(m->bytes);
    free(m->values);
}

/* ---- products ---- */

typedef struct layer {
    int64_t tokens, in, out;
    float *x, *b, *dy, *y, *dx;
} layer;

static float *noise(int64_t count, uint64_t from)
{
    float *values = allocate(count, sizeof *values);
    for (int64_t k = 0; k < count; k++) values[k] = (float)op_noise(from + (uint64_t)k);
    return values;
}

static layer make_layer(int index)
{
    layer l = {sizes[index].tokens, sizes[index].in, sizes[index].out, NULL, NULL, NULL, NULL, NULL};
    l.x = noise(l.tokens * l.in, 1);
    l.b = sizes[index].bias ? noise(l.out, 1U << 25) : NULL;
    l.dy = noise(l.tokens * l.out, 1U << 26);
    l.y = allocate(l.tokens * l.out, sizeof(float));
    l.dx = allocate(l.tokens * l.in, sizeof(float));
    return l;
}

static void free_layer(const layer *l)
{
    float *const all[] = {l->x, l->b, l->dy, l->y, l->dx};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) free(all[k]);
}

static bool same_bits(const layer *a, const layer *b)
{
    return memcmp(a->y, b->y, (size_t)(a->tokens * a->out) * sizeof(float)) == 0 &&
           memcmp(a->dx, b->dx, (size_t)(a->tokens * a->in) * sizeof(float)) == 0;
}

/* y = x W^T + b and dx += dy W. Returns the bytes of the form that the backend made. */
static size_t compute(layer *l, peft_weight *weight, peft_context_options options, bool packed)
{
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    ck_assert_msg(!peft_context_open(&ctx, &options, &error), "%s", error.message);
    ck_assert(!peft_graph_create(&g, &error));
    if (packed) ck_assert_msg(!peft_weight_pack(weight, ctx, PEFT_PACK_BOTH, &error), "%s", error.message);
    size_t bytes = peft_weight_packed_bytes(weight);
    for (int64_t k = 0; k < l->tokens * l->in; k++) l->dx[k] = 1;
    peft_tensor *x = peft_parameter(g, PEFT_F32, peft_shape_2(l->tokens, l->in), l->x, l->dx, "x");
    peft_tensor *b = l->b ? peft_constant(g, PEFT_F32, peft_shape_1(l->out), l->b, "b") : NULL;
    peft_tensor *y = peft_graph_keep(g, peft_linear(g, x, peft_weight_leaf(g, weight), b));
    ck_assert_msg(!peft_graph_differentiate_from(g, y, l->dy, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    memcpy(l->y, read_values(g, y), (size_t)(l->tokens * l->out) * sizeof *l->y);
    peft_weight_unpack(weight);
    peft_graph_free(g);
    peft_context_close(ctx);
    return bytes;
}

/* A float sum of n products, in any order, is off by less than n 2^-24 of the sum of their sizes. */
static void check_sum(float found, double start, int64_t n, const float *a, const float *w, int64_t step)
{
    double sum = start, size = fabs(start);
    for (int64_t k = 0; k < n; k++) {
        sum += (double)a[k] * (double)w[k * step];
        size += fabs((double)a[k] * (double)w[k * step]);
    }
    ck_assert_msg(fabs((double)found - sum) <= (double)(n + 2) * 0x1p-24 * size, "expected %.9g, found %.9g", sum,
                  (double)found);
}

static void check_products(const layer *l, const float *W)
{
    for (int64_t t = 0; t < l->tokens; t++) {
        for (int64_t o = 0; o < l->out; o++)
            check_sum(l->y[t * l->out + o], l->b ? (double)l->b[o] : 0, l->in, l->x + t * l->in, W + o * l->in, 1);
        for (int64_t i = 0; i < l->in; i++)
            check_sum(l->dx[t * l->in + i], 1, l->out, l->dy + t * l->out, W + i, l->in);
    }
}

START_TEST(numbers_are_read_exactly)
{
    enum { OUT = 70, IN = 64 };
    matrix m = make_matrix(kinds[_i].format, kinds[_i].transposed, OUT, IN);
    float *read = allocate(OUT * IN, sizeof(float)), *copy;
    peft_weight_read(&m.stored, 0, OUT, read);
    ck_assert_mem_eq(read, m.values, OUT * IN * sizeof *read);
    peft_weight_read(&m.stored, 3, 2, read);
    ck_assert_mem_eq(read, m.values + 3 * IN, 2 * IN * sizeof *read);
    const float *all = peft_weight_values(&m.stored, &copy);
    ck_assert_mem_eq(all, m.values, OUT * IN * sizeof *read);
    ck_assert_int_eq(copy == NULL, kinds[_i].format == PEFT_FORMAT_F32 && !kinds[_i].transposed);
    free(copy);
    free(read);
    free_matrix(&m);
}
END_TEST

START_TEST(bytes_are_counted_by_block)
{
    static const size_t expected[PEFT_NUM_FORMATS] = {64 * 3 * 4, 64 * 3 * 2, 64 * 3 * 2, 3 * 2 * BLOCK_BYTES};
    static const char *const names[PEFT_NUM_FORMATS] = {"F32", "F16", "BF16", "Q8_0"};
    for (int f = 0; f < PEFT_NUM_FORMATS; f++) {
        peft_weight weight = {.name = "W", .shape = peft_shape_2(3, 64), .stored.format = (peft_format)f};
        ck_assert_uint_eq(peft_weight_stored_bytes(&weight), expected[f]);
        ck_assert_str_eq(peft_format_name((peft_format)f), names[f]);
    }
}
END_TEST

/* Floats are multiplied where they lie, and for small sizes BLIS has kernels for AVX2 that sum in another order where a
 * matrix lies transposed. */
static bool sums_by_order(const char *backend, peft_format format)
{
    return format == PEFT_FORMAT_F32 && strcmp(backend, "avx2") == 0;
}

/* On every backend, packed and as stored: right; the same bits for any number of threads; and those of the weight as
 * floats, where what multiplies is the same. */
static void check_backend(int kind, int size, const char *backend, bool packed)
{
    matrix m = make_matrix(kinds[kind].format, kinds[kind].transposed, sizes[size].out, sizes[size].in);
    layer one = make_layer(size), more = make_layer(size), plain = make_layer(size);
    peft_context_options options = {.threads = 1, .backend = backend};
    size_t bytes = compute(&one, &m.stored, options, packed);
    check_products(&one, m.values);
    for (options.threads = 2; options.threads <= 3; options.threads++) {
        compute(&more, &m.stored, options, packed);
        ck_assert_msg(same_bits(&one, &more), "%s: %d threads", backend, options.threads);
    }
    compute(&plain, &m.plain, options, packed);
    bool in_one = sizes[size].out <= 128; /* all rows of W are read at once */
    bool same = !kinds[kind].transposed || !sums_by_order(backend, kinds[kind].format);
    if (bytes || (in_one && same)) ck_assert_msg(same_bits(&one, &plain), "%s: other bits than of floats", backend);
    free_layer(&one);
    free_layer(&more);
    free_layer(&plain);
    free_matrix(&m);
}

START_TEST(products_are_right_on_every_backend)
{
    for (int k = 0; peft_backend_name(k); k++)
        for (int packed = 0; packed < 2 && peft_backend_available(peft_backend_name(k)); packed++)
            check_backend(_i / NUM_SIZES, _i % NUM_SIZES, peft_backend_name(k), packed);
}
END_TEST

START_TEST(transposed_weights_give_the_same_bits)
{
    for (int k = 0; peft_backend_name(k); k++) {
        if (!peft_backend_available(peft_backend_name(k))) continue;
        for (int f = 0; f < PEFT_FORMAT_Q8_0; f++) {
            layer there = make_layer(_i), back = make_layer(_i);
            matrix m = make_matrix((peft_format)f, false, there.out, there.in);
            matrix t = make_matrix((peft_format)f, true, there.out, there.in);
            const peft_context_options options = {.threads = 2, .backend = peft_backend_name(k)};
            compute(&there, &m.stored, options, true);
            compute(&back, &t.stored, options, true);
            bool same = sums_by_order(peft_backend_name(k), (peft_format)f) || same_bits(&there, &back);
            ck_assert_msg(same, "%s %s", peft_backend_name(k), peft_format_name((peft_format)f));
            free_layer(&there);
            free_layer(&back);
            free_matrix(&m);
            free_matrix(&t);
        }
    }
}
END_TEST

/* In bf16, too, what is packed is what would have been packed of the floats. */
START_TEST(bf16_products_are_those_of_the_floats)
{
    if (!peft_dtype_available(PEFT_BF16)) return;
    int kind = _i / NUM_SIZES, size = _i % NUM_SIZES;
    if (kinds[kind].format == PEFT_FORMAT_Q8_0) return; /* read as stored, and multiplied in float */
    matrix m = make_matrix(kinds[kind].format, kinds[kind].transposed, sizes[size].out, sizes[size].in);
    layer stored = make_layer(size), plain = make_layer(size);
    const peft_context_options options = {.threads = 2, .dtype = PEFT_BF16};
    size_t bytes = compute(&stored, &m.stored, options, true);
    ck_assert_uint_eq(compute(&plain, &m.plain, options, true), bytes);
    ck_assert(bytes && same_bits(&stored, &plain));
    free_layer(&stored);
    free_layer(&plain);
    free_matrix(&m);
}
END_TEST

START_TEST(blocks_stay_blocks)
{
    if (!peft_backend_available("onednn")) return;
    layer l = make_layer(1);
    matrix m = make_matrix(PEFT_FORMAT_Q8_0, false, l.out, l.in);
    ck_assert_uint_eq(compute(&l, &m.stored, (peft_context_options){.threads = 1, .backend = "onednn"}, true), 0);
    free_layer(&l);
    free_matrix(&m);
}
END_TEST

/* ---- other ops ---- */

/* Rows of the table; W + W, which add does not read as it is stored; dL/dW, which is wanted of a frozen weight. */
typedef struct others {
    float rows[2 * 64], sum[70 * 64], gradient[70 * 64];
} others;

static void compute_others(const peft_weight *weight, const char *backend, others *found)
{
    static const int32_t ids[] = {69, 3};
    static float x[2 * 64], dy[2 * 70];
    for (int k = 0; k < 2 * 64; k++) x[k] = (float)op_noise((uint64_t)k);
    for (int k = 0; k < 2 * 70; k++) dy[k] = (float)op_noise(5000 + (uint64_t)k);
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    ck_assert(!peft_context_open(&ctx, &(peft_context_options){.threads = 2, .backend = backend}, &error));
    ck_assert(!peft_graph_create(&g, &error));
    *found = (others){0};
    peft_tensor *W = peft_weight_leaf(g, weight);
    peft_tensor *rows =
        peft_graph_keep(g, peft_embedding(g, W, peft_constant(g, PEFT_I32, peft_shape_1(2), ids, "ids")));
    peft_tensor *sum = peft_graph_keep(g, peft_add(g, W, W));
    peft_tensor *watched = peft_weight_leaf_with_gradient(g, weight, found->gradient);
    peft_tensor *y = peft_linear(g, peft_constant(g, PEFT_F32, peft_shape_2(2, 64), x, "x"), watched, NULL);
    ck_assert_msg(!peft_graph_differentiate_from(g, y, dy, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    memcpy(found->rows, read_values(g, rows), sizeof found->rows);
    memcpy(found->sum, read_values(g, sum), sizeof found->sum);
    peft_graph_free(g);
    peft_context_close(ctx);
}

START_TEST(every_op_takes_every_format)
{
    static others stored, plain;
    matrix m = make_matrix(kinds[_i].format, kinds[_i].transposed, 70, 64);
    for (int k = 0; peft_backend_name(k); k++) {
        if (!peft_backend_available(peft_backend_name(k))) continue;
        compute_others(&m.stored, peft_backend_name(k), &stored);
        compute_others(&m.plain, peft_backend_name(k), &plain);
        ck_assert_mem_eq(stored.rows, m.values + 69 * 64, 64 * sizeof(float));
        ck_assert_mem_eq(stored.rows + 64, m.values + 3 * 64, 64 * sizeof(float));
        ck_assert_mem_eq(&stored, &plain, sizeof stored);
    }
    free_matrix(&m);
}
END_TEST

/* loss and dL/dx of words whose vectors are the rows of W. */
static void compute_loss(const peft_weight *weight, const char *backend, float found[1 + 2 * 64])
{
    static const int32_t words[] = {69, 3};
    static float x[2 * 64];
    for (int k = 0; k < 2 * 64; k++) x[k] = (float)op_noise((uint64_t)k);
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    ck_assert(!peft_context_open(&ctx, &(peft_context_options){.threads = 2, .backend = backend}, &error));
    ck_assert(!peft_graph_create(&g, &error));
    memset(found, 0, (1 + 2 * 64) * sizeof *found);
    peft_tensor *input = peft_parameter(g, PEFT_F32, peft_shape_2(2, 64), x, found + 1, "x");
    peft_tensor *labels = peft_constant(g, PEFT_I32, peft_shape_1(2), words, "words");
    peft_tensor *loss =
        peft_graph_keep(g, peft_linear_cross_entropy(g, input, peft_weight_leaf(g, weight), NULL, labels, 0, 0));
    ck_assert_msg(!peft_graph_differentiate(g, loss, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    *found = *(const float *)read_values(g, loss);
    peft_graph_free(g);
    peft_context_close(ctx);
}

START_TEST(vocabularies_are_read_as_they_are_stored)
{
    float stored[1 + 2 * 64], plain[1 + 2 * 64];
    matrix m = make_matrix(kinds[_i].format, kinds[_i].transposed, 70, 64);
    for (int k = 0; peft_backend_name(k); k++) {
        if (!peft_backend_available(peft_backend_name(k))) continue;
        compute_loss(&m.stored, peft_backend_name(k), stored);
        compute_loss(&m.plain, peft_backend_name(k), plain);
        ck_assert_mem_eq(stored, plain, sizeof stored);
        ck_assert(stored[0] > 0);
    }
    free_matrix(&m);
}
END_TEST

/* A product that reads W again in its backward pass widens it again: between the passes there is no copy of it. */
START_TEST(what_was_widened_is_not_kept)
{
    enum { SIZE = 256, MANY = 6 };
    matrix m = make_matrix(PEFT_FORMAT_BF16, false, SIZE, SIZE);
    float *x = noise(SIZE * SIZE, 1), *dx = allocate(SIZE * SIZE, sizeof(float));
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    size_t bytes[2];
    for (int stored = 0; stored < 2; stored++) {
        ck_assert(!peft_context_open(&ctx, &(peft_context_options){.threads = 1, .backend = "portable"}, &error));
        ck_assert(!peft_graph_create(&g, &error));
        peft_graph_set_context(g, ctx);
        peft_tensor *y = peft_parameter(g, PEFT_F32, peft_shape_2(SIZE, SIZE), x, dx, "x");
        for (int k = 0; k < MANY; k++)
            y = peft_matmul(g, y, false, peft_weight_leaf(g, stored ? &m.stored : &m.plain), true);
        ck_assert(!peft_graph_differentiate_from(g, y, x, &error));
        ck_assert(!peft_graph_plan(g, ctx, &bytes[stored], &error));
        peft_graph_free(g);
        peft_context_close(ctx);
    }
    ck_assert_uint_le(bytes[1], bytes[0] + SIZE * SIZE * sizeof(float));
    free(x);
    free(dx);
    free_matrix(&m);
}
END_TEST

START_TEST(what_cannot_be_stored_so_is_refused)
{
    static const char zeros[4096];
    const peft_weight odd = {.name = "W", .shape = {2, {3, 33}}, .stored = {zeros, PEFT_FORMAT_Q8_0, false}};
    const peft_weight turned = {.name = "W", .shape = {2, {32, 32}}, .stored = {zeros, PEFT_FORMAT_Q8_0, true}};
    const peft_weight vector = {.name = "b", .shape = {1, {32}}, .stored = {zeros, PEFT_FORMAT_F32, true}};
    const struct {
        const peft_weight *weight;
        peft_status status;
        const char *message;
    } cases[] = {
        {&odd, PEFT_ERR_SHAPE, "W: Q8_0: expected rows of a multiple of 32 numbers, found shape [3, 33]"},
        {&turned, PEFT_ERR_UNSUPPORTED, "W: Q8_0 of shape [32, 32] cannot be stored transposed"},
        {&vector, PEFT_ERR_UNSUPPORTED, "b: F32 of shape [32] cannot be stored transposed"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        peft_graph *g;
        peft_error error = {0};
        ck_assert(!peft_graph_create(&g, &error));
        ck_assert_ptr_null(peft_weight_leaf(g, cases[k].weight));
        ck_assert_int_eq(peft_graph_status(g, &error), cases[k].status);
        ck_assert_str_eq(error.message, cases[k].message);
        peft_graph_free(g);
    }
}
END_TEST

/* F16 is the format of which packing takes a copy. */
static peft_status pack_once(peft_weight *weight)
{
    peft_context *ctx;
    peft_status status = peft_context_open(&ctx, &(peft_context_options){.threads = 1}, NULL);
    if (status == PEFT_OK) status = peft_weight_pack(weight, ctx, PEFT_PACK_BOTH, NULL);
    peft_weight_unpack(weight);
    peft_context_close(ctx);
    return status;
}

START_TEST(no_memory_is_an_error)
{
    matrix m = make_matrix(PEFT_FORMAT_F16, true, 64, 48);
    ck_assert(!pack_once(&m.stored));
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        fail_allocation(call);
        peft_status status = pack_once(&m.stored);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
    }
    free_matrix(&m);
}
END_TEST

TEST_MAIN("stored", tcase_add_loop_test(tc, numbers_are_read_exactly, 0, NUM_KINDS);
          tcase_add_test(tc, bytes_are_counted_by_block);
          tcase_add_loop_test(tc, products_are_right_on_every_backend, 0, NUM_KINDS *NUM_SIZES);
          tcase_add_loop_test(tc, transposed_weights_give_the_same_bits, 0, NUM_SIZES);
          tcase_add_loop_test(tc, bf16_products_are_those_of_the_floats, 0, NUM_KINDS *NUM_SIZES);
          tcase_add_test(tc, blocks_stay_blocks);
          tcase_add_loop_test(tc, vocabularies_are_read_as_they_are_stored, 0, NUM_KINDS);
          tcase_add_loop_test(tc, every_op_takes_every_format, 0, NUM_KINDS);
          tcase_add_test(tc, what_was_widened_is_not_kept); tcase_add_test(tc, what_cannot_be_stored_so_is_refused);
          tcase_add_test(tc, no_memory_is_an_error))
