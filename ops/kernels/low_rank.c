/* ops/kernels/low_rank.c - the core of the family.
 *
 *     h = A x        c = s g * h        y = y0 + B c                       (1)
 *
 *     GB = s B^T dy           dB = sum_t dy_t c_t^T                        (2)
 *     dg = sum GB * h         (over the rows of A and the tokens that share an entry of the gate)
 *     gh = GB * g             dA = sum_t gh_t x_t^T        dx = A^T gh
 *
 * per token t; h, c, GB, gh [T, R]. No per-expert output of width `out` is ever formed. */
#include "ops/low_rank.h"
#include "ops/kernels/block.h"

enum { TOKENS = 256, COLUMNS = 64 }; /* of a piece of work */

typedef struct low_rank {
    int64_t tokens, in, out, rank, sequences, entries, repeat;
    bool per_sequence;
    peft_gate_kind gate_kind;
    real scale;
    const int32_t *starts;
    const real *gate;
} low_rank;

static low_rank read_node(const peft_node *node)
{
    const peft_low_rank_attributes *a = node->attributes;
    const peft_tensor *starts = node->in[LOW_RANK_STARTS], *gate = node->in[LOW_RANK_GATE];
    return (low_rank){.tokens = peft_rows(node->in[LOW_RANK_X]),
                      .in = a->in_features,
                      .out = a->out_features,
                      .rank = a->rank,
                      .sequences = starts ? starts->shape.size[0] - 1 : 1,
                      .entries = a->rank / a->repeat,
                      .repeat = a->repeat,
                      .per_sequence = a->per_sequence,
                      .gate_kind = a->gate,
                      .scale = (real)a->scale,
                      .starts = starts ? starts->data : NULL,
                      .gate = gate ? gate->data : NULL};
}

static int64_t sequence_of(const low_rank *l, int64_t token)
{
    int64_t low = 0, high = l->sequences - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (l->starts[middle] <= token)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Tokens from `token` on, up to `end`, that share one adapter; its index in *adapter. */
static int64_t run_end(const low_rank *l, int64_t token, int64_t end, int64_t *adapter)
{
    *adapter = 0;
    if (!l->per_sequence) return end;
    *adapter = sequence_of(l, token);
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): one adapter a sequence comes with starts */
    int64_t next = l->starts[*adapter + 1];
    return next < end ? next : end;
}

/* Row of the gate that counts for a token, NULL: 1 everywhere. */
static const real *gate_row(const low_rank *l, int64_t token)
{
    switch (l->gate_kind) {
    case PEFT_GATE_FEATURE:
        return l->gate;
    case PEFT_GATE_TOKEN:
        return l->gate + token * l->entries;
    case PEFT_GATE_SEQUENCE:
        return l->gate + sequence_of(l, token) * l->entries;
    case PEFT_GATE_NONE:
        break;
    }
    return NULL;
}

/* out = factor * in * gate for the tokens begin ... end - 1; in and out [*, R] start at `begin`. */
static void apply_gate(const low_rank *l, int64_t begin, int64_t end, real factor, const real *in, real *out)
{
    for (int64_t t = begin; t < end; t++, in += l->rank, out += l->rank) {
        const real *g = gate_row(l, t);
        for (int64_t r = 0; r < l->rank; r++) out[r] = g ? factor * in[r] * g[r / l->repeat] : factor * in[r];
    }
}

/* (1) */
static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)ctx;
    low_rank l = read_node(node);
    const peft_tensor *y0 = node->in[LOW_RANK_Y0];
    real *y = node->out[LOW_RANK_Y]->data, *h = node->out[LOW_RANK_H]->data;
    real *c = scratch, *Bt = c + TOKENS * l.rank;
    const real *x = node->in[LOW_RANK_X]->data;

    size_t bytes = (size_t)((end - begin) * l.out) * sizeof *y;
    if (!y0)
        memset(y + begin * l.out, 0, bytes);
    else if (y0->data != y)
        memcpy(y + begin * l.out, (const real *)y0->data + begin * l.out, bytes);

    for (int64_t t = begin, next; t < end; t = next) {
        int64_t adapter;
        next = run_end(&l, t, end, &adapter);
        const real *A = (const real *)node->in[LOW_RANK_A]->data + adapter * l.rank * l.in;
        const real *B = (const real *)node->in[LOW_RANK_B]->data + adapter * l.rank * l.out;
        block_dot(next - t, l.rank, l.in, x + t * l.in, l.in, A, l.in, h + t * l.rank, l.rank);
        apply_gate(&l, t, next, l.scale, h + t * l.rank, c);
        transpose(l.out, l.rank, B, l.rank, Bt, l.out);
        block_update(next - t, l.out, l.rank, c, l.rank, 1, Bt, l.out, y + t * l.out, l.out);
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->in[LOW_RANK_X]), TOKENS, forward_rows);
}

/* What the passes of backward hand on, in shared scratch memory. */
typedef struct passed {
    real *gh, *c, *products; /* [T, R]; products = GB * h, for dg */
} passed;

static passed read_passed(const low_rank *l, const peft_context *ctx)
{
    real *shared = peft_shared_scratch(ctx);
    int64_t size = l->tokens * l->rank;
    return (passed){shared, shared + size, shared + 2 * size};
}

static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    low_rank l = read_node(node);
    passed p = read_passed(&l, ctx);
    const real *dy = node->dout->data, *h = node->out[LOW_RANK_H]->data;
    peft_tensor *dx = node->din[LOW_RANK_X];
    real *GB = scratch, *Bt = GB + TOKENS * l.rank;

    pass_gradient(node, LOW_RANK_Y0, begin * l.out, end * l.out);
    for (int64_t t = begin, next; t < end; t = next) {
        int64_t adapter;
        next = run_end(&l, t, end, &adapter);
        const real *A = (const real *)node->in[LOW_RANK_A]->data + adapter * l.rank * l.in;
        const real *B = (const real *)node->in[LOW_RANK_B]->data + adapter * l.rank * l.out;
        transpose(l.out, l.rank, B, l.rank, Bt, l.out);
        block_dot(next - t, l.rank, l.out, dy + t * l.out, l.out, Bt, l.out, GB, l.rank);
        apply_gate(&l, t, next, l.scale, GB, p.gh + t * l.rank);
        if (node->din[LOW_RANK_B]) apply_gate(&l, t, next, l.scale, h + t * l.rank, p.c + t * l.rank);
        if (node->din[LOW_RANK_GATE])
            for (int64_t k = 0; k < (next - t) * l.rank; k++)
                p.products[t * l.rank + k] = l.scale * GB[k] * h[t * l.rank + k];
        if (!dx) continue;
        real *dx_rows = (real *)dx->data + t * l.in;
        if (!peft_accumulates(node, LOW_RANK_X)) memset(dx_rows, 0, (size_t)((next - t) * l.in) * sizeof *dx_rows);
        block_update(next - t, l.in, l.rank, p.gh + t * l.rank, l.rank, 1, A, l.in, dx_rows, l.in);
    }
}

/* dA [R, in] of each adapter, for columns of x */
static void dA_columns(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)scratch;
    low_rank l = read_node(node);
    const real *gh = read_passed(&l, ctx).gh, *x = node->in[LOW_RANK_X]->data;
    real *dA = node->din[LOW_RANK_A]->data;
    for (int64_t t = 0, next; t < l.tokens; t = next) {
        int64_t adapter;
        next = run_end(&l, t, l.tokens, &adapter);
        block_update(l.rank, end - begin, next - t, gh + t * l.rank, 1, l.rank, x + t * l.in + begin, l.in,
                     dA + adapter * l.rank * l.in + begin, l.in);
    }
}

/* dB [out, R] of each adapter, for columns of dy */
static void dB_columns(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    low_rank l = read_node(node);
    const real *c = read_passed(&l, ctx).c, *dy = node->dout->data;
    real *dBt = scratch;
    for (int64_t t = 0, next; t < l.tokens; t = next) {
        int64_t adapter;
        next = run_end(&l, t, l.tokens, &adapter);
        memset(dBt, 0, (size_t)(l.rank * COLUMNS) * sizeof *dBt);
        block_update(l.rank, end - begin, next - t, c + t * l.rank, 1, l.rank, dy + t * l.out + begin, l.out, dBt,
                     COLUMNS);
        real *dB = (real *)node->din[LOW_RANK_B]->data + adapter * l.rank * l.out + begin * l.rank;
        for (int64_t o = 0; o < end - begin; o++)
            for (int64_t r = 0; r < l.rank; r++) dB[o * l.rank + r] += dBt[r * COLUMNS + o];
    }
}

/* dg: the gate's rows begin ... end - 1, each summed over its tokens and over the rows of A that share an entry */
static void dgate_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)scratch;
    low_rank l = read_node(node);
    const real *products = read_passed(&l, ctx).products;
    real *dgate = node->din[LOW_RANK_GATE]->data;
    for (int64_t row = begin; row < end; row++) {
        int64_t first = row, last = row + 1;
        if (l.gate_kind == PEFT_GATE_FEATURE) first = 0, last = l.tokens;
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): such a gate comes with starts */
        if (l.gate_kind == PEFT_GATE_SEQUENCE) first = l.starts[row], last = l.starts[row + 1];
        for (int64_t t = first; t < last; t++)
            for (int64_t r = 0; r < l.rank; r++) dgate[row * l.entries + r / l.repeat] += products[t * l.rank + r];
    }
}

static void backward(const peft_node *node, peft_context *ctx)
{
    low_rank l = read_node(node);
    peft_for_rows(node, ctx, l.tokens, TOKENS, backward_rows);
    for (int input = LOW_RANK_A; input <= LOW_RANK_GATE; input++) clear_unless_accumulated(node, input);
    if (node->din[LOW_RANK_A]) peft_for_rows(node, ctx, l.in, COLUMNS, dA_columns);
    if (node->din[LOW_RANK_B]) peft_for_rows(node, ctx, l.out, COLUMNS, dB_columns);
    if (node->din[LOW_RANK_GATE]) peft_for_rows(node, ctx, peft_rows(node->in[LOW_RANK_GATE]), TOKENS, dgate_rows);
}

/* c or GB of a piece, and B transposed or a piece of dB. */
static size_t thread_bytes(const peft_node *node, bool backward)
{
    (void)backward;
    const peft_low_rank_attributes *a = node->attributes;
    int64_t width = a->out_features > COLUMNS ? a->out_features : COLUMNS;
    return (size_t)(a->rank * (TOKENS + width)) * sizeof(real);
}

static size_t shared_bytes(const peft_node *node, bool backward)
{
    const peft_low_rank_attributes *a = node->attributes;
    int64_t matrices = node->din[LOW_RANK_GATE] ? 3 : 2;
    return backward ? (size_t)(matrices * peft_rows(node->in[LOW_RANK_X]) * a->rank) * sizeof(real) : 0;
}

const peft_kernel KERNEL(low_rank) = {
    .forward = forward, .backward = backward, .thread_bytes = thread_bytes, .shared_bytes = shared_bytes};
