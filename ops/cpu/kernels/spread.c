/* ops/cpu/kernels/spread.c
 *
 *     y_t = x_s for each token t of sequence s                (1)
 *     dx_s (+)= sum_{t in s} dy_t                             (2)
 *
 * x [S, columns], y [T, columns]. */
#include "ops/cpu/kernels/kernel.h"

enum { X, STARTS };
enum { SEQUENCES = 4 }; /* of a piece of work */

/* (1) */
static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t columns = peft_columns(node->in[X]);
    const int32_t *starts = node->in[STARTS]->data;
    for (int64_t s = begin; s < end; s++) {
        const real *x = (const real *)node->in[X]->data + s * columns;
        real *y = (real *)node->out[0]->data + starts[s] * columns;
        for (int64_t t = starts[s]; t < starts[s + 1]; t++, y += columns) memcpy(y, x, (size_t)columns * sizeof *y);
    }
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
        real *dx = (real *)node->din[X]->data + s * columns;
        const real *dy = (const real *)node->dout->data + starts[s] * columns;
        if (!add) memset(dx, 0, (size_t)columns * sizeof *dx);
        for (int64_t t = starts[s]; t < starts[s + 1]; t++, dy += columns)
            for (int64_t c = 0; c < columns; c++) dx[c] += dy[c];
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->in[X]), SEQUENCES, forward_rows);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->in[X]), SEQUENCES, backward_rows);
}

const peft_kernel KERNEL(spread) = {.forward = forward, .backward = backward};
