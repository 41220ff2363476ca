/* ops/kernels/attention.c
 *
 *     S = c Q K^T        z = log sum_j exp S_ij        P = exp(S - z)        Y = P V                   (1)
 *
 *     dV = P^T dY        dP = dY V^T        dS = P * (dP - sum_j dY_ij Y_ij)                            (2)
 *     dQ = c dS K        dK = c dS^T Q
 *
 * for each sequence and each head, over the keys j that query i sees. Kept for backward are Y and z; backward computes
 * S again, and sum_j P_ij dP_ij is the sum of dY * Y (Dao et al. 2022, arXiv 2205.14135). Dropout multiplies P by a
 * mask M before it meets V, and so dP too.
 *
 * A piece of work is one sequence and one key/value head with all query heads that share it, so that each gradient has
 * one writer. Queries come in tiles; a tile's scores lie in the thread's scratch memory, keys along the vectors, whose
 * last is filled up with keys that nobody sees. */
#include "ops/kernels/block.h"
#include "ops/kernels/mask.h"
#include "ops/kernels/row.h"
#include "ops/ops.h"

enum { Q, K, V, QUERY_STARTS, KEY_STARTS };
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

static attention read_node(const peft_node *node, const peft_context *ctx)
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

static int64_t whole_vectors(int64_t keys)
{
    return (keys + LANES - 1) / LANES * LANES;
}

/* One sequence, its tokens among all, for the query heads head ... head + group - 1 that share a key/value head. */
typedef struct sequence {
    int64_t query, queries, key, keys;
    int64_t head, key_head;
    int64_t stride; /* between rows of scores */
} sequence;

static sequence read_sequence(const attention *a, int64_t piece)
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
static range seen_keys(const attention *a, const sequence *s, int64_t i)
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

static tile read_tile(const attention *a, const sequence *s, int64_t head, int64_t row)
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

static range seen_in_tile(const attention *a, const sequence *s, const tile *t, int64_t row)
{
    range seen = seen_keys(a, s, t->row + row);
    return (range){seen.begin > t->begin ? seen.begin - t->begin : 0, seen.end > t->begin ? seen.end - t->begin : 0};
}

static void set_unseen(real *x, range seen, int64_t width, real value)
{
    for (int64_t j = 0; j < seen.begin; j++) x[j] = value;
    for (int64_t j = seen.end; j < width; j++) x[j] = value;
}

/* A head's part of a row is short, and far from that of the next row: the CPU does not read ahead itself. */
static void prefetch_keys(const attention *a, const sequence *s, const real *keys)
{
    prefetch_rows(s->keys, a->head_size, keys + s->key * a->key_row + s->key_head * a->head_size, a->key_row);
}

static void prefetch_queries(const attention *a, const tile *t, const real *queries)
{
    prefetch_rows(t->rows, a->head_size, queries + t->first, a->query_row);
}

/* out [head size, stride] = keys^T for one key/value head of k or v, filled up with zeros */
static void transpose_keys(const attention *a, const sequence *s, const real *keys, real *out)
{
    for (int64_t d = 0; d < a->head_size; d++)
        for (int64_t j = s->keys; j < s->stride; j++) out[d * s->stride + j] = 0;
    transpose(s->keys, a->head_size, keys + s->key * a->key_row + s->key_head * a->head_size, a->key_row, out,
              s->stride);
}

/* out [rows, width] = queries keys^T, for rows of q or dy */
static void products(const attention *a, const sequence *s, const tile *t, const real *queries,
                     const real *transposed_keys, real *out)
{
    block_product(t->rows, t->width, a->head_size, queries + t->first, a->query_row, 1, transposed_keys + t->begin,
                  s->stride, out, s->stride);
}

/* M of one query for the keys from `block` of the tile on; 1 without dropout. */
static void mask_block(const attention *a, const sequence *s, const tile *t, int64_t row, int64_t block, real *M)
{
    uint64_t token = (uint64_t)(a->first_row + s->query + t->row + row);
    if (a->dropout)
        mask_factors(&a->mask, token, (uint32_t)t->head, (t->begin + block) / MASK_COLUMNS, M);
    else
        for (int j = 0; j < MASK_COLUMNS; j++) M[j] = 1;
}

static int64_t block_end(const tile *t, int64_t block)
{
    return t->width - block < MASK_COLUMNS ? t->width : block + MASK_COLUMNS;
}

/* P *= M for one query */
static void drop(const attention *a, const sequence *s, const tile *t, int64_t row, real *P)
{
    for (int64_t block = 0; block < t->width && a->dropout; block += MASK_COLUMNS) {
        real M[MASK_COLUMNS];
        mask_block(a, s, t, row, block, M);
        for (int64_t j = block; j < block_end(t, block); j += LANES) store(P + j, load(P + j) * load(M + (j - block)));
    }
}

/* (1) */
static void forward_tile(const peft_node *node, const attention *a, const sequence *s, const tile *t, const real *Kt,
                         real *P)
{
    real *y = (real *)node->out[Y]->data + t->first, *z = (real *)node->out[LOG_SUM_EXP]->data + t->first_row;
    real factor[TILE];
    prefetch_queries(a, t, node->in[Q]->data);
    products(a, s, t, node->in[Q]->data, Kt, P);
    for (int64_t i = 0; i < t->rows; i++) {
        range seen = seen_in_tile(a, s, t, i);
        bool blind = seen.begin == seen.end;
        real *row = P + i * s->stride;
        set_unseen(row, seen, t->width, blind ? 0 : NOTHING);
        factor[i] = blind ? 0 : 1 / exp_row(t->width, a->scale, row, row, &z[i * a->heads]);
        drop(a, s, t, i, row);
    }
    block_product(t->rows, a->head_size, t->keys, P, s->stride, 1, (const real *)node->in[V]->data + t->first_key,
                  a->key_row, y, a->query_row);
    for (int64_t i = 0; i < t->rows; i++)
        for (int64_t d = 0; d < a->head_size; d++) y[i * a->query_row + d] *= factor[i];
}

static void forward_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    attention a = read_node(node, ctx);
    for (int64_t piece = begin; piece < end; piece++) {
        sequence s = read_sequence(&a, piece);
        real *Kt = scratch, *P = Kt + a.head_size * s.stride;
        prefetch_keys(&a, &s, node->in[K]->data);
        prefetch_keys(&a, &s, node->in[V]->data);
        transpose_keys(&a, &s, node->in[K]->data, Kt);
        for (int64_t head = s.head; head < s.head + a.group; head++)
            for (int64_t row = 0; row < s.queries; row += TILE) {
                tile t = read_tile(&a, &s, head, row);
                forward_tile(node, &a, &s, &t, Kt, P);
            }
    }
}

static int64_t num_pieces(const peft_node *node)
{
    const peft_attention_options *o = node->attributes;
    return (node->in[QUERY_STARTS]->shape.size[0] - 1) * o->num_key_value_heads;
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, num_pieces(node), 1, forward_pieces);
}

/* For one query: scores become M * P, which dV is made of, and dY V^T becomes c dS, for dQ and dK. */
static void score_gradient(const attention *a, const sequence *s, const tile *t, int64_t row, real z, real delta,
                           real *P, real *dS)
{
    for (int64_t block = 0; block < t->width; block += MASK_COLUMNS) {
        real M[MASK_COLUMNS];
        mask_block(a, s, t, row, block, M);
        for (int64_t j = block; j < block_end(t, block); j += LANES) {
            vec m = load(M + (j - block)), p = vec_exp(a->scale * load(P + j) - z);
            store(P + j, m * p);
            store(dS + j, a->scale * p * (m * load(dS + j) - delta));
        }
    }
    range seen = seen_in_tile(a, s, t, row);
    set_unseen(P, seen, t->width, 0);
    set_unseen(dS, seen, t->width, 0);
}

/* (2) */
static void backward_tile(const peft_node *node, const attention *a, const sequence *s, const tile *t, const real *Kt,
                          const real *Vt, real *P, real *dS)
{
    const real *dy = (const real *)node->dout->data + t->first, *y = (const real *)node->out[Y]->data + t->first;
    const real *q = (const real *)node->in[Q]->data + t->first, *k = (const real *)node->in[K]->data + t->first_key;
    const real *z = (const real *)node->out[LOG_SUM_EXP]->data + t->first_row;
    prefetch_queries(a, t, node->in[Q]->data);
    prefetch_queries(a, t, node->dout->data);
    prefetch_queries(a, t, node->out[Y]->data);
    products(a, s, t, node->in[Q]->data, Kt, P);
    products(a, s, t, node->dout->data, Vt, dS);
    for (int64_t i = 0; i < t->rows; i++) {
        int64_t at = i * a->query_row;
        real delta;
        dot_tile(1, 1, a->head_size, dy + at, 0, y + at, 0, &delta, 0);
        score_gradient(a, s, t, i, z[i * a->heads], delta, P + i * s->stride, dS + i * s->stride);
    }
    if (node->din[Q])
        block_update(t->rows, a->head_size, t->keys, dS, s->stride, 1, k, a->key_row,
                     (real *)node->din[Q]->data + t->first, a->query_row);
    if (node->din[K])
        block_update(t->keys, a->head_size, t->rows, dS, 1, s->stride, q, a->query_row,
                     (real *)node->din[K]->data + t->first_key, a->key_row);
    if (node->din[V])
        block_update(t->keys, a->head_size, t->rows, P, 1, s->stride, dy, a->query_row,
                     (real *)node->din[V]->data + t->first_key, a->key_row);
}

static void backward_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    attention a = read_node(node, ctx);
    for (int64_t piece = begin; piece < end; piece++) {
        sequence s = read_sequence(&a, piece);
        real *Kt = scratch, *Vt = Kt + a.head_size * s.stride;
        real *P = Vt + a.head_size * s.stride, *dS = P + TILE * s.stride;
        prefetch_keys(&a, &s, node->in[K]->data);
        prefetch_keys(&a, &s, node->in[V]->data);
        transpose_keys(&a, &s, node->in[K]->data, Kt);
        transpose_keys(&a, &s, node->in[V]->data, Vt);
        for (int64_t head = s.head; head < s.head + a.group; head++)
            for (int64_t row = 0; row < s.queries; row += TILE) {
                tile t = read_tile(&a, &s, head, row);
                backward_tile(node, &a, &s, &t, Kt, Vt, P, dS);
            }
    }
}

static void backward(const peft_node *node, peft_context *ctx)
{
    for (int input = Q; input <= V; input++) clear_unless_accumulated(node, input);
    peft_for_rows(node, ctx, num_pieces(node), 1, backward_pieces);
}

/* For the longest sequence: K^T and the tile's scores; backward: V^T and the gradients of the scores as well. */
static size_t thread_bytes(const peft_node *node, bool backward)
{
    const peft_attention_options *o = node->attributes;
    const int32_t *starts = node->in[KEY_STARTS]->data;
    int64_t longest = 0, head_size = peft_columns(node->in[Q]) / o->num_heads;
    for (int64_t s = 0; s + 1 < node->in[KEY_STARTS]->shape.size[0]; s++)
        longest = starts[s + 1] - starts[s] > longest ? starts[s + 1] - starts[s] : longest;
    return (size_t)((head_size + TILE) * (backward ? 2 : 1) * whole_vectors(longest)) * sizeof(real);
}

const peft_kernel KERNEL(attention) = {.forward = forward, .backward = backward, .thread_bytes = thread_bytes};
