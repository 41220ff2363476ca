/* ops/cpu/kernels/entropy.c
 *
 *     y = -sum_c p_c log p_c                          (1)
 *     dp_c (+)= -dy (1 + log p_c)                     (2)
 *
 * for each row, in double; inside the logarithm p is at least 1e-9, so that a probability of 0 has a slope. */
#include "ops/cpu/kernels/elementwise.h"

static double log_of(real p)
{
    const double smallest = 1e-9;
    return log((double)p > smallest ? (double)p : smallest);
}

/* (1) */
static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t columns = peft_columns(node->in[0]);
    const real *p = (const real *)node->in[0]->data + begin * columns;
    real *y = node->out[0]->data;
    for (int64_t t = begin; t < end; t++, p += columns) {
        double sum = 0;
        for (int64_t c = 0; c < columns; c++) sum -= (double)p[c] * log_of(p[c]);
        y[t] = (real)sum;
    }
}

/* (2) */
static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t columns = peft_columns(node->in[0]);
    bool add = peft_accumulates(node, 0);
    const real *p = node->in[0]->data, *dy = node->dout->data;
    real *dp = node->din[0]->data;
    for (int64_t k = begin * columns; k < end * columns; k++)
        dp[k] = (real)((add ? (double)dp[k] : 0) - (double)dy[k / columns] * (1 + log_of(p[k])));
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->in[0]), piece_rows(peft_columns(node->in[0])), forward_rows);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->in[0]), piece_rows(peft_columns(node->in[0])), backward_rows);
}

const peft_kernel KERNEL(entropy) = {.forward = forward, .backward = backward};
