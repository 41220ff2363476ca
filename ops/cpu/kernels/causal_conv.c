/* ops/cpu/kernels/causal_conv.c
 *
 *     y_tc = b_c + sum_k w_ck x_{t-K+1+k,c}                              (1)
 *     dx_tc (+)= sum_k w_ck dy_{t+K-1-k,c}                               (2)
 *     dw_ck (+)= sum_t dy_tc x_{t-K+1+k,c}        db_c (+)= sum_t dy_tc  (3)
 *
 * x [T, channels], w [channels, K]; what lies outside of t's sequence is 0. A piece of work is a strip of channels, of
 * all tokens. */
#include "ops/cpu/kernels/bias.h"
#include "ops/cpu/kernels/elementwise.h"
#include "ops/cpu/kernels/sums.h"

enum { X, WEIGHT, BIAS, STARTS };

/* Some channels of all tokens, with their weights [K, STRIP] in scratch memory. */
typedef struct strip {
    int64_t columns, taps, first, width; /* channels of a row, K, and those of the strip */
    const int32_t *starts;
    int64_t sequences;
    const real *weight;
} strip;

static strip open_strip(const peft_node *node, int64_t index, const peft_thread *thread)
{
    strip s = {.columns = peft_columns(node->in[X]),
               .taps = peft_columns(node->in[WEIGHT]),
               .first = index * STRIP,
               .starts = node->in[STARTS]->data,
               .sequences = node->in[STARTS]->shape.size[0] - 1,
               .weight = thread->scratch};
    s.width = s.columns - s.first < STRIP ? s.columns - s.first : STRIP;
    real *to = thread->scratch;
    const real *w = (const real *)node->in[WEIGHT]->data + s.first * s.taps;
    for (int64_t k = 0; k < s.taps; k++)
        for (int64_t c = 0; c < STRIP; c++) to[k * STRIP + c] = c < s.width ? w[c * s.taps + k] : 0;
    return s;
}

/* to_t = start + sum_k w_k from_{t + sign (k - K + 1)} */
static void convolve(const strip *s, int sign, const real *from, const real *start, real *to, bool add)
{
    for (int64_t q = 0; q < s->sequences; q++)
        for (int64_t t = s->starts[q]; t < s->starts[q + 1]; t++)
            for (int64_t c = 0; c < s->width; c += LANES) {
                vec sum = start ? load_some(start + s->first + c, s->width - c, 0) : broadcast(0);
                for (int64_t k = 0; k < s->taps; k++) {
                    int64_t at = t + sign * (k - s->taps + 1);
                    if (at < s->starts[q] || at >= s->starts[q + 1]) continue;
                    sum += load(s->weight + k * STRIP + c) *
                           load_some(from + at * s->columns + s->first + c, s->width - c, 0);
                }
                put_some(to + t * s->columns + s->first + c, s->width - c, sum, add);
            }
}

/* (1) */
static void forward_strips(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                           const peft_thread *thread)
{
    (void)ctx;
    for (int64_t k = begin; k < end; k++) {
        strip s = open_strip(node, k, thread);
        convolve(&s, 1, node->in[X]->data, node->in[BIAS] ? node->in[BIAS]->data : NULL, node->out[0]->data, false);
    }
}

/* (3), tap by tap */
static void weight_gradient(const peft_node *node, const strip *s)
{
    const real *x = node->in[X]->data, *dy = node->dout->data;
    real *dw = (real *)node->din[WEIGHT]->data + s->first * s->taps;
    for (int64_t k = 0; k < s->taps; k++) {
        double sums[STRIP] = {0};
        const int64_t back = s->taps - 1 - k;
        for (int64_t q = 0; q < s->sequences; q++)
            for (int64_t t = s->starts[q] + back; t < s->starts[q + 1]; t++)
                for (int64_t c = 0; c < s->width; c++)
                    sums[c] += (double)(dy[t * s->columns + s->first + c] * x[(t - back) * s->columns + s->first + c]);
        for (int64_t c = 0; c < s->width; c++)
            put_sums(dw + c * s->taps + k, 1, sums + c, 1, peft_accumulates(node, WEIGHT));
    }
}

static void backward_strips(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                            const peft_thread *thread)
{
    (void)ctx;
    for (int64_t k = begin; k < end; k++) {
        strip s = open_strip(node, k, thread);
        if (node->din[X])
            convolve(&s, -1, node->dout->data, NULL, node->din[X]->data, peft_accumulates(node, X)); /* (2) */
        if (node->din[WEIGHT]) weight_gradient(node, &s);
    }
}

static int64_t strips_of(const peft_node *node)
{
    return (peft_columns(node->in[X]) + STRIP - 1) / STRIP;
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, strips_of(node), 1, forward_strips);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, strips_of(node), 1, backward_strips);
    bias_gradient(node, ctx);
}

static size_t thread_bytes(const peft_node *node, bool backward_pass)
{
    (void)backward_pass;
    return (size_t)peft_columns(node->in[WEIGHT]) * STRIP * sizeof(real);
}

const peft_kernel KERNEL(causal_conv) = {.forward = forward, .backward = backward, .thread_bytes = thread_bytes};
