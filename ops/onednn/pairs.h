/* ops/onednn/pairs.h - the small products of block.h with factors in bf16.
 *
 * The CPU multiplies bf16 in pairs: to each float of a sum it adds the products of two neighbours with two others. So
 * the index that is summed over runs in pairs, each in the place of one float: `pair_rows` makes them of neighbours in
 * a row, `pair_columns` of neighbours in a column, with a zero where one is missing. Numbers are rounded to the
 * nearest, ties to even; sums are float, in a fixed order. */
#ifndef PEFT_OPS_ONEDNN_PAIRS_H
#define PEFT_OPS_ONEDNN_PAIRS_H

#include <immintrin.h>

#include "ops/cpu/kernels/block.h"

static inline int64_t num_pairs(int64_t count)
{
    return (count + 1) / 2;
}

/* The lanes of a vector that `left` elements fill. */
static inline __mmask16 some_lanes(int64_t left)
{
    return (__mmask16)(left >= LANES ? UINT16_MAX : left > 0 ? (1U << left) - 1U : 0);
}

/* The same of elements of 16 bits. */
static inline __mmask32 some_halves(int64_t left)
{
    return _mm512_kunpackw(some_lanes(left - LANES), some_lanes(left));
}

static inline __m512 load_left(const real *p, int64_t left)
{
    return _mm512_maskz_loadu_ps(some_lanes(left), p);
}

static inline operand floats(const real *data, int64_t row)
{
    return (operand){data, row, false};
}

/* ---- neighbours in a row: the elements in bf16, in their order ---- */

/* Of at most two vectors. */
ALWAYS_INLINE __m512 pair_of_row(int64_t left, const real *from)
{
    return (__m512)_mm512_cvtne2ps_pbh(load_left(from + LANES, left - LANES), load_left(from, left));
}

/* Of a row of `in`, from column j on. */
ALWAYS_INLINE __m512 row_pairs(operand in, int64_t i, int64_t j, int64_t left)
{
    const void *from = operand_at(in, i, j).data;
    return in.rounded ? (__m512)_mm512_maskz_loadu_epi16(some_halves(left), from) : pair_of_row(left, from);
}

ALWAYS_INLINE void put_row_pairs(operand in, int64_t i, int64_t j, int64_t left, real *out)
{
    _mm512_mask_storeu_ps(out, some_lanes(num_pairs(left)), row_pairs(in, i, j, left));
}

enum { STEP = 2 * LANES };

ALWAYS_INLINE void pair_all_rows(int64_t rows, int64_t columns, operand in, real *out, int64_t row_out)
{
    for (int64_t i = 0; i < rows; i++, out += row_out) {
        int64_t j = 0;
        for (; j + STEP <= columns; j += STEP) put_row_pairs(in, i, j, STEP, out + j / 2);
        if (j < columns) put_row_pairs(in, i, j, columns - j, out + j / 2);
    }
}

/* out [rows, columns / 2]: (in[i][2 p], in[i][2 p + 1]) */
static inline void pair_rows(int64_t rows, int64_t columns, operand in, real *out, int64_t row_out)
{
    if (in.rounded)
        pair_all_rows(rows, columns, (operand){in.data, in.row, true}, out, row_out);
    else
        pair_all_rows(rows, columns, floats(in.data, in.row), out, row_out);
}

/* out [rows, columns] in bf16 */
static inline void round_rows(int64_t rows, int64_t columns, const real *in, int64_t row_in, uint16_t *out,
                              int64_t row_out)
{
    for (int64_t i = 0; i < rows; i++, in += row_in, out += row_out)
        for (int64_t j = 0; j < columns; j += STEP)
            _mm512_mask_storeu_epi16(out + j, some_halves(columns - j), (__m512i)pair_of_row(columns - j, in + j));
}

/* ---- neighbours in a column ---- */

/* Of at most a vector of two rows, or of one and zeros. */
ALWAYS_INLINE __m512 pair_of_rows(bool both, int64_t left, const real *from, int64_t row)
{
    const __m512i alternate = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
                                               6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512 odd = both ? load_left(from + row, left) : _mm512_setzero_ps();
    __m512i pairs = (__m512i)_mm512_cvtne2ps_pbh(odd, load_left(from, left));
    return (__m512)_mm512_permutexvar_epi16(alternate, pairs);
}

/* Of at most two vectors of rows i and i + 1 of `in`. */
ALWAYS_INLINE void column_pairs(bool both, operand in, int64_t i, int64_t j, int64_t left, __m512 out[2])
{
    const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                                           37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i second = _mm512_or_si512(first, _mm512_set1_epi16(LANES));
    const void *from = operand_at(in, i, j).data, *next = operand_at(in, i + 1, j).data;
    if (in.rounded) {
        __m512i even = _mm512_maskz_loadu_epi16(some_halves(left), from);
        __m512i odd = both ? _mm512_maskz_loadu_epi16(some_halves(left), next) : _mm512_setzero_si512();
        out[0] = (__m512)_mm512_permutex2var_epi16(even, first, odd);
        out[1] = (__m512)_mm512_permutex2var_epi16(even, second, odd);
    } else {
        out[0] = pair_of_rows(both, left, from, in.row);
        out[1] = pair_of_rows(both, left - LANES, (const real *)from + LANES, in.row);
    }
}

ALWAYS_INLINE void pair_all_columns(int64_t rows, int64_t columns, operand in, real *out, int64_t row_out)
{
    for (int64_t i = 0; i < rows; i += 2, out += row_out) {
        bool both = i + 1 < rows;
        int64_t j = 0;
        __m512 pairs[2];
        for (; both && j + STEP <= columns; j += STEP) {
            column_pairs(true, in, i, j, STEP, pairs);
            _mm512_storeu_ps(out + j, pairs[0]);
            _mm512_storeu_ps(out + j + LANES, pairs[1]);
        }
        for (; j < columns; j += STEP) {
            column_pairs(both, in, i, j, columns - j, pairs);
            _mm512_storeu_ps(out + j, pairs[0]);
            if (columns - j > LANES) _mm512_storeu_ps(out + j + LANES, pairs[1]);
        }
    }
}

/* out [rows / 2, columns]: (in[2 p][j], in[2 p + 1][j]); rows of out are whole vectors */
static inline void pair_columns(int64_t rows, int64_t columns, operand in, real *out, int64_t row_out)
{
    if (in.rounded)
        pair_all_columns(rows, columns, (operand){in.data, in.row, true}, out, row_out);
    else
        pair_all_columns(rows, columns, floats(in.data, in.row), out, row_out);
}

/* ---- products ---- */

/* Enough sums at once for the CPU to be busy while each waits for its last product. */
enum { PAIR_VECTORS = 4, PAIR_ROWS = 8 };

ALWAYS_INLINE __m512 pair_sum(__m512 sum, __m512 a, __m512 b)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

ALWAYS_INLINE void pair_tile(bool add, int rows, int vectors, __mmask16 last, int64_t pairs, const real *c,
                             int64_t row_c, int64_t column_c, const real *b, int64_t row_b, real *y, int64_t row_y)
{
    __m512 sum[PAIR_ROWS][PAIR_VECTORS];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++) {
            __mmask16 some = v + 1 < vectors ? some_lanes(LANES) : last;
            sum[i][v] = add ? _mm512_maskz_loadu_ps(some, y + i * row_y + v * LANES) : _mm512_setzero_ps();
        }
    for (int64_t p = 0; p < pairs; p++)
        for (int v = 0; v < vectors; v++) {
            __m512 bv = _mm512_loadu_ps(b + p * row_b + v * LANES);
            for (int i = 0; i < rows; i++)
                sum[i][v] = pair_sum(sum[i][v], _mm512_set1_ps(c[i * row_c + p * column_c]), bv);
        }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++) {
            __mmask16 some = v + 1 < vectors ? some_lanes(LANES) : last;
            _mm512_mask_storeu_ps(y + i * row_y + v * LANES, some, sum[i][v]);
        }
}

ALWAYS_INLINE void pair_strip(bool add, int rows, int vectors, __mmask16 last, int64_t m, int64_t pairs, const real *c,
                              int64_t row_c, int64_t column_c, const real *b, int64_t row_b, real *y, int64_t row_y)
{
    int64_t i = 0;
    for (; i + rows <= m; i += rows)
        pair_tile(add, rows, vectors, last, pairs, c + i * row_c, row_c, column_c, b, row_b, y + i * row_y, row_y);
    for (; i + 2 <= m; i += 2)
        pair_tile(add, 2, vectors, last, pairs, c + i * row_c, row_c, column_c, b, row_b, y + i * row_y, row_y);
    if (i < m) pair_tile(add, 1, vectors, last, pairs, c + i * row_c, row_c, column_c, b, row_b, y + i * row_y, row_y);
}

/* y[i][j] = sum_p c[i][p] b[p][j] over pairs, or += : c [m, pairs] with any strides, b [pairs, n] with rows of whole
 * vectors, y [m, n] */
ALWAYS_INLINE void pair_put(bool add, int64_t m, int64_t n, int64_t pairs, const real *c, int64_t row_c,
                            int64_t column_c, const real *b, int64_t row_b, real *y, int64_t row_y)
{
    for (int64_t j = 0, width; j < n; j += width) {
        int64_t left = n - j;
        width = left > 3 * LANES ? 4 * LANES : left > LANES ? 2 * LANES : LANES;
        __mmask16 last = some_lanes(left - width + LANES);
        if (width == 4 * LANES)
            pair_strip(add, PAIR_ROWS / 2, 4, last, m, pairs, c, row_c, column_c, b + j, row_b, y + j, row_y);
        else if (width == 2 * LANES)
            pair_strip(add, PAIR_ROWS, 2, last, m, pairs, c, row_c, column_c, b + j, row_b, y + j, row_y);
        else
            pair_strip(add, PAIR_ROWS, 1, last, m, pairs, c, row_c, column_c, b + j, row_b, y + j, row_y);
    }
}

static inline void pair_product(int64_t m, int64_t n, int64_t pairs, const real *c, int64_t row_c, int64_t column_c,
                                const real *b, int64_t row_b, real *y, int64_t row_y)
{
    pair_put(false, m, n, pairs, c, row_c, column_c, b, row_b, y, row_y);
}

#endif
