/* ops/cpu/kernels/low_rank_pieces.h - the tokens of low_rank in pieces, what each leaves behind, and the sums over all.
 */
#ifndef PEFT_OPS_CPU_KERNELS_LOW_RANK_PIECES_H
#define PEFT_OPS_CPU_KERNELS_LOW_RANK_PIECES_H

#include "ops/cpu/kernels/kernel.h"
#include "ops/describe/low_rank.h"
#include "ops/engine/tiles.h"

/* Tokens in a block, of one adapter; columns of dB that are summed over at once. dA and dB of high ranks fill a cache
 * and are gone through once a block: it has many tokens. */
enum { BLOCK = 128, COLUMNS = 64 };

typedef struct low_rank {
    int64_t tokens, in, out, rank, sequences, entries, repeat;
    int64_t adapters, pieces; /* pieces: of each adapter's tokens */
    bool per_sequence;
    peft_gate_kind gate_kind;
    real scale;
    const int32_t *starts;
    const real *gate;
} low_rank;

static inline low_rank read_node(const peft_node *node)
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
                      .pieces = (peft_tiles(tokens) + adapters - 1) / adapters,
                      .per_sequence = a->per_sequence,
                      .gate_kind = a->gate,
                      .scale = (real)a->scale,
                      .starts = starts ? starts->data : NULL,
                      .gate = gate ? gate->data : NULL};
}

static inline int64_t sequence_of(const low_rank *l, int64_t token)
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

/* Tokens begin ... end - 1, which share one adapter and have sums dA and dB of their own: a tile. None where a sequence
 * is short. */
typedef struct piece {
    int64_t adapter, begin, end;
} piece;

static inline piece read_piece(const low_rank *l, int64_t index)
{
    int64_t adapter = index / l->pieces, first = 0, last = l->tokens;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): one adapter a sequence comes with starts */
    if (l->per_sequence) first = l->starts[adapter], last = l->starts[adapter + 1];
    int64_t tokens = last - first, tiles = peft_tiles(tokens), tile = index % l->pieces;
    if (tiles > l->pieces) tiles = l->pieces;
    if (tile >= tiles) return (piece){adapter, last, last};
    return (piece){adapter, first + peft_tile_begin(tokens, tiles, tile),
                   first + peft_tile_begin(tokens, tiles, tile + 1)};
}

/* Elements that are made of A and B of an adapter before the first token; 0: nothing is. */
static int64_t prepared_elements(const low_rank *l, bool backward);

/* What all pieces share, and hand on. */
typedef struct shared {
    real *prepared; /* [adapters, prepared_elements] */
    real *products; /* [T, R]: GB * h, for dg */
    real *dA, *dBt; /* [pieces, R, in], [pieces, R, out]: sums over the tokens of each piece */
    int64_t used;   /* elements */
} shared;

static inline shared read_shared(const low_rank *l, real *memory, bool backward)
{
    int64_t pieces = backward ? l->adapters * l->pieces * l->rank : 0;
    shared s = {0};
    s.prepared = take(memory, &s.used, l->adapters * prepared_elements(l, backward));
    s.products = take(memory, &s.used, backward ? l->tokens * l->rank : 0);
    s.dA = take(memory, &s.used, pieces * l->in);
    s.dBt = take(memory, &s.used, pieces * l->out);
    return s;
}

/* sum [rows, columns] += that part of dA or dB^T [R, features], from `first` on, of an adapter's pieces with tokens */
static void add_pieces(const low_rank *l, int64_t adapter, int64_t features, const real *first, int64_t rows,
                       int64_t columns, real *sum)
{
    for (int64_t index = adapter * l->pieces; index < (adapter + 1) * l->pieces; index++) {
        piece p = read_piece(l, index);
        if (p.begin == p.end) continue;
        for (int64_t r = 0; r < rows; r++) {
            const real *from = first + (index * l->rank + r) * features;
            for (int64_t k = 0; k < columns; k++) sum[r * columns + k] += from[k];
        }
    }
}

/* ---- the sums over pieces, in pieces of their own: rows of dA, columns of dB, rows of the gate ---- */

/* A row of all adapters' dA */
static void dA_row(const peft_node *node, const low_rank *l, const shared *s, int64_t row)
{
    real *dA = (real *)node->din[LOW_RANK_A]->data + row * l->in;
    if (!peft_accumulates(node, LOW_RANK_A)) memset(dA, 0, (size_t)l->in * sizeof *dA);
    add_pieces(l, row / l->rank, l->in, s->dA + row % l->rank * l->in, 1, l->in, dA);
}

/* dB [out, R] of each adapter, for at most COLUMNS columns of dy */
static void dB_columns(const peft_node *node, const low_rank *l, const shared *s, int64_t begin, real *sums)
{
    int64_t width = l->out - begin < COLUMNS ? l->out - begin : COLUMNS;
    bool add = peft_accumulates(node, LOW_RANK_B);
    for (int64_t adapter = 0; adapter < l->adapters; adapter++) {
        memset(sums, 0, (size_t)(l->rank * width) * sizeof *sums);
        add_pieces(l, adapter, l->out, s->dBt + begin, l->rank, width, sums);
        real *dB = (real *)node->din[LOW_RANK_B]->data + (adapter * l->out + begin) * l->rank;
        for (int64_t o = 0; o < width; o++)
            for (int64_t r = 0; r < l->rank; r++, dB++) *dB = (add ? *dB : 0) + sums[r * width + o];
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

static void sum_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
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
            dB_columns(node, &l, &s, dB * COLUMNS, thread->scratch);
        else
            for (int64_t row = first; row < first + BLOCK && row < peft_rows(node->in[LOW_RANK_GATE]); row++)
                dgate_row(node, &l, &s, row);
    }
}

#endif
