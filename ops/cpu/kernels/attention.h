/* ops/cpu/kernels/attention.h - what attention is cut into, and what is done to its scores, for the kernels whose
 * products are of `real` (attention.c) and of bf16 (attention_bf16.c).
 *
 * A piece of work is one sequence and one key/value head with all query heads that share it, so that each gradient has
 * one writer. Queries come in tiles; a tile's scores lie in the thread's scratch memory, keys along the vectors, whose
 * last is filled up with keys that nobody sees. */
#ifndef PEFT_OPS_CPU_KERNELS_ATTENTION_H
#define PEFT_OPS_CPU_KERNELS_ATTENTION_H

#include "ops/cpu/kernels/block.h"
#include "ops/cpu/kernels/mask.h"
#include "ops/cpu/kernels/row.h"
#include "ops/ops.h"

enum { Q, K, V, QUERY_STARTS, KEY_STARTS, BIAS };
enum { Y, LOG_SUM_EXP };
enum { TILE = 64 }; /* queries */

typedef struct attention {
    int64_t heads, key_heads, group, head_size; /* group: query heads that share a key/value head */
    int64_t query_row, key_row;                 /* strides between tokens */
    const int32_t *query_starts, *key_starts;
    int64_t reach; /* how many keys back a query sees, itself included */
    bool causal, dropout;
    real scale;
    mask mask;
    int64_t first_row; /* of the batch, among all rows that masks tell apart */
} attention;

static inline attention read_node(const peft_node *node, const peft_context *ctx)
{
    const peft_attention_options *o = node->attributes;
    int64_t query_row = peft_columns(node->in[Q]);
    return (attention){.heads = o->num_heads,
                       .key_heads = o->num_key_value_heads,
                       .group = o->num_heads / o->num_key_value_heads,
                       .head_size = query_row / o->num_heads,
                       .query_row = query_row,
                       .key_row = peft_columns(node->in[K]),
                       .query_starts = node->in[QUERY_STARTS]->data,
                       .key_starts = node->in[KEY_STARTS]->data,
                       .reach = o->mask == PEFT_MASK_WINDOW ? o->window : INT64_MAX,
                       .causal = o->mask != PEFT_MASK_NONE,
                       .dropout = o->dropout > 0,
                       .scale = (real)o->scale,
                       .mask = mask_of(ctx, o->dropout, o->dropout_stream),
                       .first_row = o->first_row};
}

/* One sequence, its tokens among all, for the query heads head ... head + group - 1 that share a key/value head. */
typedef struct sequence {
    int64_t query, queries, key, keys;
    int64_t head, key_head;
    int64_t stride; /* between rows of scores */
} sequence;

static inline sequence read_sequence(const attention *a, int64_t piece)
{
    int64_t s = piece / a->key_heads, key_head = piece % a->key_heads;
    int64_t keys = a->key_starts[s + 1] - a->key_starts[s];
    return (sequence){.query = a->query_starts[s],
                      .queries = a->query_starts[s + 1] - a->query_starts[s],
                      .key = a->key_starts[s],
                      .keys = keys,
                      .head = key_head * a->group,
                      .key_head = key_head,
                      .stride = whole_vectors(keys)};
}

/* Keys begin ... end - 1 of a sequence. */
typedef struct range {
    int64_t begin, end;
} range;

/* What query i of its sequence sees; both are aligned at their ends. */
static inline range seen_keys(const attention *a, const sequence *s, int64_t i)
{
    if (!a->causal) return (range){0, s->keys};
    int64_t end = i + 1 + s->keys - s->queries;
    if (end <= 0) return (range){0, 0};
    return (range){end > a->reach ? end - a->reach : 0, end};
}

/* Some queries of one head, and the keys that any of them sees. Scores of a tile start at key `begin`. */
typedef struct tile {
    int64_t head, row, rows;    /* rows: queries of the sequence */
    int64_t first;              /* element of q, y and their gradients */
    int64_t first_row;          /* element of z */
    int64_t begin, keys, width; /* begin starts a block of the mask, width is whole vectors */
    int64_t first_key;          /* element of k, v and their gradients */
} tile;

static inline tile read_tile(const attention *a, const sequence *s, int64_t head, int64_t row)
{
    int64_t rows = s->queries - row < TILE ? s->queries - row : TILE;
    int64_t begin = seen_keys(a, s, row).begin / MASK_COLUMNS * MASK_COLUMNS;
    int64_t keys = seen_keys(a, s, row + rows - 1).end - begin;
    return (tile){.head = head,
                  .row = row,
                  .rows = rows,
                  .first = (s->query + row) * a->query_row + head * a->head_size,
                  .first_row = (s->query + row) * a->heads + head,
                  .begin = begin,
                  .keys = keys,
                  .width = whole_vectors(keys),
                  .first_key = (s->key + begin) * a->key_row + s->key_head * a->head_size};
}

static inline range seen_in_tile(const attention *a, const sequence *s, const tile *t, int64_t row)
{
    range seen = seen_keys(a, s, t->row + row);
    return (range){seen.begin > t->begin ? seen.begin - t->begin : 0, seen.end > t->begin ? seen.end - t->begin : 0};
}

/* The bias, for scores that are still to be scaled. */
static inline void add_bias(const peft_node *node, const attention *a, const tile *t, int64_t stride, real *P)
{
    const peft_tensor *bias = node->in[BIAS];
    if (!bias) return;
    int64_t queries = bias->shape.size[1], keys = bias->shape.size[2];
    const real *b = (const real *)bias->data + (t->head * queries + t->row) * keys + t->begin;
    for (int64_t i = 0; i < t->rows; i++)
        for (int64_t j = 0; j < t->keys; j++) P[i * stride + j] += b[i * keys + j] / a->scale;
}

static inline void set_unseen(real *x, range seen, int64_t width, real value)
{
    for (int64_t j = 0; j < seen.begin; j++) x[j] = value;
    for (int64_t j = seen.end; j < width; j++) x[j] = value;
}

static inline int64_t first_key(const attention *a, const sequence *s)
{
    return s->key * a->key_row + s->key_head * a->head_size;
}

/* Asks for rows of a head, which begin with element `first`. Its part of a row is short, and far from that of the next
 * row: the CPU does not read ahead itself. */
static inline void prefetch_head(const attention *a, const peft_tensor *x, int64_t first, int64_t rows)
{
    enum { LINE = 64 };
    int64_t each = (int64_t)peft_dtype_bytes(x->dtype), row = peft_columns(x) * each;
    const char *at = (const char *)x->data + first * each;
    for (int64_t i = 0; i < rows; i++, at += row)
        for (int64_t j = 0; j < a->head_size * each; j += LINE) __builtin_prefetch(at + j);
}

/* M of two queries for the keys from `first` of the tile on; 1 without dropout. */
static inline void masks(const attention *a, const sequence *s, const tile *t, int64_t row, int64_t first,
                         real M[2 * MASK_COLUMNS])
{
    uint64_t token = (uint64_t)(a->first_row + s->query + t->row + row);
    uint32_t head = (uint32_t)t->head, block = (uint32_t)((t->begin + first) / MASK_COLUMNS);
    if (a->dropout)
        mask_factors(&a->mask, (mask_block[2]){{token, head, block}, {token + 1, head, block}}, M);
    else
        for (int j = 0; j < 2 * MASK_COLUMNS; j++) M[j] = 1;
}

/* Of the two that begin with a row, those that there are. */
static inline int64_t two_rows(const tile *t, int64_t row)
{
    return t->rows - row < 2 ? 1 : 2;
}

static inline int64_t block_end(const tile *t, int64_t block)
{
    return t->width - block < MASK_COLUMNS ? t->width : block + MASK_COLUMNS;
}

/* P *= M */
static inline void drop(const attention *a, const sequence *s, const tile *t, real *P)
{
    for (int64_t row = 0; row < t->rows && a->dropout; row += 2)
        for (int64_t block = 0; block < t->width; block += MASK_COLUMNS) {
            real M[2 * MASK_COLUMNS];
            masks(a, s, t, row, block, M);
            for (int64_t i = 0; i < two_rows(t, row); i++) {
                real *p = P + (row + i) * s->stride;
                for (int64_t j = block; j < block_end(t, block); j += LANES)
                    store(p + j, load(p + j) * load(M + i * MASK_COLUMNS + (j - block)));
            }
        }
}

/* Some scores of one query become probabilities, with a minus where dropout takes them away, and dP becomes M * dP.
 * Returns the sums of P * dP in each lane. */
static inline vec weigh_gradient(const attention *a, int64_t width, const real *M, real z, real *P, real *dP)
{
    vec sum = {0};
    for (int64_t j = 0; j < width; j += LANES) {
        vec m = load(M + j), p = vec_exp(a->scale * load(P + j) - z), dp = m * load(dP + j);
        store(P + j, choose_less(broadcast(0), m, p, -p));
        store(dP + j, dp);
        sum += p * dp;
    }
    return sum;
}

/* Then P becomes M * P, which dV is made of, and dP becomes c dS, for dQ and dK. */
static inline void score_gradient(const attention *a, const tile *t, real delta, real *P, real *dP)
{
    real kept = a->dropout ? a->mask.scale : 1;
    for (int64_t j = 0; j < t->width; j += LANES) {
        vec marked = load(P + j), p = choose_less(marked, broadcast(0), -marked, marked);
        store(dP + j, a->scale * p * (load(dP + j) - delta));
        store(P + j, kept * larger_lanes(broadcast(0), marked));
    }
}

/* The scores of a tile become M * exp(S - max), and `factor` of each row what it lacks: one by the sum of exp, or 0
 * where a query sees nothing. Each loop goes through all rows: within one, a step waits for the sum or the largest of
 * the step before. */
static inline void weigh_scores(const peft_node *node, const attention *a, const sequence *s, const tile *t, real *P,
                                real factor[TILE])
{
    real *z = (real *)node->out[LOG_SUM_EXP]->data + t->first_row, largest[TILE], sum[TILE];
    add_bias(node, a, t, s->stride, P);
    for (int64_t i = 0; i < t->rows; i++) {
        range seen = seen_in_tile(a, s, t, i);
        factor[i] = seen.begin < seen.end ? 1 : 0;
        set_unseen(P + i * s->stride, seen, t->width, factor[i] > 0 ? NOTHING : 0);
        largest[i] = largest_of_row(t->width, a->scale, P + i * s->stride);
    }
    for (int64_t i = 0; i < t->rows; i++)
        sum[i] = exp_row_below(t->width, a->scale, largest[i], P + i * s->stride, P + i * s->stride);
    for (int64_t i = 0; i < t->rows; i++) {
        z[i * a->heads] = largest[i] + REAL(log)(sum[i]);
        factor[i] /= sum[i];
    }
    drop(a, s, t, P);
}

static inline void scale_rows(const attention *a, const tile *t, const real factor[TILE], real *y, int64_t row_y)
{
    for (int64_t i = 0; i < t->rows; i++)
        for (int64_t d = 0; d < a->head_size; d++) y[i * row_y + d] *= factor[i];
}

/* The same for the rows of a tile, loop by loop. What a query does not see has the probability 0, and so has all where
 * it sees nothing: its z is a number. */
static inline void score_gradients(const peft_node *node, const attention *a, const sequence *s, const tile *t, real *P,
                                   real *dP)
{
    const real *z = (const real *)node->out[LOG_SUM_EXP]->data + t->first_row;
    vec sum[TILE] = {{0}};
    add_bias(node, a, t, s->stride, P);
    for (int64_t i = 0; i < t->rows; i++) set_unseen(P + i * s->stride, seen_in_tile(a, s, t, i), t->width, NOTHING);
    for (int64_t row = 0; row < t->rows; row += 2)
        for (int64_t block = 0; block < t->width; block += MASK_COLUMNS) {
            real M[2 * MASK_COLUMNS];
            masks(a, s, t, row, block, M);
            for (int64_t i = row; i < row + two_rows(t, row); i++) {
                int64_t at = i * s->stride + block, width = block_end(t, block) - block;
                sum[i] += weigh_gradient(a, width, M + (i - row) * MASK_COLUMNS, z[i * a->heads], P + at, dP + at);
            }
        }
    for (int64_t i = 0; i < t->rows; i++)
        score_gradient(a, t, sum_lanes(sum[i]), P + i * s->stride, dP + i * s->stride);
}

/* Gradients of keys and values are sums over tiles. The first sets them, where it sees all keys. */
static inline bool first_sets(const attention *a, const sequence *s)
{
    return !a->causal && s->queries > 0;
}

static inline bool adds_to_keys(const peft_node *node, const attention *a, const sequence *s, const tile *t, int input)
{
    bool first = first_sets(a, s) && t->row == 0 && t->head == s->head;
    return !first || peft_accumulates(node, input);
}

/* Elsewhere each piece clears its own, which then wait in a cache. */
static inline void clear_key_gradient(const peft_node *node, const attention *a, const sequence *s, int input, real *d,
                                      int64_t row_d)
{
    if (first_sets(a, s) || peft_accumulates(node, input)) return;
    for (int64_t j = 0; j < s->keys; j++) memset(d + j * row_d, 0, (size_t)a->head_size * sizeof *d);
}

/* Of the longest sequence. */
static inline int64_t widest_scores(const peft_node *node)
{
    const int32_t *starts = node->in[KEY_STARTS]->planned;
    int64_t longest = 0;
    for (int64_t s = 0; s + 1 < node->in[KEY_STARTS]->shape.size[0]; s++)
        longest = starts[s + 1] - starts[s] > longest ? starts[s + 1] - starts[s] : longest;
    return whole_vectors(longest);
}

static inline int64_t head_size_of(const peft_node *node)
{
    return peft_columns(node->in[Q]) / ((const peft_attention_options *)node->attributes)->num_heads;
}

/* ---- the kernel: each file has its own products ---- */

/* At the beginning of a sequence, and for each tile of queries; `scratch` is theirs. */
typedef void begin_function(const peft_node *node, const attention *a, const sequence *s, real *scratch);
typedef void tile_function(const peft_node *node, const attention *a, const sequence *s, const tile *t, real *scratch);
static begin_function begin_forward, begin_backward;
static tile_function forward_tile, backward_tile;

static inline void run_pieces(const peft_node *node, const peft_context *ctx, int64_t begin, int64_t end,
                              begin_function *begin_sequence, tile_function *run_tile, real *scratch)
{
    attention a = read_node(node, ctx);
    for (int64_t piece = begin; piece < end; piece++) {
        sequence s = read_sequence(&a, piece);
        prefetch_head(&a, node->in[K], first_key(&a, &s), s.keys);
        prefetch_head(&a, node->in[V], first_key(&a, &s), s.keys);
        begin_sequence(node, &a, &s, scratch);
        for (int64_t head = s.head; head < s.head + a.group; head++)
            for (int64_t row = 0; row < s.queries; row += TILE) {
                tile t = read_tile(&a, &s, head, row);
                run_tile(node, &a, &s, &t, scratch);
            }
    }
}

static void forward_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                           const peft_thread *thread)
{
    run_pieces(node, ctx, begin, end, begin_forward, forward_tile, thread->scratch);
}

static void backward_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                            const peft_thread *thread)
{
    run_pieces(node, ctx, begin, end, begin_backward, backward_tile, thread->scratch);
}

/* So many pieces of a usual sequence that a thread computes enough scores for what it costs to take them. */
static inline int64_t pieces_at_once(const peft_node *node, int64_t sequences)
{
    enum { SCORES = 1 << 13 };
    int64_t keys = peft_rows(node->in[K]) / sequences + 1;
    return keys * keys < SCORES ? SCORES / (keys * keys) : 1;
}

static void for_pieces(const peft_node *node, peft_context *ctx, peft_rows_function *run)
{
    const peft_attention_options *o = node->attributes;
    int64_t sequences = node->in[QUERY_STARTS]->shape.size[0] - 1;
    peft_for_rows(node, ctx, sequences * o->num_key_value_heads, pieces_at_once(node, sequences), run);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    for_pieces(node, ctx, forward_pieces);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    for_pieces(node, ctx, backward_pieces);
}

#endif
