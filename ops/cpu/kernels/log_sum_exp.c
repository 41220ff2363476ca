/* ops/cpu/kernels/log_sum_exp.c
 *
 *     y = log sum_c e^x_c                             (1)
 *     dx_c (+)= dy e^(x_c - y)                        (2)
 *
 * for each row. */
#include "ops/cpu/kernels/row.h"

/* (1) */
static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t columns = peft_columns(node->in[0]);
    const real *x = node->in[0]->data;
    real *y = node->out[0]->data;
    for (int64_t t = begin; t < end; t++) exp_row(columns, 1, x + t * columns, NULL, &y[t]);
}

/* (2) */
static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t columns = peft_columns(node->in[0]);
    bool add = peft_accumulates(node, 0);
    const real *dy = node->dout->data, *y = node->out[0]->data;
    for (int64_t t = begin; t < end; t++) {
        const real *x = (const real *)node->in[0]->data + t * columns;
        real *dx = (real *)node->din[0]->data + t * columns;
        for (int64_t c = 0; c < columns; c += LANES)
            put_some(dx + c, columns - c, dy[t] * vec_exp(load_some(x + c, columns - c, NOTHING) - y[t]), add);
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->in[0]), piece_rows(peft_columns(node->in[0])), forward_rows);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->in[0]), piece_rows(peft_columns(node->in[0])), backward_rows);
}

const peft_kernel KERNEL(log_sum_exp) = {.forward = forward, .backward = backward};
