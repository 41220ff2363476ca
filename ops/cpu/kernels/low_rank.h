/* ops/cpu/kernels/low_rank.h - the core of the family.
 *
 *     h = A x        c = s g * h        y = y0 + B c                       (1)
 *
 *     GB = s B^T dy           dB = sum_t dy_t c_t^T                        (2)
 *     dg = sum GB * h         (over the rows of A and the tokens that share an entry of the gate)
 *     gh = GB * g             dA = sum_t gh_t x_t^T        dx = A^T gh
 *
 * per token t; h, c, GB, gh [T, R]. No per-expert output of width `out` is ever formed. The products are those of the
 * file that includes this: low_rank.c multiplies floats, low_rank_bf16.c factors in bf16. */
#ifndef PEFT_OPS_CPU_KERNELS_LOW_RANK_H
#define PEFT_OPS_CPU_KERNELS_LOW_RANK_H

#include "ops/cpu/kernels/block.h"
#include "ops/cpu/kernels/low_rank_pieces.h"

/* ---- the products: each file has its own ---- */

/* A [R, in] and B [out, R] of one adapter, what was made of both before the first token, and memory to work in. */
typedef struct factors {
    const real *A, *B;
    real *prepared, *scratch;
} factors;

static int64_t scratch_elements(const low_rank *l);
static void prepare(const low_rank *l, const factors *f, bool backward);

/* For at most BLOCK tokens of an adapter: h = x A^T, then y (+)= c B^T. */
static void down(const low_rank *l, const factors *f, int64_t tokens, operand x, real *h);
static void up(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *c, real *y);

/* GB = dy B; dBt (+)= c^T dy, unless it is NULL. */
static void up_gradients(const low_rank *l, const factors *f, bool add, int64_t tokens, operand dy, const real *c,
                         real *GB, real *dBt);
/* dA (+)= gh^T x; dx (+)= gh A. */
static void down_gradient(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *gh, operand x,
                          real *dA);
static void input_gradient(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *gh, real *dx);

/* Of a block, for a thread. */
typedef struct block {
    real *c;       /* [BLOCK, R]; with GB and gh also the sums of a strip of dB */
    real *GB, *gh; /* [BLOCK, R] */
    real *own;     /* of the products */
    int64_t used;  /* elements */
} block;

static inline block read_block(const low_rank *l, real *scratch, bool backward)
{
    block b = {0};
    b.c = take(scratch, &b.used, BLOCK * l->rank);
    b.GB = take(scratch, &b.used, backward ? BLOCK * l->rank : 0);
    b.gh = take(scratch, &b.used, backward ? BLOCK * l->rank : 0);
    b.own = take(scratch, &b.used, scratch_elements(l));
    return b;
}

static inline factors read_factors(const peft_node *node, const low_rank *l, int64_t adapter, bool backward,
                                   const block *b)
{
    const real *A = node->in[LOW_RANK_A]->data, *B = node->in[LOW_RANK_B]->data;
    return (factors){.A = A + adapter * l->rank * l->in,
                     .B = B + adapter * l->rank * l->out,
                     .prepared =
                         read_shared(l, node->shared, backward).prepared + adapter * prepared_elements(l, backward),
                     .scratch = b->own};
}

static inline size_t thread_bytes(const peft_node *node, bool backward)
{
    low_rank l = read_node(node);
    return (size_t)read_block(&l, NULL, backward).used * sizeof(real);
}

static inline size_t shared_bytes(const peft_node *node, bool backward)
{
    low_rank l = read_node(node);
    return (size_t)read_shared(&l, NULL, backward).used * sizeof(real);
}

/* ---- before the first token ---- */

static inline int64_t adapters_to_prepare(const peft_node *node, bool backward)
{
    low_rank l = read_node(node);
    return prepared_elements(&l, backward) ? l.adapters : 0;
}

static inline void prepare_adapters(const peft_node *node, bool backward, int64_t begin, int64_t end, real *scratch)
{
    low_rank l = read_node(node);
    block b = read_block(&l, scratch, backward);
    for (int64_t k = begin; k < end; k++) {
        factors f = read_factors(node, &l, k, backward, &b);
        prepare(&l, &f, backward);
    }
}

static int64_t forward_adapters(const peft_node *node)
{
    return adapters_to_prepare(node, false);
}

static int64_t backward_adapters(const peft_node *node)
{
    return adapters_to_prepare(node, true);
}

static void prepare_forward(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                            const peft_thread *thread)
{
    (void)ctx;
    prepare_adapters(node, false, begin, end, thread->scratch);
}

static void prepare_backward(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx;
    prepare_adapters(node, true, begin, end, thread->scratch);
}

/* ---- the gate ---- */

/* Row of the gate that counts for a token. */
static inline const real *gate_row(const low_rank *l, int64_t token)
{
    if (l->gate_kind == PEFT_GATE_TOKEN) return l->gate + token * l->entries;
    if (l->gate_kind == PEFT_GATE_SEQUENCE) return l->gate + sequence_of(l, token) * l->entries;
    return l->gate;
}

/* out = factor * in * gate for the tokens begin ... end - 1; in and out [*, R] start at `begin`. */
static inline void apply_gate(const low_rank *l, int64_t begin, int64_t end, real factor, const real *in, real *out)
{
    if (l->gate_kind == PEFT_GATE_NONE)
        for (int64_t k = 0; k < (end - begin) * l->rank; k++) out[k] = factor * in[k];
    else
        for (int64_t t = begin; t < end; t++, in += l->rank, out += l->rank) {
            const real *g = gate_row(l, t);
            for (int64_t r = 0; r < l->rank; r++) out[r] = factor * in[r] * g[r / l->repeat];
        }
}

/* ---- forward and backward ---- */

static inline void for_pieces(const peft_node *node, peft_context *ctx, peft_rows_function *run)
{
    low_rank l = read_node(node);
    peft_for_rows(node, ctx, l.adapters * l.pieces, 1, run);
}

/* (1) for at most BLOCK tokens of an adapter */
static inline void forward_block(const peft_node *node, const low_rank *l, const factors *f, int64_t begin, int64_t end,
                                 const block *b)
{
    const peft_tensor *y0 = node->in[LOW_RANK_Y0];
    operand x = rows_from(node->in[LOW_RANK_X], begin);
    real *h = row_of(node->out[LOW_RANK_H], begin), *y = row_of(node->out[LOW_RANK_Y], begin);
    down(l, f, end - begin, x, h);
    apply_gate(l, begin, end, l->scale, h, b->c);
    if (y0 && y0->data != node->out[LOW_RANK_Y]->data)
        memcpy(y, row_of(y0, begin), (size_t)((end - begin) * l->out) * sizeof *y);
    up(l, f, y0 != NULL, end - begin, b->c, y);
}

/* (2) for at most BLOCK tokens of a piece, which begin its dA and dB^T, or add to them */
static inline void backward_block(const peft_node *node, const low_rank *l, const factors *f, int64_t index,
                                  int64_t begin, int64_t end, bool add, const block *b)
{
    int64_t tokens = end - begin, at = index * l->rank;
    shared s = read_shared(l, node->shared, true);
    operand dy = rows_from(node->dout, begin), x = rows_from(node->in[LOW_RANK_X], begin);
    const real *h = row_of(node->out[LOW_RANK_H], begin);
    const peft_tensor *dx = node->din[LOW_RANK_X];
    apply_gate(l, begin, end, l->scale, h, b->c);
    up_gradients(l, f, add, tokens, dy, b->c, b->GB, node->din[LOW_RANK_B] ? s.dBt + at * l->out : NULL);
    apply_gate(l, begin, end, l->scale, b->GB, b->gh);
    if (node->din[LOW_RANK_GATE])
        for (int64_t k = 0; k < tokens * l->rank; k++) s.products[begin * l->rank + k] = l->scale * b->GB[k] * h[k];
    if (node->din[LOW_RANK_A]) down_gradient(l, f, add, tokens, b->gh, x, s.dA + at * l->in);
    pass_gradient(node, LOW_RANK_Y0, begin * l->out, end * l->out);
    if (dx) input_gradient(l, f, peft_accumulates(node, LOW_RANK_X), tokens, b->gh, row_of(dx, begin));
}

static inline void run_pieces(const peft_node *node, bool backward, int64_t begin, int64_t end, real *scratch)
{
    low_rank l = read_node(node);
    block b = read_block(&l, scratch, backward);
    for (int64_t index = begin; index < end; index++) {
        piece p = read_piece(&l, index);
        factors f = read_factors(node, &l, p.adapter, backward, &b);
        for (int64_t t = p.begin, next; t < p.end; t = next) {
            next = t + BLOCK < p.end ? t + BLOCK : p.end;
            if (backward)
                backward_block(node, &l, &f, index, t, next, t > p.begin, &b);
            else
                forward_block(node, &l, &f, t, next, &b);
        }
    }
}

static void forward_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                           const peft_thread *thread)
{
    (void)ctx;
    run_pieces(node, false, begin, end, thread->scratch);
}

static void backward_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                            const peft_thread *thread)
{
    (void)ctx;
    run_pieces(node, true, begin, end, thread->scratch);
}

/* ---- row by row: a tile of rows is a piece, where one adapter serves all tokens ---- */

static bool one_adapter(const peft_node *node)
{
    return !((const peft_low_rank_attributes *)node->attributes)->per_sequence;
}

static int64_t piece_of(const peft_node *node, int64_t begin)
{
    return peft_tile_at(peft_rows(node->in[LOW_RANK_X]), begin);
}

static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)end;
    forward_pieces(node, ctx, piece_of(node, begin), piece_of(node, begin) + 1, thread);
}

static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)end;
    backward_pieces(node, ctx, piece_of(node, begin), piece_of(node, begin) + 1, thread);
}

static const peft_row_work by_rows[2] = {
    {.run = forward_rows,
     .inputs = PEFT_IN(LOW_RANK_Y0) | PEFT_IN(LOW_RANK_X),
     .allowed = one_adapter,
     .before = {forward_adapters, prepare_forward}},
    {.run = backward_rows,
     .inputs = PEFT_IN(LOW_RANK_Y0) | PEFT_IN(LOW_RANK_X),
     .allowed = one_adapter,
     .before = {backward_adapters, prepare_backward},
     .after = {num_sums, sum_pieces}},
};

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_run_part(node, ctx, &by_rows[0].before);
    for_pieces(node, ctx, forward_pieces);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_run_part(node, ctx, &by_rows[1].before);
    for_pieces(node, ctx, backward_pieces);
    peft_run_part(node, ctx, &by_rows[1].after);
}

#endif
