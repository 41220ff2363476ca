/* ops/onednn/low_rank_bf16.c - adapters whose products have factors in bf16 and sums in float: low_rank.h.
 *
 * x, dy, c, gh, A and B are rounded where they are multiplied. They lie in pairs (ops/onednn/pairs.h): Xr is X in
 * pairs of neighbours in a row, Xc of neighbours in a column, Xt is Xr transposed. */
#include "ops/cpu/kernels/low_rank.h"
#include "ops/onednn/kernels.h"
#include "ops/onednn/pairs.h"

/* Columns of x or dy that are rounded at once. */
enum { CHUNK = 256 };

/* ---- what is made of A and B ---- */

/* Forward: At and Bt. Backward: Ac and Bc. */
typedef struct prepared {
    real *A, *B; /* [in / 2, R], [R / 2, out]; [R / 2, in], [out / 2, R] */
    int64_t row_A, row_B, used;
} prepared;

static prepared read_prepared(const low_rank *l, bool backward, real *memory)
{
    prepared p = {.row_A = whole_vectors(backward ? l->in : l->rank),
                  .row_B = whole_vectors(backward ? l->rank : l->out)};
    p.A = take(memory, &p.used, num_pairs(backward ? l->rank : l->in) * p.row_A);
    p.B = take(memory, &p.used, num_pairs(backward ? l->out : l->rank) * p.row_B);
    return p;
}

static int64_t prepared_elements(const low_rank *l, bool backward)
{
    return read_prepared(l, backward, NULL).used;
}

/* ---- the scratch memory of a thread ---- */

typedef struct places {
    real *Xr, *Xc;        /* of a chunk: [BLOCK, CHUNK / 2], [BLOCK / 2, CHUNK] */
    real *Cr, *Cc;        /* of c or gh: [BLOCK, R / 2], [BLOCK / 2, width] */
    int64_t pairs, width; /* R, in pairs and in whole vectors */
    real *rows;           /* while A and B are prepared: [BLOCK, in / 2] or [BLOCK, R / 2] */
    int64_t used;
} places;

static places read_places(const low_rank *l, real *scratch)
{
    places p = {.pairs = num_pairs(l->rank), .width = whole_vectors(l->rank)};
    p.Xr = take(scratch, &p.used, BLOCK * CHUNK / 2);
    p.Xc = take(scratch, &p.used, BLOCK / 2 * CHUNK);
    p.Cr = take(scratch, &p.used, BLOCK * p.pairs);
    p.Cc = take(scratch, &p.used, BLOCK / 2 * p.width);
    p.rows = take(scratch, &p.used, BLOCK * (l->in > l->rank ? num_pairs(l->in) : p.pairs));
    return p;
}

static int64_t scratch_elements(const low_rank *l)
{
    return read_places(l, NULL).used;
}

/* Mt of M [rows, columns] */
static void pair_transposed(int64_t rows, int64_t columns, const real *M, real *Mr, real *Mt, int64_t row_t)
{
    int64_t pairs = num_pairs(columns);
    for (int64_t i = 0; i < rows; i += BLOCK) {
        int64_t count = rows - i < BLOCK ? rows - i : BLOCK;
        pair_rows(count, columns, floats(M + i * columns, columns), Mr, pairs);
        transpose(count, pairs, Mr, pairs, Mt + i, row_t);
    }
}

static void prepare(const low_rank *l, const factors *f, bool backward)
{
    prepared p = read_prepared(l, backward, f->prepared);
    real *rows = read_places(l, f->scratch).rows;
    if (backward) {
        pair_columns(l->rank, l->in, floats(f->A, l->in), p.A, p.row_A);
        pair_columns(l->out, l->rank, floats(f->B, l->rank), p.B, p.row_B);
    } else {
        pair_transposed(l->rank, l->in, f->A, rows, p.A, p.row_A);
        pair_transposed(l->out, l->rank, f->B, rows, p.B, p.row_B);
    }
}

static int64_t chunk_of(int64_t columns, int64_t begin)
{
    return columns - begin < CHUNK ? columns - begin : CHUNK;
}

/* ---- products ---- */

/* out [tokens, R] (+)= X M^T of a chunk, which begins with column j of X; M^T in pairs of its rows */
static void sum_chunk(const low_rank *l, const places *at, int64_t tokens, int64_t j, int64_t width, const real *M,
                      int64_t row_M, real *out)
{
    pair_put(j > 0, tokens, l->rank, num_pairs(width), at->Xr, CHUNK / 2, 1, M + j / 2 * row_M, row_M, out, l->rank);
}

static void down(const low_rank *l, const factors *f, int64_t tokens, operand x, real *h)
{
    places at = read_places(l, f->scratch);
    prepared p = read_prepared(l, false, f->prepared);
    for (int64_t j = 0; j < l->in; j += CHUNK) {
        int64_t width = chunk_of(l->in, j);
        pair_rows(tokens, width, operand_at(x, 0, j), at.Xr, CHUNK / 2);
        sum_chunk(l, &at, tokens, j, width, p.A, p.row_A, h);
    }
}

/* out [tokens, columns] (+)= C M, M [R, columns] in pairs of its columns */
static void multiply(const low_rank *l, const places *at, bool add, int64_t tokens, const real *C, const real *M,
                     int64_t row_M, real *out, int64_t columns)
{
    pair_rows(tokens, l->rank, floats(C, l->rank), at->Cr, at->pairs);
    pair_put(add, tokens, columns, at->pairs, at->Cr, at->pairs, 1, M, row_M, out, columns);
}

static void up(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *c, real *y)
{
    places at = read_places(l, f->scratch);
    prepared p = read_prepared(l, false, f->prepared);
    multiply(l, &at, add, tokens, c, p.B, p.row_B, y, l->out);
}

static void input_gradient(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *gh, real *dx)
{
    places at = read_places(l, f->scratch);
    prepared p = read_prepared(l, true, f->prepared);
    multiply(l, &at, add, tokens, gh, p.A, p.row_A, dx, l->in);
}

/* d [R, columns] (+)= C^T X of a chunk, by Cc and Xc */
static void add_outer(const low_rank *l, const places *at, bool add, int64_t tokens, int64_t width, real *d,
                      int64_t columns)
{
    pair_put(add, l->rank, width, num_pairs(tokens), at->Cc, 1, at->width, at->Xc, CHUNK, d, columns);
}

static void up_gradients(const low_rank *l, const factors *f, bool add, int64_t tokens, operand dy, const real *c,
                         real *GB, real *dBt)
{
    places at = read_places(l, f->scratch);
    prepared p = read_prepared(l, true, f->prepared);
    pair_columns(tokens, l->rank, floats(c, l->rank), at.Cc, at.width);
    for (int64_t j = 0; j < l->out; j += CHUNK) {
        int64_t width = chunk_of(l->out, j);
        pair_rows(tokens, width, operand_at(dy, 0, j), at.Xr, CHUNK / 2);
        pair_columns(tokens, width, operand_at(dy, 0, j), at.Xc, CHUNK);
        sum_chunk(l, &at, tokens, j, width, p.B, p.row_B, GB);
        if (dBt) add_outer(l, &at, add, tokens, width, dBt + j, l->out);
    }
}

static void down_gradient(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *gh, operand x,
                          real *dA)
{
    places at = read_places(l, f->scratch);
    pair_columns(tokens, l->rank, floats(gh, l->rank), at.Cc, at.width);
    for (int64_t j = 0; j < l->in; j += CHUNK) {
        int64_t width = chunk_of(l->in, j);
        pair_columns(tokens, width, operand_at(x, 0, j), at.Xc, CHUNK);
        add_outer(l, &at, add, tokens, width, dA + j, l->in);
    }
}

const peft_kernel KERNEL(low_rank) = {.forward = forward,
                                      .backward = backward,
                                      .thread_bytes = thread_bytes,
                                      .shared_bytes = shared_bytes,
                                      .by_rows = {&by_rows[0], &by_rows[1]},
                                      .takes_bf16 = PEFT_IN(LOW_RANK_X) | PEFT_OUT(LOW_RANK_Y)};
