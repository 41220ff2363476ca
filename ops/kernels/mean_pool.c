/* ops/kernels/mean_pool.c
 *
 *     y_s = 1 / n_s sum_{t in s} x_t                  (1)
 *     dx_t (+)= dy_s / n_s                            (2)
 *
 * x [T, columns], y [S, columns], n_s tokens in sequence s. */
#include "ops/kernels/kernel.h"

enum { X, STARTS };
enum { SEQUENCES = 4 }; /* of a piece of work */

/* (1) */
static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)ctx, (void)scratch;
    int64_t columns = peft_columns(node->in[X]);
    const int32_t *starts = node->in[STARTS]->data;
    const real *x = node->in[X]->data;
    for (int64_t s = begin; s < end; s++) {
        real *y = (real *)node->out[0]->data + s * columns;
        real factor = 1 / (real)(starts[s + 1] - starts[s]);
        memset(y, 0, (size_t)columns * sizeof *y);
        for (int64_t t = starts[s]; t < starts[s + 1]; t++)
            for (int64_t c = 0; c < columns; c++) y[c] += x[t * columns + c];
        for (int64_t c = 0; c < columns; c++) y[c] *= factor;
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->out[0]), SEQUENCES, forward_rows);
}

/* (2) */
static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)ctx, (void)scratch;
    int64_t columns = peft_columns(node->in[X]);
    const int32_t *starts = node->in[STARTS]->data;
    real *dx = node->din[X]->data;
    bool add = peft_accumulates(node, X);
    for (int64_t s = begin; s < end; s++) {
        const real *dy = (const real *)node->dout->data + s * columns;
        real factor = 1 / (real)(starts[s + 1] - starts[s]);
        for (int64_t t = starts[s]; t < starts[s + 1]; t++)
            for (int64_t c = 0; c < columns; c++)
                dx[t * columns + c] = (add ? dx[t * columns + c] : 0) + factor * dy[c];
    }
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->out[0]), SEQUENCES, backward_rows);
}

const peft_kernel KERNEL(mean_pool) = {.forward = forward, .backward = backward};
