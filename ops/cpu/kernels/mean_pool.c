/* ops/cpu/kernels/mean_pool.c
 *
 *     y_s = 1 / n_s sum_t x_t                         (1)
 *     dx_t (+)= dy_s / n_s                            (2)
 *
 * over the first n_s tokens t of sequence s: all of them, or as many as `counts` says; x [T, columns], y [S, columns].
 */
#include "ops/cpu/kernels/kernel.h"

enum { X, STARTS, COUNTS };
enum { SEQUENCES = 4 }; /* of a piece of work */

static int64_t count_of(const peft_node *node, int64_t s)
{
    const int32_t *starts = node->in[STARTS]->data;
    return node->in[COUNTS] ? ((const int32_t *)node->in[COUNTS]->data)[s] : starts[s + 1] - starts[s];
}

/* (1) */
static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t columns = peft_columns(node->in[X]);
    const int32_t *starts = node->in[STARTS]->data;
    for (int64_t s = begin; s < end; s++) {
        const real *x = (const real *)node->in[X]->data + starts[s] * columns;
        real *y = (real *)node->out[0]->data + s * columns;
        int64_t count = count_of(node, s);
        real factor = 1 / (real)count;
        memset(y, 0, (size_t)columns * sizeof *y);
        for (int64_t t = 0; t < count; t++, x += columns)
            for (int64_t c = 0; c < columns; c++) y[c] += x[c];
        for (int64_t c = 0; c < columns; c++) y[c] *= factor;
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->out[0]), SEQUENCES, forward_rows);
}

/* (2) */
static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t columns = peft_columns(node->in[X]);
    const int32_t *starts = node->in[STARTS]->data;
    bool add = peft_accumulates(node, X);
    for (int64_t s = begin; s < end; s++) {
        const real *dy = (const real *)node->dout->data + s * columns;
        real *dx = (real *)node->din[X]->data + starts[s] * columns;
        int64_t count = count_of(node, s), length = starts[s + 1] - starts[s];
        for (int64_t t = 0; t < length; t++, dx += columns) {
            real factor = t < count ? 1 / (real)count : 0;
            for (int64_t c = 0; c < columns; c++) dx[c] = (add ? dx[c] : 0) + factor * dy[c];
        }
    }
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->out[0]), SEQUENCES, backward_rows);
}

const peft_kernel KERNEL(mean_pool) = {.forward = forward, .backward = backward};
