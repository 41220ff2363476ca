/* ops/cpu/kernels/block.h - the small matrix products that low-rank layers and attention are made of.
 *
 * One of their sizes is a rank or a head, a few dozen at most: too thin for a general matrix product, which would
 * spend its time on packing. All keep a block of results in registers. Sums run in a fixed order. */
#ifndef PEFT_OPS_CPU_KERNELS_BLOCK_H
#define PEFT_OPS_CPU_KERNELS_BLOCK_H

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "ops/cpu/kernels/kernel.h"

/* A matrix to read, of floats, or of bf16 where `rounded` is set. */
typedef struct operand {
    const void *data;
    int64_t row; /* elements from one row to the next */
    bool rounded;
} operand;

ALWAYS_INLINE operand operand_at(operand m, int64_t i, int64_t j)
{
    size_t each = m.rounded ? sizeof(uint16_t) : sizeof(real);
    m.data = (const char *)m.data + (size_t)(i * m.row + j) * each;
    return m;
}

ALWAYS_INLINE operand operand_of(const peft_tensor *t)
{
    return (operand){t->data, peft_columns(t), t->dtype == PEFT_BF16};
}

/* From this row on. */
ALWAYS_INLINE operand rows_from(const peft_tensor *t, int64_t row)
{
    return (operand){row_of(t, row), peft_columns(t), t->dtype == PEFT_BF16};
}

/* Registers: 32 with AVX-512, 16 without. */
#if defined(__AVX512F__)
enum { BLOCK_ROWS = 4, BLOCK_DOTS = 4, BLOCK_VECTORS = 4 };
#else
enum { BLOCK_ROWS = 4, BLOCK_DOTS = 2, BLOCK_VECTORS = 2 };
#endif

enum { QUAD = 4 };
typedef real quad __attribute__((vector_size(QUAD * sizeof(real)), aligned(sizeof(real)), may_alias));

/* Four rows by four columns. */
ALWAYS_INLINE void transpose_quads(const real *in, int64_t row_in, real *out, int64_t row_out)
{
    const quad *a = (const void *)in, *b = (const void *)(in + row_in);
    const quad *c = (const void *)(in + 2 * row_in), *d = (const void *)(in + 3 * row_in);
    quad ab = __builtin_shufflevector(*a, *b, 0, 4, 1, 5), AB = __builtin_shufflevector(*a, *b, 2, 6, 3, 7);
    quad cd = __builtin_shufflevector(*c, *d, 0, 4, 1, 5), CD = __builtin_shufflevector(*c, *d, 2, 6, 3, 7);
    *(quad *)(void *)out = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(quad *)(void *)(out + row_out) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(quad *)(void *)(out + 2 * row_out) = __builtin_shufflevector(AB, CD, 0, 1, 4, 5);
    *(quad *)(void *)(out + 3 * row_out) = __builtin_shufflevector(AB, CD, 2, 3, 6, 7);
}

/* out[j] = sum_lanes(v[j]), four of them side by side */
ALWAYS_INLINE void sum_lanes_of(int count, const vec *v, real *out)
{
    int j = 0;
    for (; (int)PART_LANES == (int)QUAD && j + QUAD <= count; j += QUAD) {
        real parts[QUAD * QUAD];
        quad lane[QUAD];
        for (int i = 0; i < QUAD; i++) {
            part p = sum_parts(v[j + i]);
            memcpy(parts + i * QUAD, &p, sizeof p);
        }
        transpose_quads(parts, QUAD, (real *)lane, QUAD);
        *(quad *)(void *)(out + j) = (lane[0] + lane[2]) + (lane[1] + lane[3]);
    }
    for (; j < count; j++) out[j] = sum_lanes(v[j]);
}

ALWAYS_INLINE void dot_tile(int rows, int dots, int64_t k, const real *x, int64_t row_x, const real *a, int64_t row_a,
                            real *out, int64_t row_out)
{
    vec sum[BLOCK_ROWS][BLOCK_DOTS];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < dots; j++) sum[i][j] = (vec){0};
    int64_t p = 0;
    for (; p + LANES <= k; p += LANES)
        for (int i = 0; i < rows; i++) {
            vec xi = load(x + i * row_x + p);
            __builtin_prefetch(x + (rows + i) * row_x + p); /* the next tile's */
            for (int j = 0; j < dots; j++) sum[i][j] += xi * load(a + j * row_a + p);
        }
    for (int i = 0; i < rows; i++) {
        sum_lanes_of(dots, sum[i], out + i * row_out);
        for (int j = 0; j < dots; j++)
            for (int64_t q = p; q < k; q++) out[i * row_out + j] += x[i * row_x + q] * a[j * row_a + q];
    }
}

/* out[i][j] = sum_p x[i][p] a[j][p]       x [m, k], a [n, k], out [m, n] */
static inline void block_dot(int64_t m, int64_t n, int64_t k, const real *x, int64_t row_x, const real *a,
                             int64_t row_a, real *out, int64_t row_out)
{
    int64_t i = 0;
    for (; i + BLOCK_ROWS <= m; i += BLOCK_ROWS) {
        const real *xi = x + i * row_x;
        real *oi = out + i * row_out;
        int64_t j = 0;
        for (; j + BLOCK_DOTS <= n; j += BLOCK_DOTS)
            dot_tile(BLOCK_ROWS, BLOCK_DOTS, k, xi, row_x, a + j * row_a, row_a, oi + j, row_out);
        for (; j < n; j++) dot_tile(BLOCK_ROWS, 1, k, xi, row_x, a + j * row_a, row_a, oi + j, row_out);
    }
    for (; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            dot_tile(1, 1, k, x + i * row_x, row_x, a + j * row_a, row_a, out + i * row_out + j, row_out);
}

ALWAYS_INLINE void update_tile(bool add, int rows, int vectors, int64_t k, const real *c, int64_t row_c,
                               int64_t column_c, const real *b, int64_t row_b, real *y, int64_t row_y)
{
    vec sum[BLOCK_ROWS][BLOCK_VECTORS];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++) {
            sum[i][v] = add ? load(y + i * row_y + v * LANES) : (vec){0};
            __builtin_prefetch(y + (rows + i) * row_y + v * LANES); /* the next tile's */
        }
    for (int64_t p = 0; p < k; p++)
        for (int v = 0; v < vectors; v++) {
            vec bv = load(b + p * row_b + v * LANES);
            for (int i = 0; i < rows; i++) sum[i][v] += broadcast(c[i * row_c + p * column_c]) * bv;
        }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++) store(y + i * row_y + v * LANES, sum[i][v]);
}

ALWAYS_INLINE void update_rows(bool add, int rows, int64_t n, int64_t k, const real *c, int64_t row_c, int64_t column_c,
                               const real *b, int64_t row_b, real *y, int64_t row_y)
{
    int64_t j = 0;
    for (; j + BLOCK_VECTORS * LANES <= n; j += BLOCK_VECTORS * LANES)
        update_tile(add, rows, BLOCK_VECTORS, k, c, row_c, column_c, b + j, row_b, y + j, row_y);
    for (; j + 2 * LANES <= n; j += 2 * LANES)
        update_tile(add, rows, 2, k, c, row_c, column_c, b + j, row_b, y + j, row_y);
    for (; j + LANES <= n; j += LANES) update_tile(add, rows, 1, k, c, row_c, column_c, b + j, row_b, y + j, row_y);
    for (; j < n; j++)
        for (int i = 0; i < rows; i++) {
            real total = add ? y[i * row_y + j] : 0;
            for (int64_t p = 0; p < k; p++) total += c[i * row_c + p * column_c] * b[p * row_b + j];
            y[i * row_y + j] = total;
        }
}

ALWAYS_INLINE void update_block(bool add, int64_t m, int64_t n, int64_t k, const real *c, int64_t row_c,
                                int64_t column_c, const real *b, int64_t row_b, real *y, int64_t row_y)
{
    int64_t i = 0;
    for (; i + BLOCK_ROWS <= m; i += BLOCK_ROWS)
        update_rows(add, BLOCK_ROWS, n, k, c + i * row_c, row_c, column_c, b, row_b, y + i * row_y, row_y);
    for (; i + 2 <= m; i += 2)
        update_rows(add, 2, n, k, c + i * row_c, row_c, column_c, b, row_b, y + i * row_y, row_y);
    for (; i < m; i++) update_rows(add, 1, n, k, c + i * row_c, row_c, column_c, b, row_b, y + i * row_y, row_y);
}

/* y[i][j] = sum_p c[i][p] b[p][j]         c [m, k] with any strides, b [k, n], y [m, n] */
static inline void block_product(int64_t m, int64_t n, int64_t k, const real *c, int64_t row_c, int64_t column_c,
                                 const real *b, int64_t row_b, real *y, int64_t row_y)
{
    update_block(false, m, n, k, c, row_c, column_c, b, row_b, y, row_y);
}

/* y[i][j] = sum_p c[i][p] b[p][j], or += */
static inline void block_put(bool add, int64_t m, int64_t n, int64_t k, const real *c, int64_t row_c, int64_t column_c,
                             const real *b, int64_t row_b, real *y, int64_t row_y)
{
    update_block(add, m, n, k, c, row_c, column_c, b, row_b, y, row_y);
}

#if defined(__AVX512F__) && !defined(PEFT_REAL_F64)
enum { SQUARE = LANES };

/* Of rows i and i + distance, for each such i: in the places of the one's second columns are the other's first. */
ALWAYS_INLINE void exchange(__m512 v[SQUARE], int distance)
{
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __mmask16 second = _mm512_test_epi32_mask(lane, _mm512_set1_epi32(distance));
    __m512i low = _mm512_mask_add_epi32(lane, second, lane, _mm512_set1_epi32(SQUARE - distance));
    __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(distance));
    for (int k = 0; k < SQUARE / 2; k++) {
        int i = k / distance * 2 * distance + k % distance;
        __m512 a = v[i], b = v[i + distance];
        v[i] = _mm512_permutex2var_ps(a, low, b);
        v[i + distance] = _mm512_permutex2var_ps(a, high, b);
    }
}

ALWAYS_INLINE void transpose_square(const real *in, int64_t row_in, real *out, int64_t row_out)
{
    __m512 v[SQUARE];
    for (int i = 0; i < SQUARE; i++) v[i] = _mm512_loadu_ps(in + i * row_in);
    exchange(v, 8);
    exchange(v, 4);
    exchange(v, 2);
    exchange(v, 1);
    for (int i = 0; i < SQUARE; i++) _mm512_storeu_ps(out + i * row_out, v[i]);
}
#else
enum { SQUARE = QUAD };

ALWAYS_INLINE void transpose_square(const real *in, int64_t row_in, real *out, int64_t row_out)
{
    transpose_quads(in, row_in, out, row_out);
}
#endif

/* out [columns, rows] = in^T, in [rows, columns] */
static inline void transpose(int64_t rows, int64_t columns, const real *in, int64_t row_in, real *out, int64_t row_out)
{
    int64_t square_rows = rows / SQUARE * SQUARE, square_columns = columns / SQUARE * SQUARE;
    int64_t whole_rows = rows / QUAD * QUAD, whole_columns = columns / QUAD * QUAD;
    for (int64_t i = 0; i < square_rows; i += SQUARE)
        for (int64_t j = 0; j < square_columns; j += SQUARE)
            transpose_square(in + i * row_in + j, row_in, out + j * row_out + i, row_out);
    for (int64_t i = 0; i < whole_rows; i += QUAD)
        for (int64_t j = i < square_rows ? square_columns : 0; j < whole_columns; j += QUAD)
            transpose_quads(in + i * row_in + j, row_in, out + j * row_out + i, row_out);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; j++)
            out[j * row_out + i] = in[i * row_in + j];
}

#endif
