/* ops/cpu/kernels/softmax.c
 *
 *     y_c = e^(x_c - m) / sum_j e^(x_j - m), m = max_j x_j           (1)
 *     dx_c (+)= y_c (dy_c - sum_j y_j dy_j)                          (2)
 *
 * for each row. */
#include "ops/cpu/kernels/row.h"

/* (1) */
static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t columns = peft_columns(node->in[0]);
    for (int64_t t = begin; t < end; t++) {
        const real *x = (const real *)node->in[0]->data + t * columns;
        real *y = (real *)node->out[0]->data + t * columns;
        real log_sum, scale = 1 / exp_row(columns, 1, x, y, &log_sum);
        for (int64_t c = 0; c < columns; c += LANES)
            store_some(y + c, columns - c, load_some(y + c, columns - c, 0) * scale);
    }
}

/* (2) */
static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t columns = peft_columns(node->out[0]);
    bool add = peft_accumulates(node, 0);
    for (int64_t t = begin; t < end; t++) {
        const real *y = (const real *)node->out[0]->data + t * columns;
        const real *dy = (const real *)node->dout->data + t * columns;
        real *dx = (real *)node->din[0]->data + t * columns;
        vec sum = broadcast(0);
        for (int64_t c = 0; c < columns; c += LANES)
            sum += load_some(y + c, columns - c, 0) * load_some(dy + c, columns - c, 0);
        real product = sum_lanes(sum);
        for (int64_t c = 0; c < columns; c += LANES) {
            vec d = load_some(y + c, columns - c, 0) * (load_some(dy + c, columns - c, 0) - product);
            put_some(dx + c, columns - c, d, add);
        }
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->out[0]), piece_rows(peft_columns(node->out[0])), forward_rows);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->dout), piece_rows(peft_columns(node->dout)), backward_rows);
}

const peft_kernel KERNEL(softmax) = {.forward = forward, .backward = backward};
