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

/* Tokens in a block, whose rows stay in a cache from their first use to the last; columns of dB that are summed over at
 * once. A piece of work has blocks of one adapter, and sums dA and dB of its own. */
enum { BLOCK = PEFT_TILE_BLOCK, COLUMNS = 64 };

typedef struct low_rank {
    int64_t tokens, in, out, rank, sequences, entries, repeat;
    int64_t adapters, pieces; /* pieces: of each adapter's tokens */
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
    int64_t sequences = starts ? starts->shape.size[0] - 1 : 1, adapters = a->per_sequence ? sequences : 1;
    int64_t tokens = peft_rows(node->in[LOW_RANK_X]);
    return (low_rank){.tokens = tokens,
                      .in = a->in_features,
                      .out = a->out_features,
                      .rank = a->rank,
                      .sequences = sequences,
                      .entries = a->rank / a->repeat,
                      .repeat = a->repeat,
                      .adapters = adapters,
                      .pieces = (peft_most_tiles(tokens) + adapters - 1) / adapters,
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

/* Tokens begin ... end - 1, which share one adapter; none where a sequence is short. */
typedef struct piece {
    int64_t adapter, begin, end;
} piece;

static piece read_piece(const low_rank *l, int64_t index)
{
    int64_t adapter = index / l->pieces, first = 0, last = l->tokens;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): one adapter a sequence comes with starts */
    if (l->per_sequence) first = l->starts[adapter], last = l->starts[adapter + 1];
    int64_t tokens = peft_tile_rows(last - first, l->pieces);
    int64_t begin = first + index % l->pieces * tokens, end = begin + tokens;
    return (piece){adapter, begin < last ? begin : last, end < last ? end : last};
}

/* Then the columns of h are summed up side by side, in vectors. */
static bool whole_vectors(const low_rank *l)
{
    return l->rank % LANES == 0;
}

/* What all pieces share, and hand on. Forward has the transposed matrices, of a rank of whole vectors alone A^T;
 * backward has the others, and B^T where forward has no A^T. */
typedef struct shared {
    real *Bt;       /* [adapters, R, out] */
    real *At;       /* [adapters, in, R] */
    real *products; /* [T, R]: GB * h, for dg */
    real *dA, *dBt; /* [pieces, R, in], [pieces, R, out]: sums over the tokens of each piece */
    int64_t used;   /* elements */
} shared;

static shared read_shared(const low_rank *l, real *memory, bool backward)
{
    int64_t matrices = l->adapters * l->rank, pieces = backward ? matrices * l->pieces : 0;
    bool whole = whole_vectors(l), B = !backward || !whole, A = !backward && whole;
    shared s = {0};
    s.Bt = take(memory, &s.used, B ? matrices * l->out : 0);
    s.At = take(memory, &s.used, A ? matrices * l->in : 0);
    s.products = take(memory, &s.used, backward ? l->tokens * l->rank : 0);
    s.dA = take(memory, &s.used, pieces * l->in);
    s.dBt = take(memory, &s.used, pieces * l->out);
    return s;
}

/* M [rows, columns] of one adapter, into Mt. */
static void transpose_one(int64_t adapter, int64_t rows, int64_t columns, const real *M, real *Mt)
{
    int64_t at = adapter * rows * columns;
    transpose(rows, columns, M + at, columns, Mt + at, rows);
}

static int64_t forward_adapters(const peft_node *node)
{
    return read_node(node).adapters;
}

static void transpose_for_forward(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)ctx, (void)scratch;
    low_rank l = read_node(node);
    shared s = read_shared(&l, node->shared, false);
    for (int64_t k = begin; k < end; k++) {
        transpose_one(k, l.out, l.rank, node->in[LOW_RANK_B]->data, s.Bt);
        if (whole_vectors(&l)) transpose_one(k, l.rank, l.in, node->in[LOW_RANK_A]->data, s.At);
    }
}

static int64_t backward_adapters(const peft_node *node)
{
    low_rank l = read_node(node);
    return whole_vectors(&l) ? 0 : l.adapters;
}

static void transpose_for_backward(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)ctx, (void)scratch;
    low_rank l = read_node(node);
    real *Bt = read_shared(&l, node->shared, true).Bt;
    for (int64_t k = begin; k < end; k++) transpose_one(k, l.out, l.rank, node->in[LOW_RANK_B]->data, Bt);
}

static void for_pieces(const peft_node *node, peft_context *ctx, peft_rows_function *run)
{
    low_rank l = read_node(node);
    peft_for_rows(node, ctx, l.adapters * l.pieces, 1, run);
}

/* out [tokens, R] = in M^T, of which the rows M [R, features] and the columns [features, R] are there */
static void project(const low_rank *l, int64_t tokens, int64_t features, const real *in, const real *rows,
                    const real *columns, real *out)
{
    if (whole_vectors(l))
        block_product(tokens, l->rank, features, in, features, 1, columns, l->rank, out, l->rank);
    else
        block_dot(tokens, l->rank, features, in, features, rows, features, out, l->rank);
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

/* y = y0 + c B^T for some tokens */
static void add_to_base(const peft_node *node, const low_rank *l, int64_t begin, int64_t end, const real *c,
                        const real *Bt)
{
    const peft_tensor *y0 = node->in[LOW_RANK_Y0];
    real *y = (real *)node->out[LOW_RANK_Y]->data + begin * l->out;
    if (!y0) {
        block_product(end - begin, l->out, l->rank, c, l->rank, 1, Bt, l->out, y, l->out);
        return;
    }
    const real *base = (const real *)y0->data + begin * l->out;
    if (base != y) memcpy(y, base, (size_t)((end - begin) * l->out) * sizeof *y);
    block_update(end - begin, l->out, l->rank, c, l->rank, 1, Bt, l->out, y, l->out);
}

/* (1) */
static void forward_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)ctx;
    low_rank l = read_node(node);
    real *h = node->out[LOW_RANK_H]->data, *c = scratch;
    const real *x = node->in[LOW_RANK_X]->data, *A = node->in[LOW_RANK_A]->data;
    shared s = read_shared(&l, node->shared, false);
    for (int64_t index = begin; index < end; index++) {
        piece p = read_piece(&l, index);
        int64_t at = p.adapter * l.rank;
        for (int64_t t = p.begin, next; t < p.end; t = next) {
            next = t + BLOCK < p.end ? t + BLOCK : p.end;
            project(&l, next - t, l.in, x + t * l.in, A + at * l.in, s.At + at * l.in, h + t * l.rank);
            apply_gate(&l, t, next, l.scale, h + t * l.rank, c);
            add_to_base(node, &l, t, next, c, s.Bt + at * l.out);
        }
    }
}

/* dx (+)= gh A for some tokens */
static void put_dx(const peft_node *node, const low_rank *l, int64_t begin, int64_t end, const real *gh, const real *A)
{
    real *dx = (real *)node->din[LOW_RANK_X]->data + begin * l->in;
    block_put(peft_accumulates(node, LOW_RANK_X), end - begin, l->in, l->rank, gh, l->rank, 1, A, l->in, dx, l->in);
}

/* (2) for at most BLOCK tokens of an adapter, which begin dA and dB^T of their piece, or add to them */
static void backward_block(const peft_node *node, const low_rank *l, int64_t begin, int64_t end, bool add,
                           const real *A, const real *B, const shared *s, real *scratch)
{
    int64_t tokens = end - begin, size = BLOCK * l->rank;
    const real *dy = (const real *)node->dout->data + begin * l->out, *x = node->in[LOW_RANK_X]->data;
    const real *h = (const real *)node->out[LOW_RANK_H]->data + begin * l->rank;
    real *GB = scratch, *gh = GB + size, *c = gh + size;
    project(l, tokens, l->out, dy, s->Bt, B, GB);
    apply_gate(l, begin, end, l->scale, GB, gh);
    if (node->din[LOW_RANK_GATE])
        for (int64_t k = 0; k < tokens * l->rank; k++) s->products[begin * l->rank + k] = l->scale * GB[k] * h[k];
    if (node->din[LOW_RANK_B]) {
        apply_gate(l, begin, end, l->scale, h, c);
        block_put(add, l->rank, l->out, tokens, c, 1, l->rank, dy, l->out, s->dBt, l->out);
    }
    if (node->din[LOW_RANK_A])
        block_put(add, l->rank, l->in, tokens, gh, 1, l->rank, x + begin * l->in, l->in, s->dA, l->in);
    pass_gradient(node, LOW_RANK_Y0, begin * l->out, end * l->out);
    if (node->din[LOW_RANK_X]) put_dx(node, l, begin, end, gh, A);
}

static void backward_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)ctx;
    low_rank l = read_node(node);
    shared s = read_shared(&l, node->shared, true);
    const real *A = node->in[LOW_RANK_A]->data, *B = node->in[LOW_RANK_B]->data;
    for (int64_t index = begin; index < end; index++) {
        piece p = read_piece(&l, index);
        int64_t at = index * l.rank, adapter = p.adapter * l.rank;
        const shared own = {
            .Bt = s.Bt + adapter * l.out, .products = s.products, .dA = s.dA + at * l.in, .dBt = s.dBt + at * l.out};
        for (int64_t t = p.begin, next; t < p.end; t = next) {
            next = t + BLOCK < p.end ? t + BLOCK : p.end;
            backward_block(node, &l, t, next, t > p.begin, A + adapter * l.in, B + adapter * l.out, &own, scratch);
        }
    }
}

/* sum_k += the elements of every piece of an adapter that has tokens; `stride` between two pieces */
static void add_pieces(const low_rank *l, int64_t adapter, int64_t count, const real *pieces, int64_t stride, real *sum)
{
    for (int64_t index = adapter * l->pieces; index < (adapter + 1) * l->pieces; index++) {
        piece p = read_piece(l, index);
        if (p.begin == p.end) continue;
        const real *from = pieces + index * stride;
        for (int64_t k = 0; k < count; k++) sum[k] += from[k];
    }
}

/* ---- the sums over pieces, in pieces of their own: rows of dA, columns of dB, rows of the gate ---- */

/* A row of all adapters' dA */
static void dA_row(const peft_node *node, const low_rank *l, const shared *s, int64_t row)
{
    real *dA = (real *)node->din[LOW_RANK_A]->data + row * l->in;
    if (!peft_accumulates(node, LOW_RANK_A)) memset(dA, 0, (size_t)l->in * sizeof *dA);
    add_pieces(l, row / l->rank, l->in, s->dA + row % l->rank * l->in, l->rank * l->in, dA);
}

/* dB [out, R] of each adapter, for at most COLUMNS columns of dy */
static void dB_columns(const peft_node *node, const low_rank *l, const shared *s, int64_t begin, real *sums)
{
    int64_t width = l->out - begin < COLUMNS ? l->out - begin : COLUMNS;
    bool add = peft_accumulates(node, LOW_RANK_B);
    for (int64_t adapter = 0; adapter < l->adapters; adapter++) {
        memset(sums, 0, (size_t)(l->rank * COLUMNS) * sizeof *sums);
        for (int64_t r = 0; r < l->rank; r++)
            add_pieces(l, adapter, width, s->dBt + r * l->out + begin, l->rank * l->out, sums + r * COLUMNS);
        real *dB = (real *)node->din[LOW_RANK_B]->data + (adapter * l->out + begin) * l->rank;
        for (int64_t o = 0; o < width; o++)
            for (int64_t r = 0; r < l->rank; r++, dB++) *dB = (add ? *dB : 0) + sums[r * COLUMNS + o];
    }
}

/* dg: a row of the gate, summed over its tokens and over the rows of A that share an entry */
static void dgate_row(const peft_node *node, const low_rank *l, const shared *s, int64_t row)
{
    real *dgate = (real *)node->din[LOW_RANK_GATE]->data + row * l->entries;
    int64_t first = row, last = row + 1;
    if (l->gate_kind == PEFT_GATE_FEATURE) first = 0, last = l->tokens;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): such a gate comes with starts */
    if (l->gate_kind == PEFT_GATE_SEQUENCE) first = l->starts[row], last = l->starts[row + 1];
    if (!peft_accumulates(node, LOW_RANK_GATE)) memset(dgate, 0, (size_t)l->entries * sizeof *dgate);
    for (int64_t t = first; t < last; t++)
        for (int64_t r = 0; r < l->rank; r++) dgate[r / l->repeat] += s->products[t * l->rank + r];
}

typedef struct sums {
    int64_t dA, dB, dgate; /* pieces of each */
} sums;

static sums read_sums(const peft_node *node, const low_rank *l)
{
    return (sums){.dA = node->din[LOW_RANK_A] ? l->adapters * l->rank : 0,
                  .dB = node->din[LOW_RANK_B] ? (l->out + COLUMNS - 1) / COLUMNS : 0,
                  .dgate = node->din[LOW_RANK_GATE] ? (peft_rows(node->in[LOW_RANK_GATE]) + BLOCK - 1) / BLOCK : 0};
}

static int64_t num_sums(const peft_node *node)
{
    low_rank l = read_node(node);
    sums n = read_sums(node, &l);
    return n.dA + n.dB + n.dgate;
}

static void sum_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)ctx;
    low_rank l = read_node(node);
    shared s = read_shared(&l, node->shared, true);
    sums n = read_sums(node, &l);
    for (int64_t k = begin; k < end; k++) {
        int64_t dB = k - n.dA, first = (dB - n.dB) * BLOCK;
        if (k < n.dA)
            dA_row(node, &l, &s, k);
        else if (dB < n.dB)
            dB_columns(node, &l, &s, dB * COLUMNS, scratch);
        else
            for (int64_t row = first; row < first + BLOCK && row < peft_rows(node->in[LOW_RANK_GATE]); row++)
                dgate_row(node, &l, &s, row);
    }
}

/* ---- row by row: a tile of rows is a piece, where one adapter serves all tokens ---- */

static bool one_adapter(const peft_node *node)
{
    return !((const peft_low_rank_attributes *)node->attributes)->per_sequence;
}

static int64_t piece_of(const peft_node *node, int64_t begin)
{
    return begin / peft_rows_of_tile(peft_rows(node->in[LOW_RANK_X]));
}

static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)end;
    forward_pieces(node, ctx, piece_of(node, begin), piece_of(node, begin) + 1, scratch);
}

static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)end;
    backward_pieces(node, ctx, piece_of(node, begin), piece_of(node, begin) + 1, scratch);
}

static const peft_row_work by_rows[2] = {
    {.run = forward_rows,
     .inputs = PEFT_IN(LOW_RANK_Y0) | PEFT_IN(LOW_RANK_X),
     .allowed = one_adapter,
     .before = {forward_adapters, transpose_for_forward}},
    {.run = backward_rows,
     .inputs = PEFT_IN(LOW_RANK_Y0) | PEFT_IN(LOW_RANK_X),
     .allowed = one_adapter,
     .before = {backward_adapters, transpose_for_backward},
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

/* c, or GB, gh and c of a block, or columns of dB. */
static size_t thread_bytes(const peft_node *node, bool backward)
{
    enum { BACKWARD = 3 * BLOCK };
    const peft_low_rank_attributes *a = node->attributes;
    return (size_t)(a->rank * (backward ? BACKWARD : BLOCK)) * sizeof(real);
}

static size_t shared_bytes(const peft_node *node, bool backward)
{
    low_rank l = read_node(node);
    return (size_t)read_shared(&l, NULL, backward).used * sizeof(real);
}

const peft_kernel KERNEL(low_rank) = {.forward = forward,
                                      .backward = backward,
                                      .thread_bytes = thread_bytes,
                                      .shared_bytes = shared_bytes,
                                      .by_rows = {&by_rows[0], &by_rows[1]}};
