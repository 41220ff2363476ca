/* ops/cpu/kernels/conv.c
 *
 *     y_po = b_o + sum_kc w_ock x_{p+k-h,c}                              (1)
 *     dx_pc (+)= sum_ko w_{oc,K-1-k} dy_{p+k-h,o}                        (2)
 *     dw_ock (+)= sum_p dy_po x_{p+k-h,c}         db_o (+)= sum_p dy_po  (3)
 *
 * for each sample; x [samples, length, C], w [out, C, K], h = (K - 1) / 2; outside of a sample x is 0. With the taps
 * and channels as one dimension these are matrix products: the K rows of x around p lie one behind another, so the
 * rows of the left factor of (1) overlap in memory, and nothing is copied for them but x itself, with zeros between the
 * samples:
 *
 *     0..0 sample 0 0..0 sample 1 0..0 ...        h rows of zeros each
 *
 * Rows of that are counted through; those of the result that belong to zeros are left out. */
#include "ops/cpu/kernels/bias.h"
#include "ops/cpu/kernels/gemm_tiles.h"

enum { X, WEIGHT, BIAS };
enum { CONV_ROWS = 512, MOST_SUMS = 8 }; /* of a product; partial sums of (3) */

typedef struct sizes {
    int64_t samples, length, in, out, taps, half;
    int64_t unit, rows; /* of a sample and its zeros; of all */
} sizes;

static sizes sizes_of(const peft_node *node)
{
    const peft_shape *x = &node->in[X]->shape, *w = &node->in[WEIGHT]->shape;
    sizes s = {x->size[0], x->size[1], x->size[2], w->size[0], w->size[2], w->size[2] / 2, 0, 0};
    s.unit = s.length + s.half;
    s.rows = s.samples * s.unit;
    return s;
}

/* From row `at` of samples and zeros on, up to `end`: rows that are alike, and where they lie in a tensor without zeros
 * (*from; -1: zeros). */
static int64_t run_of(const sizes *s, int64_t at, int64_t end, int64_t *from)
{
    int64_t sample = at < 0 ? -1 : at / s->unit, p = at - sample * s->unit, next;
    bool zeros = sample < 0 || sample >= s->samples || p >= s->length;
    *from = zeros ? -1 : sample * s->length + p;
    if (at < 0)
        next = 0;
    else if (sample >= s->samples)
        next = end;
    else
        next = sample * s->unit + (zeros ? s->unit : s->length);
    return (next < end ? next : end) - at;
}

/* Rows begin ... end - 1 of x [samples, length, columns] with zeros between. */
static void fill(const sizes *s, const real *x, int64_t columns, int64_t begin, int64_t end, real *to)
{
    for (int64_t at = begin, count, from; at < end; at += count, to += count * columns) {
        count = run_of(s, at, end, &from);
        if (from < 0)
            memset(to, 0, (size_t)(count * columns) * sizeof *to);
        else
            memcpy(to, x + from * columns, (size_t)(count * columns) * sizeof *to);
    }
}

/* ---- (1) and (2) ---- */

/* In shared memory, the right factor: of (1) [K C, out], of (2) [K out, C] with the taps in reverse order. */
static void arrange_weight(const peft_node *node, const sizes *s, bool reverse)
{
    const real *w = node->in[WEIGHT]->data;
    real *to = node->shared;
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t c = 0; c < s->in; c++)
            for (int64_t k = 0; k < s->taps; k++, w++) {
                if (reverse)
                    to[((s->taps - 1 - k) * s->out + o) * s->in + c] = *w;
                else
                    to[(k * s->in + c) * s->out + o] = *w;
            }
}

/* y = bias + windows of x times the factor, for rows begin ... end - 1 of samples and zeros */
static void convolve(const peft_node *node, const sizes *s, const real *x, int64_t in, const real *bias, real *y,
                     int64_t out, bool add, int64_t begin, int64_t end, const peft_thread *thread)
{
    real *padded = thread->scratch, *made = padded + (end - begin + 2 * s->half) * in;
    fill(s, x, in, begin - s->half, end + s->half, padded);
    peft_gemm_shape shape = {end - begin, out, s->taps * in, in, 1, out, 1, out, 1};
    gemm(&shape, 1, padded, node->shared, 0, made);
    for (int64_t at = begin, count, from; at < end; at += count) {
        count = run_of(s, at, end, &from);
        if (from < 0) continue;
        const real *row = made + (at - begin) * out;
        real *to = y + from * out;
        for (int64_t r = 0; r < count; r++)
            for (int64_t o = 0; o < out; o++, row++, to++) *to = *row + (bias ? bias[o] : 0) + (add ? *to : 0);
    }
}

static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx;
    const sizes s = sizes_of(node);
    const real *bias = node->in[BIAS] ? node->in[BIAS]->data : NULL;
    convolve(node, &s, node->in[X]->data, s.in, bias, node->out[0]->data, s.out, false, begin, end, thread);
}

static void dx_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    (void)ctx;
    const sizes s = sizes_of(node);
    convolve(node, &s, node->dout->data, s.out, NULL, node->din[X]->data, s.in, peft_accumulates(node, X), begin, end,
             thread);
}

/* ---- (3) ---- */

static int64_t sums_of(const sizes *s)
{
    int64_t tiles = (s->rows + CONV_ROWS - 1) / CONV_ROWS;
    return tiles < MOST_SUMS ? tiles : MOST_SUMS;
}

/* In shared memory, [sums, out, K C]: each sum goes over every so many tiles of rows. */
static void weight_sums(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    (void)ctx;
    const sizes s = sizes_of(node);
    const int64_t width = s.taps * s.in, stride = sums_of(&s) * CONV_ROWS;
    for (int64_t k = begin; k < end; k++) {
        real *sum = (real *)node->shared + k * s.out * width;
        for (int64_t at = k * CONV_ROWS; at < s.rows; at += stride) {
            int64_t last = at + CONV_ROWS < s.rows ? at + CONV_ROWS : s.rows;
            real *padded = thread->scratch, *dy = padded + (last - at + 2 * s.half) * s.in;
            fill(&s, node->in[X]->data, s.in, at - s.half, last + s.half, padded);
            fill(&s, node->dout->data, s.out, at, last, dy);
            peft_gemm_shape shape = {s.out, width, last - at, 1, s.out, s.in, 1, width, 1};
            gemm(&shape, 1, dy, padded, at < stride ? 0 : 1, sum);
        }
    }
}

static void add_weight_sums(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                            const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const sizes s = sizes_of(node);
    const int64_t width = s.taps * s.in;
    real *dw = (real *)node->din[WEIGHT]->data + begin * width;
    for (int64_t o = begin; o < end; o++)
        for (int64_t c = 0; c < s.in; c++)
            for (int64_t k = 0; k < s.taps; k++, dw++) {
                const real *sum = (const real *)node->shared + o * width + k * s.in + c;
                real total = peft_accumulates(node, WEIGHT) ? *dw : 0;
                for (int64_t p = 0; p < sums_of(&s); p++) total += sum[p * s.out * width];
                *dw = total;
            }
}

/* ---- both ---- */

static void forward(const peft_node *node, peft_context *ctx)
{
    const sizes s = sizes_of(node);
    arrange_weight(node, &s, false);
    peft_for_rows(node, ctx, s.rows, CONV_ROWS, forward_rows);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    const sizes s = sizes_of(node);
    if (node->din[X]) {
        arrange_weight(node, &s, true);
        peft_for_rows(node, ctx, s.rows, CONV_ROWS, dx_rows);
    }
    if (node->din[WEIGHT] && s.rows == 0) clear_unless_accumulated(node, WEIGHT);
    if (node->din[WEIGHT] && s.rows > 0) {
        peft_for_rows(node, ctx, sums_of(&s), 1, weight_sums);
        peft_for_rows(node, ctx, s.out, 16, add_weight_sums);
    }
    bias_gradient(node, ctx);
}

static size_t thread_bytes(const peft_node *node, bool backward_pass)
{
    (void)backward_pass;
    const sizes s = sizes_of(node);
    const int64_t rows = s.rows < CONV_ROWS ? s.rows : CONV_ROWS;
    const int64_t padded = 2 * s.half * (s.in > s.out ? s.in : s.out);
    return (size_t)(rows * (s.in + s.out) + padded) * sizeof(real);
}

static size_t shared_bytes(const peft_node *node, bool backward_pass)
{
    const sizes s = sizes_of(node);
    const int64_t copies = backward_pass && node->din[WEIGHT] && s.rows > 0 ? sums_of(&s) : 1;
    return (size_t)(copies * s.out * s.taps * s.in) * sizeof(real);
}

static size_t library_bytes(const peft_node *node)
{
    const sizes s = sizes_of(node);
    return gemm_buffer_bytes(s.taps * s.in > s.out ? s.taps * s.in : s.out);
}

const peft_kernel KERNEL(conv) = {.forward = forward,
                                  .backward = backward,
                                  .thread_bytes = thread_bytes,
                                  .shared_bytes = shared_bytes,
                                  .library_bytes = library_bytes};
