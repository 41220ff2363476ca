/* ops/cpu/kernels/attention.c
 *
 *     S = c Q K^T        z = log sum_j exp S_ij        P = exp(S - z)        Y = P V                   (1)
 *
 *     dV = P^T dY        dP = dY V^T        dS = P * (dP - sum_j P_ij dP_ij)                            (2)
 *     dQ = c dS K        dK = c dS^T Q
 *
 * for each sequence and each head, over the keys j that query i sees. Kept for backward is z: P is
 * computed again from it (Dao et al. 2022, arXiv 2205.14135). Dropout multiplies P by a mask M before it meets V, and
 * so dP too. */
#include "ops/cpu/kernels/attention.h"

/* The scratch memory of a thread: K^T, V^T [head size, stride], P, dS [TILE, stride]; forward has no gradients. */
typedef struct places {
    real *Kt, *P, *Vt, *dS;
} places;

static places read_places(const attention *a, const sequence *s, real *scratch)
{
    real *P = scratch + a->head_size * s->stride, *Vt = P + TILE * s->stride;
    return (places){scratch, P, Vt, Vt + a->head_size * s->stride};
}

/* out [head size, stride] = keys^T for one key/value head of k or v, filled up with zeros */
static void transpose_keys(const attention *a, const sequence *s, const real *keys, real *out)
{
    for (int64_t d = 0; d < a->head_size; d++)
        for (int64_t j = s->keys; j < s->stride; j++) out[d * s->stride + j] = 0;
    transpose(s->keys, a->head_size, keys + first_key(a, s), a->key_row, out, s->stride);
}

/* out [rows, width] = queries keys^T, for rows of q or dy */
static void products(const attention *a, const sequence *s, const tile *t, const peft_tensor *queries,
                     const real *transposed_keys, real *out)
{
    prefetch_head(a, queries, t->first, t->rows);
    block_product(t->rows, t->width, a->head_size, (const real *)queries->data + t->first, a->query_row, 1,
                  transposed_keys + t->begin, s->stride, out, s->stride);
}

static void begin_forward(const peft_node *node, const attention *a, const sequence *s, real *scratch)
{
    transpose_keys(a, s, node->in[K]->data, read_places(a, s, scratch).Kt);
}

/* (1) */
static void forward_tile(const peft_node *node, const attention *a, const sequence *s, const tile *t, real *scratch)
{
    places at = read_places(a, s, scratch);
    real *y = (real *)node->out[Y]->data + t->first, factor[TILE];
    products(a, s, t, node->in[Q], at.Kt, at.P);
    weigh_scores(node, a, s, t, at.P, factor);
    block_product(t->rows, a->head_size, t->keys, at.P, s->stride, 1, (const real *)node->in[V]->data + t->first_key,
                  a->key_row, y, a->query_row);
    scale_rows(a, t, factor, y, a->query_row);
}

static void begin_backward(const peft_node *node, const attention *a, const sequence *s, real *scratch)
{
    for (int input = K; input <= V; input++)
        if (node->din[input])
            clear_key_gradient(node, a, s, input, (real *)node->din[input]->data + first_key(a, s), a->key_row);
    begin_forward(node, a, s, scratch);
    transpose_keys(a, s, node->in[V]->data, read_places(a, s, scratch).Vt);
}

/* (2) */
static void backward_tile(const peft_node *node, const attention *a, const sequence *s, const tile *t, real *scratch)
{
    places at = read_places(a, s, scratch);
    const real *q = (const real *)node->in[Q]->data + t->first, *k = (const real *)node->in[K]->data + t->first_key;
    const real *dy = (const real *)node->dout->data + t->first;
    products(a, s, t, node->in[Q], at.Kt, at.P);
    products(a, s, t, node->dout, at.Vt, at.dS);
    score_gradients(node, a, s, t, at.P, at.dS);
    if (node->din[Q])
        block_put(peft_accumulates(node, Q), t->rows, a->head_size, t->keys, at.dS, s->stride, 1, k, a->key_row,
                  (real *)node->din[Q]->data + t->first, a->query_row);
    if (node->din[K])
        block_put(adds_to_keys(node, a, s, t, K), t->keys, a->head_size, t->rows, at.dS, 1, s->stride, q, a->query_row,
                  (real *)node->din[K]->data + t->first_key, a->key_row);
    if (node->din[V])
        block_put(adds_to_keys(node, a, s, t, V), t->keys, a->head_size, t->rows, at.P, 1, s->stride, dy, a->query_row,
                  (real *)node->din[V]->data + t->first_key, a->key_row);
}

static size_t thread_bytes(const peft_node *node, bool backward)
{
    return (size_t)((head_size_of(node) + TILE) * (backward ? 2 : 1) * widest_scores(node)) * sizeof(real);
}

const peft_kernel KERNEL(attention) = {.forward = forward, .backward = backward, .thread_bytes = thread_bytes};
