/* ops/cpu/kernels/first_pool.c
 *
 *     y_s = x_first(s)                                (1)
 *     dx_first(s) (+)= dy_s, the others 0             (2)
 *
 * x [T, columns], y [S, columns]. A few rows: one thread. */
#include "ops/cpu/kernels/kernel.h"

enum { X, STARTS };

/* (1) */
static void forward(const peft_node *node, peft_context *ctx)
{
    (void)ctx;
    int64_t columns = peft_columns(node->in[X]), sequences = peft_rows(node->out[0]);
    const int32_t *starts = node->in[STARTS]->data;
    const real *x = node->in[X]->data;
    real *y = node->out[0]->data;
    for (int64_t s = 0; s < sequences; s++)
        memcpy(y + s * columns, x + starts[s] * columns, (size_t)columns * sizeof *y);
}

/* (2) */
static void backward(const peft_node *node, peft_context *ctx)
{
    (void)ctx;
    int64_t columns = peft_columns(node->in[X]), sequences = peft_rows(node->out[0]);
    const int32_t *starts = node->in[STARTS]->data;
    const real *dy = node->dout->data;
    real *dx = node->din[X]->data;
    clear_unless_accumulated(node, X);
    for (int64_t s = 0; s < sequences; s++)
        for (int64_t c = 0; c < columns; c++) dx[starts[s] * columns + c] += dy[s * columns + c];
}

const peft_kernel KERNEL(first_pool) = {.forward = forward, .backward = backward};
