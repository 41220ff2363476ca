/* ops/cpu/kernels/selective_scan.c
 *
 *     h_t = a_t h_{t-1} + (delta_t x_t) B_t^T      a_t = exp(delta_t A)        y_t = h_t C_t + skip x_t         (1)
 *
 * for each channel, whose state h has J numbers; x, delta [T, channels], A [channels, J], B, C [T, J]. Backward goes
 * from the last token to the first with l = dL/dh:
 *
 *     l_t  = a_{t+1} l_{t+1} + dy_t C_t            dC_t (+)= sum over channels of h_t dy_t                      (2)
 *     g_t  = l_t h_{t-1} a_t                       dA (+)= sum_t g_t delta_t
 *     d delta_t (+)= sum_j (g_t A + l_t B_t x_t)   dB_t (+)= sum over channels of l_t delta_t x_t
 *     dx_t (+)= sum_j l_t B_t delta_t + skip dy_t  dskip (+)= sum_t dy_t x_t
 *
 * Forward keeps the state before each chunk; backward computes those inside of a chunk again. A piece of work is a
 * strip of channels, of all tokens; sums over channels are added up strip by strip in the end. */
#include "ops/cpu/kernels/elementwise.h"
#include "ops/cpu/kernels/vector_math.h"
#include "ops/describe/scan.h"

enum { CHANNELS = 16 }; /* of a strip, whole vectors of every backend */

/* Some channels of all tokens. */
typedef struct strip {
    int64_t tokens, columns, J, chunk, first, width;
    const real *x, *delta, *B, *C, *skip;
    const int32_t *starts;
    int64_t sequences;
    real *A; /* [J, CHANNELS] in scratch memory */
} strip;

static const real *data_of(const peft_node *node, int input)
{
    return node->in[input] ? node->in[input]->data : NULL;
}

static strip open_strip(const peft_node *node, int64_t index, real *scratch)
{
    const peft_scan_attributes *a = node->attributes;
    strip s = {.tokens = peft_rows(node->in[SCAN_X]),
               .columns = peft_columns(node->in[SCAN_X]),
               .J = peft_columns(node->in[SCAN_B]),
               .chunk = a->chunk,
               .first = index * CHANNELS,
               .x = data_of(node, SCAN_X),
               .delta = data_of(node, SCAN_DELTA),
               .B = data_of(node, SCAN_B),
               .C = data_of(node, SCAN_C),
               .skip = data_of(node, SCAN_SKIP),
               .starts = node->in[SCAN_STARTS]->data,
               .sequences = node->in[SCAN_STARTS]->shape.size[0] - 1,
               .A = scratch};
    s.width = s.columns - s.first < CHANNELS ? s.columns - s.first : CHANNELS;
    const real *A = data_of(node, SCAN_A) + s.first * s.J;
    for (int64_t j = 0; j < s.J; j++)
        for (int64_t c = 0; c < CHANNELS; c++) s.A[j * CHANNELS + c] = c < s.width ? A[c * s.J + j] : 0;
    return s;
}

/* Channels c ... of token t, of an array like x. */
static inline vec at(const strip *s, const real *array, int64_t t, int64_t c)
{
    return load_some(array + t * s->columns + s->first + c, s->width - c, 0);
}

static inline vec skip_at(const strip *s, int64_t c)
{
    return s->skip ? load_some(s->skip + s->first + c, s->width - c, 0) : broadcast(0);
}

/* (1) for token t: `after` from `before` [J, CHANNELS], which may be the same; y [CHANNELS] or NULL */
static void step(const strip *s, int64_t t, const real *before, real *after, real *y)
{
    for (int64_t c = 0; c < s->width; c += LANES) {
        vec x = at(s, s->x, t, c), delta = at(s, s->delta, t, c), sum = skip_at(s, c) * x;
        for (int64_t j = 0; j < s->J; j++) {
            const int64_t k = j * CHANNELS + c;
            vec h = vec_exp(delta * load(s->A + k)) * load(before + k) + delta * x * s->B[t * s->J + j];
            store(after + k, h);
            sum += h * s->C[t * s->J + j];
        }
        if (y) store_some(y + t * s->columns + s->first + c, s->width - c, sum);
    }
}

/* The state before chunk `index`, as it is kept: [J, columns]; copied out, or in. */
static void copy_state(const strip *s, const peft_node *node, int64_t index, real *h, bool out)
{
    real *kept = (real *)node->out[1]->data + index * s->J * s->columns + s->first;
    for (int64_t j = 0; j < s->J; j++) {
        real *a = kept + j * s->columns, *b = h + j * CHANNELS;
        memcpy(out ? a : b, out ? b : a, (size_t)s->width * sizeof *a);
    }
}

static void forward_strips(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                           const peft_thread *thread)
{
    (void)ctx;
    for (int64_t k = begin; k < end; k++) {
        strip s = open_strip(node, k, thread->scratch);
        real *h = s.A + s.J * CHANNELS;
        for (int64_t q = 0, chunk = 0; q < s.sequences; q++) {
            memset(h, 0, (size_t)(s.J * CHANNELS) * sizeof *h);
            for (int64_t t = s.starts[q]; t < s.starts[q + 1]; t++) {
                if ((t - s.starts[q]) % s.chunk == 0) copy_state(&s, node, chunk++, h, true);
                step(&s, t, h, h, node->out[0]->data);
            }
        }
    }
}

/* ---- backward ---- */

/* What a strip adds up on its way, [J, CHANNELS] but for dskip [CHANNELS]; and its share of dB and dC, [T, 2, J]. */
typedef struct sums {
    real *l, *dA, *dskip, *states; /* states [chunk + 1, J, CHANNELS] */
    real *of_columns;
} sums;

static sums open_sums(const strip *s, const peft_node *node, int64_t index)
{
    const int64_t each = s->J * CHANNELS;
    sums u = {.l = s->A + each, .dA = s->A + 2 * each, .states = s->A + 3 * each};
    u.dskip = u.states + (s->chunk + 1) * each;
    u.of_columns = (real *)node->shared + index * s->tokens * 2 * s->J;
    memset(u.dA, 0, (size_t)each * sizeof *u.dA);
    memset(u.dskip, 0, CHANNELS * sizeof *u.dskip);
    return u;
}

static void put(const peft_node *node, int input, int64_t element, int64_t count, vec v)
{
    if (node->din[input]) put_some((real *)node->din[input]->data + element, count, v, peft_accumulates(node, input));
}

/* (2) for token t, whose state is in `after` and the one before it in `before` */
static void step_back(const strip *s, const peft_node *node, const sums *u, int64_t t, const real *before,
                      const real *after)
{
    real *dB = u->of_columns + t * 2 * s->J, *dC = dB + s->J;
    for (int64_t c = 0; c < s->width; c += LANES) {
        vec x = at(s, s->x, t, c), delta = at(s, s->delta, t, c), dy = at(s, node->dout->data, t, c);
        vec dx = skip_at(s, c) * dy, ddelta = broadcast(0);
        store(u->dskip + c, load(u->dskip + c) + dy * x);
        for (int64_t j = 0; j < s->J; j++) {
            const int64_t k = j * CHANNELS + c;
            const real B = s->B[t * s->J + j], C = s->C[t * s->J + j];
            vec A = load(s->A + k), a = vec_exp(delta * A), l = load(u->l + k) + dy * C;
            vec g = l * load(before + k) * a;
            dB[j] = (c ? dB[j] : 0) + sum_lanes(l * delta * x);
            dC[j] = (c ? dC[j] : 0) + sum_lanes(load(after + k) * dy);
            store(u->dA + k, load(u->dA + k) + g * delta);
            ddelta += g * A + l * B * x;
            dx += l * B * delta;
            store(u->l + k, a * l);
        }
        put(node, SCAN_X, t * s->columns + s->first + c, s->width - c, dx);
        put(node, SCAN_DELTA, t * s->columns + s->first + c, s->width - c, ddelta);
    }
}

static void chunk_back(const strip *s, const peft_node *node, const sums *u, int64_t index, int64_t begin, int64_t end)
{
    const int64_t each = s->J * CHANNELS;
    memset(u->states, 0, (size_t)each * sizeof *u->states);
    copy_state(s, node, index, u->states, false);
    for (int64_t t = begin; t < end; t++)
        step(s, t, u->states + (t - begin) * each, u->states + (t - begin + 1) * each, NULL);
    for (int64_t t = end - 1; t >= begin; t--)
        step_back(s, node, u, t, u->states + (t - begin) * each, u->states + (t - begin + 1) * each);
}

static void backward_strips(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                            const peft_thread *thread)
{
    (void)ctx;
    for (int64_t k = begin; k < end; k++) {
        strip s = open_strip(node, k, thread->scratch);
        sums u = open_sums(&s, node, k);
        int64_t chunk = peft_scan_chunks_before(s.starts, s.sequences, s.chunk);
        while (chunk-- > 0) {
            peft_scan_chunk tokens = peft_scan_chunk_at(s.starts, s.chunk, chunk);
            if (tokens.end == s.starts[tokens.sequence + 1]) memset(u.l, 0, (size_t)(s.J * CHANNELS) * sizeof *u.l);
            chunk_back(&s, node, &u, chunk, tokens.begin, tokens.end);
        }
        for (int64_t c = 0; c < s.width; c++)
            for (int64_t j = 0; j < s.J; j++)
                put(node, SCAN_A, (s.first + c) * s.J + j, 1, broadcast(u.dA[j * CHANNELS + c]));
        for (int64_t c = 0; c < s.width; c += LANES) put(node, SCAN_SKIP, s.first + c, s.width - c, load(u.dskip + c));
    }
}

static int64_t strips_of(const peft_node *node)
{
    return (peft_columns(node->in[SCAN_X]) + CHANNELS - 1) / CHANNELS;
}

/* dB and dC of some tokens, from the shares of the strips */
static void column_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const int64_t J = peft_columns(node->in[SCAN_B]), all = peft_rows(node->in[SCAN_X]) * 2 * J;
    for (int64_t t = begin; t < end; t++)
        for (int which = 0; which < 2; which++)
            for (int64_t j = 0; j < J; j++) {
                const real *share = (const real *)node->shared + (t * 2 + which) * J + j;
                real total = 0;
                for (int64_t k = 0; k < strips_of(node); k++) total += share[k * all];
                put(node, which ? SCAN_C : SCAN_B, t * J + j, 1, broadcast(total));
            }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, strips_of(node), 1, forward_strips);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, strips_of(node), 1, backward_strips);
    if (node->din[SCAN_B] || node->din[SCAN_C]) peft_for_rows(node, ctx, peft_rows(node->in[SCAN_X]), 16, column_rows);
}

static size_t thread_bytes(const peft_node *node, bool backward_pass)
{
    const peft_scan_attributes *a = node->attributes;
    const int64_t each = peft_columns(node->in[SCAN_B]) * CHANNELS;
    return (size_t)(backward_pass ? (4 + a->chunk) * each + CHANNELS : 2 * each) * sizeof(real);
}

static size_t shared_bytes(const peft_node *node, bool backward_pass)
{
    const int64_t shares = strips_of(node) * peft_rows(node->in[SCAN_X]) * 2 * peft_columns(node->in[SCAN_B]);
    return backward_pass ? (size_t)shares * sizeof(real) : 0;
}

const peft_kernel KERNEL(selective_scan) = {
    .forward = forward, .backward = backward, .thread_bytes = thread_bytes, .shared_bytes = shared_bytes};
