/* ops/onednn/attention_bf16.c - attention whose products have factors in bf16 and sums in float.
 *
 * The formulas are those of attention.c. Q, K, V, dY, and P and dS where they are multiplied, are rounded to bf16; z,
 * exponentials and what else lies between the products are float. A operand X lies in pairs (ops/onednn/pairs.h): Xr
 * by its rows, Xc by its columns, Xt by its rows and transposed. */
#include "ops/cpu/kernels/attention.h"
#include "ops/onednn/pairs.h"

/* The scratch memory of a thread. */
typedef struct places {
    int64_t pairs, width; /* of a head, in pairs and in whole vectors */
    real *Kt, *Vt;        /* of a sequence: [pairs, stride] */
    real *Kc, *Vc;        /* [stride / 2, width] */
    real *Qr, *dYr;       /* of a tile: [TILE, pairs] */
    real *Qc, *dYc;       /* [TILE / 2, width] */
    real *P, *dS;         /* float: [TILE, stride] */
    real *Pr, *dSr;       /* [TILE, stride / 2] */
    real *Pc, *dSc;       /* [TILE / 2, stride] */
    real *Y, *dQ;         /* sums that will be rounded: [TILE, width] */
    real *dK, *dV;        /* [stride, width] */
    int64_t used;         /* elements */
} places;

static places forward_places(int64_t head_size, int64_t stride, real *scratch)
{
    places p = {.pairs = num_pairs(head_size), .width = whole_vectors(head_size)};
    p.Kt = take(scratch, &p.used, p.pairs * stride);
    p.Vc = take(scratch, &p.used, stride / 2 * p.width);
    p.Qr = take(scratch, &p.used, TILE * p.pairs);
    p.P = take(scratch, &p.used, TILE * stride);
    p.Pr = take(scratch, &p.used, TILE * stride / 2);
    p.Y = take(scratch, &p.used, TILE * p.width);
    return p;
}

static places backward_places(int64_t head_size, int64_t stride, real *scratch)
{
    places p = {.pairs = num_pairs(head_size), .width = whole_vectors(head_size)};
    p.Kt = take(scratch, &p.used, p.pairs * stride);
    p.Vt = take(scratch, &p.used, p.pairs * stride);
    p.Kc = take(scratch, &p.used, stride / 2 * p.width);
    p.Qr = take(scratch, &p.used, TILE * p.pairs);
    p.dYr = take(scratch, &p.used, TILE * p.pairs);
    p.Qc = take(scratch, &p.used, TILE / 2 * p.width);
    p.dYc = take(scratch, &p.used, TILE / 2 * p.width);
    p.P = take(scratch, &p.used, TILE * stride);
    p.dS = take(scratch, &p.used, TILE * stride);
    p.dSr = take(scratch, &p.used, TILE * stride / 2);
    p.Pc = take(scratch, &p.used, TILE / 2 * stride);
    p.dSc = take(scratch, &p.used, TILE / 2 * stride);
    p.dQ = take(scratch, &p.used, TILE * p.width);
    p.dK = take(scratch, &p.used, stride * p.width);
    p.dV = take(scratch, &p.used, stride * p.width);
    return p;
}

/* Rows of a head, from element `first` of x on: floats, or bf16 where the graph has rounded them. */
static inline operand head_of(const peft_tensor *x, int64_t first)
{
    return operand_at(operand_of(x), 0, first);
}

/* Where sums for such rows go: to the tensor, or to scratch memory first, where it is bf16. */
typedef struct sums {
    real *at;
    int64_t row;
} sums;

static sums sums_for(const peft_tensor *x, int64_t first, real *own, int64_t width)
{
    if (x->dtype == PEFT_BF16) return (sums){own, width};
    return (sums){(real *)x->data + first, peft_columns(x)};
}

static void put_sums(const attention *a, const peft_tensor *x, int64_t first, int64_t rows, sums s)
{
    if (x->dtype == PEFT_BF16)
        round_rows(rows, a->head_size, s.at, s.row, (uint16_t *)x->data + first, peft_columns(x));
}

/* Xt of k or v, filled up with zeros; `rows` is a place for TILE of them. */
static void transpose_keys(const attention *a, const sequence *s, const peft_tensor *keys, int64_t pairs, real *rows,
                           real *Xt)
{
    for (int64_t p = 0; p < pairs; p++)
        for (int64_t j = s->keys; j < s->stride; j++) Xt[p * s->stride + j] = 0;
    for (int64_t j = 0; j < s->keys; j += TILE) {
        int64_t count = s->keys - j < TILE ? s->keys - j : TILE;
        pair_rows(count, a->head_size, head_of(keys, first_key(a, s) + j * a->key_row), rows, pairs);
        transpose(count, pairs, rows, pairs, Xt + j, s->stride);
    }
}

static void pair_keys(const attention *a, const sequence *s, const peft_tensor *keys, int64_t width, real *Xc)
{
    pair_columns(s->keys, a->head_size, head_of(keys, first_key(a, s)), Xc, width);
}

/* out [rows, width] = queries keys^T, for rows of q or dy, which are left in Xr */
static void products(const attention *a, const sequence *s, const tile *t, const peft_tensor *queries, int64_t pairs,
                     const real *Xt, real *Xr, real *out)
{
    prefetch_head(a, queries, t->first, t->rows);
    pair_rows(t->rows, a->head_size, head_of(queries, t->first), Xr, pairs);
    pair_product(t->rows, t->width, pairs, Xr, pairs, 1, Xt + t->begin, s->stride, out, s->stride);
}

static void begin_forward(const peft_node *node, const attention *a, const sequence *s, real *scratch)
{
    places at = forward_places(a->head_size, s->stride, scratch);
    transpose_keys(a, s, node->in[K], at.pairs, at.Qr, at.Kt);
    pair_keys(a, s, node->in[V], at.width, at.Vc);
}

static void forward_tile(const peft_node *node, const attention *a, const sequence *s, const tile *t, real *scratch)
{
    places at = forward_places(a->head_size, s->stride, scratch);
    sums y = sums_for(node->out[Y], t->first, at.Y, at.width);
    real factor[TILE];
    products(a, s, t, node->in[Q], at.pairs, at.Kt, at.Qr, at.P);
    weigh_scores(node, a, s, t, at.P, factor);
    pair_rows(t->rows, t->width, floats(at.P, s->stride), at.Pr, s->stride / 2);
    pair_product(t->rows, a->head_size, num_pairs(t->keys), at.Pr, s->stride / 2, 1, at.Vc + t->begin / 2 * at.width,
                 at.width, y.at, y.row);
    scale_rows(a, t, factor, y.at, y.row);
    put_sums(a, node->out[Y], t->first, t->rows, y);
}

/* Of the gradient of k or v, if it is wanted; scratch memory has them for all keys of the sequence. */
static sums key_sums(const peft_node *node, const attention *a, const sequence *s, const places *at, int input)
{
    const peft_tensor *d = node->din[input];
    return d ? sums_for(d, first_key(a, s), input == K ? at->dK : at->dV, at->width) : (sums){0};
}

static void begin_backward(const peft_node *node, const attention *a, const sequence *s, real *scratch)
{
    places at = backward_places(a->head_size, s->stride, scratch);
    for (int input = K; input <= V; input++) {
        sums d = key_sums(node, a, s, &at, input);
        if (d.at) clear_key_gradient(node, a, s, input, d.at, d.row);
    }
    transpose_keys(a, s, node->in[K], at.pairs, at.Qr, at.Kt);
    transpose_keys(a, s, node->in[V], at.pairs, at.Qr, at.Vt);
    if (node->din[Q]) pair_keys(a, s, node->in[K], at.width, at.Kc);
}

/* d (+)= X^T of a tile, X [rows, keys], times rows of q or dy */
static void update_keys(bool add, const attention *a, const sequence *s, const tile *t, const real *Xc,
                        const peft_tensor *queries, int64_t width, real *Yc, sums d)
{
    pair_columns(t->rows, a->head_size, head_of(queries, t->first), Yc, width);
    pair_put(add, t->keys, a->head_size, num_pairs(t->rows), Xc, 1, s->stride, Yc, width, d.at + t->begin * d.row,
             d.row);
}

/* Gradients of keys and values are whole with the last tile. */
static bool is_last(const attention *a, const sequence *s, const tile *t)
{
    return t->head == s->head + a->group - 1 && t->row + t->rows == s->queries;
}

static void backward_tile(const peft_node *node, const attention *a, const sequence *s, const tile *t, real *scratch)
{
    places at = backward_places(a->head_size, s->stride, scratch);
    products(a, s, t, node->in[Q], at.pairs, at.Kt, at.Qr, at.P);
    products(a, s, t, node->dout, at.pairs, at.Vt, at.dYr, at.dS);
    score_gradients(node, a, s, t, at.P, at.dS);
    if (node->din[Q]) {
        sums d = sums_for(node->din[Q], t->first, at.dQ, at.width);
        pair_rows(t->rows, t->width, floats(at.dS, s->stride), at.dSr, s->stride / 2);
        pair_put(peft_accumulates(node, Q), t->rows, a->head_size, num_pairs(t->keys), at.dSr, s->stride / 2, 1,
                 at.Kc + t->begin / 2 * at.width, at.width, d.at, d.row);
        put_sums(a, node->din[Q], t->first, t->rows, d);
    }
    if (node->din[K]) {
        pair_columns(t->rows, t->width, floats(at.dS, s->stride), at.dSc, s->stride);
        update_keys(adds_to_keys(node, a, s, t, K), a, s, t, at.dSc, node->in[Q], at.width, at.Qc,
                    key_sums(node, a, s, &at, K));
    }
    if (node->din[V]) {
        pair_columns(t->rows, t->width, floats(at.P, s->stride), at.Pc, s->stride);
        update_keys(adds_to_keys(node, a, s, t, V), a, s, t, at.Pc, node->dout, at.width, at.dYc,
                    key_sums(node, a, s, &at, V));
    }
    for (int input = K; input <= V && is_last(a, s, t); input++)
        if (node->din[input]) put_sums(a, node->din[input], first_key(a, s), s->keys, key_sums(node, a, s, &at, input));
}

static size_t thread_bytes(const peft_node *node, bool backward)
{
    int64_t head_size = head_size_of(node), stride = widest_scores(node);
    places p = backward ? backward_places(head_size, stride, NULL) : forward_places(head_size, stride, NULL);
    return (size_t)p.used * sizeof(real);
}

const peft_kernel KERNEL(attention) = {.forward = forward,
                                       .backward = backward,
                                       .thread_bytes = thread_bytes,
                                       .takes_bf16 = PEFT_IN(Q) | PEFT_IN(K) | PEFT_IN(V),
                                       .gives_bf16 = PEFT_OUT(Y) | PEFT_IN(Q) | PEFT_IN(K) | PEFT_IN(V)};
