/* ops/onednn/low_rank_few.c - adapters of at most eight ranks with factors in bf16 and sums in float: low_rank.h.
 *
 * Eight ranks are as many as the registers hold; those that miss are zeros. x, dy, c, gh, A and B are rounded: a row of
 * x or dy where it is read, so that nothing is written on the way (or before, by the graph), the others beforehand.
 * They lie in pairs (ops/onednn/pairs.h). */
#include "ops/cpu/kernels/low_rank.h"
#include "ops/onednn/kernels.h"
#include "ops/onednn/pairs.h"

enum { FEW = PEFT_FEW_RANKS, FEW_PAIRS = FEW / 2 };

/* ---- h = x M^T ---- */

/* In each four lanes (a0 + a2, a1 + a3, b0 + b2, b1 + b3), and (a0 + a1, a2 + a3, b0 + b1, b2 + b3) */
ALWAYS_INLINE __m512 sum_far(__m512 a, __m512 b)
{
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
}

ALWAYS_INLINE __m512 sum_near(__m512 a, __m512 b)
{
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
}

/* The lanes of each of eight vectors summed up: first each fourth one, then these. */
ALWAYS_INLINE __m256 sum_lanes_of_eight(const __m512 v[FEW])
{
    __m512 low = sum_near(sum_far(v[0], v[1]), sum_far(v[2], v[3]));
    __m512 high = sum_near(sum_far(v[4], v[5]), sum_far(v[6], v[7]));
    __m512 halves = _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x44), _mm512_shuffle_f32x4(low, high, 0xee));
    __m512 all = _mm512_add_ps(halves, _mm512_shuffle_f32x4(halves, halves, 0xb1));
    return _mm512_castps512_ps256(_mm512_shuffle_f32x4(all, all, 0x08));
}

enum { FEW_ROWS = 3 };

/* Asks for what row_pairs will read. */
ALWAYS_INLINE void prefetch_pairs(operand in, int64_t i, int64_t j)
{
    __builtin_prefetch(operand_at(in, i, j).data);
    if (!in.rounded) __builtin_prefetch(operand_at(in, i, j + LANES).data);
}

ALWAYS_INLINE void few_down_rows(int rows, int64_t ranks, int64_t features, operand x, const real *m, int64_t row_m,
                                 real *h)
{
    __m512 sum[FEW_ROWS][FEW], xi[FEW_ROWS];
    for (int i = 0; i < rows; i++)
        for (int r = 0; r < FEW; r++) sum[i][r] = _mm512_setzero_ps();
    int64_t j = 0;
    for (; j + STEP <= features; j += STEP) {
        for (int i = 0; i < rows; i++) {
            xi[i] = row_pairs(x, i, j, STEP);
            prefetch_pairs(x, rows + i, j);
        }
        for (int r = 0; r < FEW; r++)
            for (int i = 0; i < rows; i++)
                sum[i][r] = pair_sum(sum[i][r], xi[i], _mm512_loadu_ps(m + r * row_m + j / 2));
    }
    for (int i = 0; i < rows && j < features; i++) {
        xi[i] = row_pairs(x, i, j, features - j);
        for (int r = 0; r < FEW; r++) sum[i][r] = pair_sum(sum[i][r], xi[i], _mm512_loadu_ps(m + r * row_m + j / 2));
    }
    for (int i = 0; i < rows; i++)
        _mm256_mask_storeu_ps(h + i * ranks, (__mmask8)some_lanes(ranks), sum_lanes_of_eight(sum[i]));
}

ALWAYS_INLINE void few_down_all(int64_t tokens, int64_t ranks, int64_t features, operand x, const real *m,
                                int64_t row_m, real *h)
{
    int64_t t = 0;
    for (; t + FEW_ROWS <= tokens; t += FEW_ROWS)
        few_down_rows(FEW_ROWS, ranks, features, operand_at(x, t, 0), m, row_m, h + t * ranks);
    for (; t < tokens; t++) few_down_rows(1, ranks, features, operand_at(x, t, 0), m, row_m, h + t * ranks);
}

/* h [tokens, ranks]: x [tokens, features], M [FEW, features / 2] in pairs, rows whole vectors with zeros at the end */
static void few_down(int64_t tokens, int64_t ranks, int64_t features, operand x, const real *m, int64_t row_m, real *h)
{
    if (x.rounded)
        few_down_all(tokens, ranks, features, (operand){x.data, x.row, true}, m, row_m, h);
    else
        few_down_all(tokens, ranks, features, floats(x.data, x.row), m, row_m, h);
}

/* ---- y (+)= c M ---- */

/* out [tokens, FEW_PAIRS]: c [tokens, ranks] in pairs */
static inline void few_pairs(int64_t tokens, int64_t ranks, const real *c, real *out)
{
    for (int64_t t = 0; t < tokens; t++, c += ranks, out += FEW_PAIRS)
        _mm_storeu_ps(out, _mm512_castps512_ps128(pair_of_row(ranks, c)));
}

ALWAYS_INLINE void few_up_columns(bool add, int vectors, __mmask16 last, int64_t tokens, const real *c, const real *m,
                                  int64_t row_m, real *y, int64_t row_y)
{
    enum { AHEAD = 4 };
    __m512 factor[FEW_PAIRS][PAIR_VECTORS], sum[PAIR_VECTORS];
    for (int p = 0; p < FEW_PAIRS; p++)
        for (int v = 0; v < vectors; v++) factor[p][v] = _mm512_loadu_ps(m + p * row_m + v * LANES);
    for (int64_t t = 0; t < tokens; t++, c += FEW_PAIRS, y += row_y) {
        for (int v = 0; v < vectors; v++) {
            __mmask16 some = v + 1 < vectors ? some_lanes(LANES) : last;
            sum[v] = add ? _mm512_maskz_loadu_ps(some, y + v * LANES) : _mm512_setzero_ps();
            __builtin_prefetch(y + AHEAD * row_y + v * LANES);
        }
        for (int p = 0; p < FEW_PAIRS; p++)
            for (int v = 0; v < vectors; v++) sum[v] = pair_sum(sum[v], _mm512_set1_ps(c[p]), factor[p][v]);
        for (int v = 0; v < vectors; v++)
            _mm512_mask_storeu_ps(y + v * LANES, v + 1 < vectors ? some_lanes(LANES) : last, sum[v]);
    }
}

/* c [tokens, FEW_PAIRS], M [FEW_PAIRS, features] in pairs of its columns, whose rows are whole vectors, y [tokens,
 * features] */
static inline void few_up(bool add, int64_t tokens, int64_t features, const real *c, const real *m, int64_t row_m,
                          real *y)
{
    enum { WIDTH = PAIR_VECTORS * LANES };
    int64_t j = 0;
    for (; j + WIDTH <= features; j += WIDTH)
        few_up_columns(add, PAIR_VECTORS, some_lanes(LANES), tokens, c, m + j, row_m, y + j, features);
    for (; j < features; j += LANES)
        few_up_columns(add, 1, some_lanes(features - j), tokens, c, m + j, row_m, y + j, features);
}

/* ---- d (+)= c^T x ---- */

/* For at most two vectors of columns, from j on */
ALWAYS_INLINE void few_outer_columns(bool add, int64_t j, int64_t left, int64_t tokens, int64_t ranks, const real *c,
                                     int64_t row_c, operand x, real *d, int64_t features)
{
    __m512 sum[FEW][2], pairs[2];
    for (int r = 0; r < FEW; r++)
        for (int v = 0; v < 2; v++)
            sum[r][v] =
                add && r < ranks ? load_left(d + r * features + v * LANES, left - v * LANES) : _mm512_setzero_ps();
    for (int64_t t = 0; t < tokens; t += 2, c += row_c) {
        column_pairs(t + 1 < tokens, x, t, j, left, pairs);
        for (int v = 0; v < 2; v++)
            for (int r = 0; r < FEW; r++) sum[r][v] = pair_sum(sum[r][v], _mm512_set1_ps(c[r]), pairs[v]);
    }
    for (int r = 0; r < FEW; r++)
        for (int v = 0; v < 2 && r < ranks; v++)
            _mm512_mask_storeu_ps(d + r * features + v * LANES, some_lanes(left - v * LANES), sum[r][v]);
}

ALWAYS_INLINE void few_outer_all(bool add, int64_t tokens, int64_t ranks, int64_t features, const real *c,
                                 int64_t row_c, operand x, real *d)
{
    int64_t j = 0;
    for (; j + STEP <= features; j += STEP)
        few_outer_columns(add, j, STEP, tokens, ranks, c, row_c, x, d + j, features);
    if (j < features) few_outer_columns(add, j, features - j, tokens, ranks, c, row_c, x, d + j, features);
}

/* c [tokens / 2, ranks] in pairs of its columns, with zeros up to FEW, x [tokens, features], d [ranks, features] */
static void few_outer(bool add, int64_t tokens, int64_t ranks, int64_t features, const real *c, int64_t row_c,
                      operand x, real *d)
{
    if (x.rounded)
        few_outer_all(add, tokens, ranks, features, c, row_c, (operand){x.data, x.row, true}, d);
    else
        few_outer_all(add, tokens, ranks, features, c, row_c, floats(x.data, x.row), d);
}

/* ---- what is made of A and B ---- */

/* Forward M is A and N is B^T, backward M is B^T and N is A. Rows are whole vectors, with zeros at the end. */
typedef struct prepared {
    real *M, *N; /* [FEW, features / 2], in pairs of neighbours in a row; [FEW_PAIRS, features], in a column */
    int64_t features_M, features_N, row_M, row_N, used;
} prepared;

static prepared read_prepared(const low_rank *l, bool backward, real *memory)
{
    prepared p = {.features_M = backward ? l->out : l->in, .features_N = backward ? l->in : l->out};
    p.row_M = whole_vectors(num_pairs(p.features_M));
    p.row_N = whole_vectors(p.features_N);
    p.M = take(memory, &p.used, FEW * p.row_M);
    p.N = take(memory, &p.used, FEW_PAIRS * p.row_N);
    return p;
}

static int64_t prepared_elements(const low_rank *l, bool backward)
{
    return read_prepared(l, backward, NULL).used;
}

/* In scratch memory: c or gh in pairs, by rows and by columns, and B^T. */
typedef struct places {
    real *Cr, *Cc, *Bt; /* [BLOCK, FEW_PAIRS], [BLOCK / 2, LANES], [R, out] */
    int64_t used;
} places;

static places read_places(const low_rank *l, real *scratch)
{
    places p = {0};
    p.Cr = take(scratch, &p.used, BLOCK * FEW_PAIRS);
    p.Cc = take(scratch, &p.used, BLOCK / 2 * LANES);
    p.Bt = take(scratch, &p.used, l->rank * l->out);
    return p;
}

static int64_t scratch_elements(const low_rank *l)
{
    return read_places(l, NULL).used;
}

static void prepare(const low_rank *l, const factors *f, bool backward)
{
    prepared p = read_prepared(l, backward, f->prepared);
    real *Bt = read_places(l, f->scratch).Bt;
    transpose(l->out, l->rank, f->B, l->rank, Bt, l->out);
    const real *M = backward ? Bt : f->A, *N = backward ? f->A : Bt;
    memset(f->prepared, 0, (size_t)p.used * sizeof *f->prepared);
    pair_rows(l->rank, p.features_M, floats(M, p.features_M), p.M, p.row_M);
    pair_columns(l->rank, p.features_N, floats(N, p.features_N), p.N, p.row_N);
}

/* ---- the products of low_rank.h ---- */

static void down(const low_rank *l, const factors *f, int64_t tokens, operand x, real *h)
{
    prepared p = read_prepared(l, false, f->prepared);
    few_down(tokens, l->rank, l->in, x, p.M, p.row_M, h);
}

/* out [tokens, features] (+)= C N */
static void multiply(const low_rank *l, const factors *f, bool backward, bool add, int64_t tokens, const real *C,
                     real *out)
{
    prepared p = read_prepared(l, backward, f->prepared);
    real *Cr = read_places(l, f->scratch).Cr;
    few_pairs(tokens, l->rank, C, Cr);
    few_up(add, tokens, p.features_N, Cr, p.N, p.row_N, out);
}

static void up(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *c, real *y)
{
    multiply(l, f, false, add, tokens, c, y);
}

static void input_gradient(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *gh, real *dx)
{
    multiply(l, f, true, add, tokens, gh, dx);
}

/* d [R, features] (+)= C^T X */
static void add_outer(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *C, operand X,
                      int64_t features, real *d)
{
    real *Cc = read_places(l, f->scratch).Cc;
    pair_columns(tokens, l->rank, floats(C, l->rank), Cc, LANES);
    few_outer(add, tokens, l->rank, features, Cc, LANES, X, d);
}

static void up_gradients(const low_rank *l, const factors *f, bool add, int64_t tokens, operand dy, const real *c,
                         real *GB, real *dBt)
{
    prepared p = read_prepared(l, true, f->prepared);
    few_down(tokens, l->rank, l->out, dy, p.M, p.row_M, GB);
    if (dBt) add_outer(l, f, add, tokens, c, dy, l->out, dBt);
}

static void down_gradient(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *gh, operand x,
                          real *dA)
{
    add_outer(l, f, add, tokens, gh, x, l->in, dA);
}

const peft_kernel peft_kernel_low_rank_few = {.forward = forward,
                                              .backward = backward,
                                              .thread_bytes = thread_bytes,
                                              .shared_bytes = shared_bytes,
                                              .by_rows = {&by_rows[0], &by_rows[1]},
                                              .takes_bf16 = PEFT_IN(LOW_RANK_X) | PEFT_OUT(LOW_RANK_Y)};
