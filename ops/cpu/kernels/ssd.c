/* ops/cpu/kernels/ssd.c
 *
 *     h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t^T        y_t = C_t h_t + skip x_t
 *
 * for each head; h [J, P], x_t [P], B_t, C_t [J], the others numbers of the head. In chunks of Q tokens, with s the
 * running sums of delta A inside of a chunk, L_tu = exp(s_t - s_u) for u <= t, else 0, and G = C B^T:
 *
 *     Y  = (L * G) (delta x) + exp(s) C h                     h the state before the chunk            (1)
 *     h' = exp(s_Q) h + (r B)^T (delta x)                     r_u = exp(s_Q - s_u)                    (2)
 *
 * Backward, with l = dL/dh', M = L * G and dM = dY (delta x)^T:
 *
 *     dh = exp(s_Q) l + (exp(s) C)^T dY                                                               (3)
 *     d(delta x) = M^T dY + (r B) l                                                                   (4)
 *     dG = sum over heads of L * dM       dC = dG B + exp(s) dY h^T       dB = dG^T C + r (delta x) l^T
 *     ds_t = sum_u (dM * M)_tu - sum_u (dM * M)_ut + C_t . exp(s_t) dY_t h^T - B_t . r_t (delta x)_t l^T,
 *     and ds_Q has also sum_u of the last term, and exp(s_Q) l . h
 *
 * (2) and (3) go from chunk to chunk, head by head; everything else is done for all chunks at once, and sums over heads
 * stay inside of a piece. Forward keeps the states before all chunks. */
#include "ops/cpu/kernels/block.h"
#include "ops/cpu/kernels/elementwise.h"
#include "ops/cpu/kernels/vector_math.h"
#include "ops/describe/scan.h"

typedef struct sizes {
    int64_t tokens, columns, heads, P, J, Q, sequences, chunks;
    const int32_t *starts;
} sizes;

static sizes sizes_of(const peft_node *node)
{
    const peft_scan_attributes *a = node->attributes;
    sizes s = {.tokens = peft_rows(node->in[SCAN_X]),
               .columns = peft_columns(node->in[SCAN_X]),
               .heads = node->in[SCAN_A]->shape.size[0],
               .J = peft_columns(node->in[SCAN_B]),
               .Q = a->chunk,
               .sequences = node->in[SCAN_STARTS]->shape.size[0] - 1,
               .chunks = node->out[1]->shape.size[0],
               .starts = node->in[SCAN_STARTS]->data};
    s.P = s.columns / s.heads;
    return s;
}

/* One head's part of one chunk. */
typedef struct piece {
    int64_t count, head;           /* tokens, and which head */
    const real *x, *delta, *B, *C; /* of the first token; rows of x are `columns` apart, those of delta `heads` */
    real A, skip;
    double *sum;       /* [count]: s */
    const real *state; /* [J, P]: h */
} piece;

static const real *at(const peft_node *node, int input, int64_t row)
{
    return (const real *)node->in[input]->data + row * peft_columns(node->in[input]);
}

static piece piece_of(const peft_node *node, const sizes *s, int64_t index, int64_t head, double *sum)
{
    const peft_scan_chunk chunk = peft_scan_chunk_at(s->starts, s->Q, index);
    piece p = {.count = chunk.end - chunk.begin,
               .head = head,
               .x = at(node, SCAN_X, chunk.begin) + head * s->P,
               .delta = at(node, SCAN_DELTA, chunk.begin) + head,
               .B = at(node, SCAN_B, chunk.begin),
               .C = at(node, SCAN_C, chunk.begin),
               .A = ((const real *)node->in[SCAN_A]->data)[head],
               .skip = node->in[SCAN_SKIP] ? ((const real *)node->in[SCAN_SKIP]->data)[head] : 0,
               .sum = sum,
               .state = (const real *)node->out[1]->data + (index * s->heads + head) * s->J * s->P};
    double total = 0;
    for (int64_t t = 0; t < p.count; t++) sum[t] = total += (double)(p.delta[t * s->heads] * p.A);
    return p;
}

static double last_of(const piece *p)
{
    return p->sum[p->count - 1];
}

/* to [count, width] = factor_t from_t; rows of `from` are `row` apart */
static void scale_row(real factor, const real *from, int64_t width, real *to)
{
    for (int64_t k = 0; k < width; k++) to[k] = factor * from[k];
}

/* to = r delta x [count, P] */
static void weighted_input(const piece *p, const sizes *s, real *to)
{
    for (int64_t t = 0; t < p->count; t++)
        scale_row((real)exp(last_of(p) - p->sum[t]) * p->delta[t * s->heads], p->x + t * s->columns, s->P,
                  to + t * s->P);
}

/* L, or its product with G [count, count] */
static void decays(const piece *p, const real *G, real *to)
{
    for (int64_t t = 0; t < p->count; t++, to += p->count) {
        for (int64_t u = 0; u <= t; u++) to[u] = (real)(p->sum[t] - p->sum[u]);
        for (int64_t u = 0; u <= t; u += LANES) store_some(to + u, t + 1 - u, vec_exp(load_some(to + u, t + 1 - u, 0)));
        for (int64_t u = 0; u <= t && G; u++) to[u] *= G[t * p->count + u];
        for (int64_t u = t + 1; u < p->count; u++) to[u] = 0;
    }
}

/* ---- forward ---- */

/* Scratch memory of a thread; NULL: only counted. */
typedef struct scratch {
    double *sum, *dsum;        /* [Q] */
    real *G, *M, *dM, *L, *dG; /* [Q, Q] */
    real *dx, *input, *dY;     /* [Q, P] */
    real *row, *dB, *dC;       /* [Q, J] */
} scratch;

static int64_t open_scratch(const sizes *s, real *memory, scratch *m)
{
    int64_t used = 0;
    const int64_t doubles = s->Q * (int64_t)(sizeof(double) / sizeof(real)), square = s->Q * s->Q;
    m->sum = (double *)(void *)take(memory, &used, doubles);
    m->dsum = (double *)(void *)take(memory, &used, doubles);
    real **const squares[] = {&m->G, &m->M, &m->dM, &m->L, &m->dG};
    for (size_t k = 0; k < sizeof squares / sizeof *squares; k++) *squares[k] = take(memory, &used, square);
    real **const inputs[] = {&m->dx, &m->input, &m->dY};
    for (size_t k = 0; k < sizeof inputs / sizeof *inputs; k++) *inputs[k] = take(memory, &used, s->Q * s->P);
    real **const columns[] = {&m->row, &m->dB, &m->dC};
    for (size_t k = 0; k < sizeof columns / sizeof *columns; k++) *columns[k] = take(memory, &used, s->Q * s->J);
    return used;
}

/* The first and the last chunk of a sequence. */
static void chunks_of(const sizes *s, int64_t sequence, int64_t *first, int64_t *last)
{
    *first = peft_scan_chunks_before(s->starts, sequence, s->Q);
    *last = *first + peft_scan_chunks_of(s->starts, sequence, s->Q) - 1;
}

/* (2), for a head of a sequence */
static void state_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx;
    const sizes s = sizes_of(node);
    const int64_t each = s.J * s.P;
    scratch m;
    open_scratch(&s, thread->scratch, &m);
    for (int64_t k = begin; k < end; k++) {
        const int64_t head = k % s.heads;
        int64_t first, last;
        chunks_of(&s, k / s.heads, &first, &last);
        real *h = (real *)node->out[1]->data + (first * s.heads + head) * each, *next;
        memset(h, 0, (size_t)each * sizeof *h);
        for (int64_t c = first; c < last; c++, h = next) {
            const piece p = piece_of(node, &s, c, head, m.sum);
            next = h + s.heads * each;
            scale_row((real)exp(last_of(&p)), h, each, next);
            weighted_input(&p, &s, m.input);
            block_put(true, s.J, s.P, p.count, p.B, 1, s.J, m.input, s.P, next, s.P);
        }
    }
}

/* (1), for a chunk */
static void forward_chunks(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                           const peft_thread *thread)
{
    (void)ctx;
    const sizes s = sizes_of(node);
    scratch m;
    open_scratch(&s, thread->scratch, &m);
    for (int64_t c = begin; c < end; c++)
        for (int64_t head = 0; head < s.heads; head++) {
            const piece p = piece_of(node, &s, c, head, m.sum);
            real *y = (real *)node->out[0]->data + (p.x - (const real *)node->in[SCAN_X]->data);
            if (head == 0) block_dot(p.count, p.count, s.J, p.C, s.J, p.B, s.J, m.G, p.count);
            decays(&p, m.G, m.M);
            for (int64_t t = 0; t < p.count; t++) {
                scale_row(p.delta[t * s.heads], p.x + t * s.columns, s.P, m.input + t * s.P);
                scale_row((real)exp(p.sum[t]), p.C + t * s.J, s.J, m.row + t * s.J);
            }
            block_put(false, p.count, s.P, p.count, m.M, p.count, 1, m.input, s.P, y, s.columns);
            block_put(true, p.count, s.P, s.J, m.row, s.J, 1, p.state, s.P, y, s.columns);
            for (int64_t t = 0; t < p.count; t++)
                for (int64_t k = 0; k < s.P; k++) y[t * s.columns + k] += p.skip * p.x[t * s.columns + k];
        }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    const sizes s = sizes_of(node);
    peft_for_rows(node, ctx, s.sequences * s.heads, 1, state_pieces);
    peft_for_rows(node, ctx, s.chunks, 1, forward_chunks);
}

/* ---- backward ---- */

/* In shared memory: l behind each chunk [chunks, heads, J, P], and shares of dA and dskip [chunks, heads, 2]. */
static real *carry_of(const peft_node *node, const sizes *s, int64_t chunk, int64_t head)
{
    return (real *)node->shared + (chunk * s->heads + head) * s->J * s->P;
}

static real *shares_of(const peft_node *node, const sizes *s, int64_t chunk, int64_t head)
{
    return carry_of(node, s, s->chunks, 0) + (chunk * s->heads + head) * 2;
}

static const real *dy_of(const peft_node *node, const piece *p)
{
    return (const real *)node->dout->data + (p->x - (const real *)node->in[SCAN_X]->data);
}

/* exp(s) dY */
static void weighted_gradient(const peft_node *node, const piece *p, const sizes *s, real *to)
{
    const real *dy = dy_of(node, p);
    for (int64_t t = 0; t < p->count; t++) scale_row((real)exp(p->sum[t]), dy + t * s->columns, s->P, to + t * s->P);
}

/* (3), for a head of a sequence */
static void carry_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx;
    const sizes s = sizes_of(node);
    const int64_t each = s.J * s.P;
    scratch m;
    open_scratch(&s, thread->scratch, &m);
    for (int64_t k = begin; k < end; k++) {
        const int64_t head = k % s.heads;
        int64_t first, c;
        chunks_of(&s, k / s.heads, &first, &c);
        memset(carry_of(node, &s, c, head), 0, (size_t)each * sizeof(real));
        for (; c > first; c--) {
            const piece p = piece_of(node, &s, c, head, m.sum);
            real *before = carry_of(node, &s, c - 1, head);
            scale_row((real)exp(last_of(&p)), carry_of(node, &s, c, head), each, before);
            weighted_gradient(node, &p, &s, m.dY);
            block_put(true, s.J, s.P, p.count, p.C, 1, s.J, m.dY, s.P, before, s.P);
        }
    }
}

static real dot(const real *a, const real *b, int64_t count)
{
    vec sum = broadcast(0);
    for (int64_t k = 0; k < count; k += LANES) sum += load_some(a + k, count - k, 0) * load_some(b + k, count - k, 0);
    return sum_lanes(sum);
}

static void add_rows(real *to, const real *from, int64_t count)
{
    for (int64_t k = 0; k < count; k++) to[k] += from[k];
}

/* (4) into m->dx; what M has to say about dG and ds */
static void inside(const peft_node *node, const sizes *s, const piece *p, const real *carry, const scratch *m)
{
    const real *dy = dy_of(node, p);
    const int64_t n = p->count;
    decays(p, NULL, m->L);
    for (int64_t k = 0; k < n * n; k++) m->M[k] = m->L[k] * m->G[k];
    block_put(false, n, s->P, n, m->M, 1, n, dy, s->columns, m->dx, s->P);
    for (int64_t t = 0; t < n; t++) {
        scale_row((real)exp(last_of(p) - p->sum[t]), p->B + t * s->J, s->J, m->row + t * s->J);
        scale_row(p->delta[t * s->heads], p->x + t * s->columns, s->P, m->input + t * s->P);
    }
    block_put(true, n, s->P, s->J, m->row, s->J, 1, carry, s->P, m->dx, s->P);
    block_dot(n, n, s->P, dy, s->columns, m->input, s->P, m->dM, n);
    for (int64_t t = 0; t < n; t++)
        for (int64_t u = 0; u <= t; u++) {
            const double change = (double)(m->dM[t * n + u] * m->M[t * n + u]);
            m->dsum[t] += change;
            m->dsum[u] -= change;
            m->dG[t * n + u] += m->dM[t * n + u] * m->L[t * n + u];
        }
}

/* What the states before and behind the chunk have to say about dB, dC and ds */
static void outside(const peft_node *node, const sizes *s, const piece *p, const real *carry, const scratch *m)
{
    const int64_t n = p->count;
    weighted_gradient(node, p, s, m->dY);
    block_dot(n, s->J, s->P, m->dY, s->P, p->state, s->P, m->row, s->J);
    add_rows(m->dC, m->row, n * s->J);
    for (int64_t t = 0; t < n; t++) m->dsum[t] += (double)dot(m->row + t * s->J, p->C + t * s->J, s->J);
    weighted_input(p, s, m->input);
    block_dot(n, s->J, s->P, m->input, s->P, carry, s->P, m->row, s->J);
    add_rows(m->dB, m->row, n * s->J);
    for (int64_t t = 0; t < n; t++) {
        const double change = (double)dot(m->row + t * s->J, p->B + t * s->J, s->J);
        m->dsum[t] -= change;
        m->dsum[n - 1] += change;
    }
    m->dsum[n - 1] += exp(last_of(p)) * (double)dot(carry, p->state, s->J * s->P);
}

static void put(const peft_node *node, int input, int64_t element, real value)
{
    if (!node->din[input]) return;
    real *d = (real *)node->din[input]->data + element;
    *d = value + (peft_accumulates(node, input) ? *d : 0);
}

/* From ds and d(delta x) to the inputs: s_t sums delta A up to t. */
static void put_head(const peft_node *node, const sizes *s, const piece *p, const scratch *m, real *shares)
{
    const real *dy = dy_of(node, p);
    const int64_t token = (p->delta - (const real *)node->in[SCAN_DELTA]->data) / s->heads;
    double da = 0, dA = 0, dskip = 0;
    for (int64_t t = p->count - 1; t >= 0; t--) {
        const real delta = p->delta[t * s->heads], *x = p->x + t * s->columns, *dx = m->dx + t * s->P;
        da += m->dsum[t];
        dA += da * (double)delta;
        dskip += (double)dot(dy + t * s->columns, x, s->P);
        put(node, SCAN_DELTA, (token + t) * s->heads + p->head, (real)da * p->A + dot(dx, x, s->P));
        for (int64_t k = 0; k < s->P; k++)
            put(node, SCAN_X, (token + t) * s->columns + p->head * s->P + k,
                delta * dx[k] + p->skip * dy[t * s->columns + k]);
    }
    shares[0] = (real)dA;
    shares[1] = (real)dskip;
}

static void backward_chunks(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                            const peft_thread *thread)
{
    (void)ctx;
    const sizes s = sizes_of(node);
    scratch m;
    open_scratch(&s, thread->scratch, &m);
    for (int64_t c = begin; c < end; c++) {
        piece p = piece_of(node, &s, c, 0, m.sum);
        const int64_t n = p.count, token = (p.B - (const real *)node->in[SCAN_B]->data) / s.J;
        block_dot(n, n, s.J, p.C, s.J, p.B, s.J, m.G, n);
        memset(m.dG, 0, (size_t)(n * n) * sizeof(real));
        memset(m.dB, 0, (size_t)(n * s.J) * sizeof(real));
        memset(m.dC, 0, (size_t)(n * s.J) * sizeof(real));
        for (int64_t head = 0; head < s.heads; head++) {
            p = piece_of(node, &s, c, head, m.sum);
            const real *carry = carry_of(node, &s, c, head);
            memset(m.dsum, 0, (size_t)n * sizeof *m.dsum);
            inside(node, &s, &p, carry, &m);
            outside(node, &s, &p, carry, &m);
            put_head(node, &s, &p, &m, shares_of(node, &s, c, head));
        }
        block_put(true, n, s.J, n, m.dG, n, 1, p.B, s.J, m.dC, s.J);
        block_put(true, n, s.J, n, m.dG, 1, n, p.C, s.J, m.dB, s.J);
        for (int64_t k = 0; k < n * s.J; k++) {
            put(node, SCAN_B, token * s.J + k, m.dB[k]);
            put(node, SCAN_C, token * s.J + k, m.dC[k]);
        }
    }
}

static void backward(const peft_node *node, peft_context *ctx)
{
    const sizes s = sizes_of(node);
    peft_for_rows(node, ctx, s.sequences * s.heads, 1, carry_pieces);
    peft_for_rows(node, ctx, s.chunks, 1, backward_chunks);
    for (int64_t head = 0; head < s.heads; head++) {
        double totals[2] = {0};
        for (int64_t c = 0; c < s.chunks; c++)
            for (int k = 0; k < 2; k++) totals[k] += (double)shares_of(node, &s, c, head)[k];
        put(node, SCAN_A, head, (real)totals[0]);
        put(node, SCAN_SKIP, head, (real)totals[1]);
    }
}

static size_t thread_bytes(const peft_node *node, bool backward_pass)
{
    (void)backward_pass;
    const sizes s = sizes_of(node);
    scratch m;
    return (size_t)open_scratch(&s, NULL, &m) * sizeof(real);
}

static size_t shared_bytes(const peft_node *node, bool backward_pass)
{
    const sizes s = sizes_of(node);
    return backward_pass ? (size_t)(s.chunks * s.heads * (s.J * s.P + 2)) * sizeof(real) : 0;
}

const peft_kernel KERNEL(ssd) = {
    .forward = forward, .backward = backward, .thread_bytes = thread_bytes, .shared_bytes = shared_bytes};
