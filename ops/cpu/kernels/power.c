/* ops/cpu/kernels/power.c
 *
 *     y = x^p        dx (+)= p x^(p - 1) dy,   0 where x = 0 and p < 1
 *
 * Roots and reciprocals are correctly rounded. */
#include "ops/cpu/kernels/elementwise.h"

static real power_of(const peft_node *node)
{
    return (real) * (const double *)node->attributes;
}

static inline real power(real x, real p)
{
    return p == (real)0.5 ? REAL(sqrt)(x) : p == -1 ? 1 / x : REAL(pow)(x, p);
}

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const real *x = node->in[0]->data;
    real *y = node->out[0]->data, p = power_of(node);
    for (int64_t k = begin; k < end; k++) y[k] = power(x[k], p);
}

static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                              const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const real *x = node->in[0]->data, *dy = node->dout->data;
    real *dx = node->din[0]->data, p = power_of(node);
    bool add = peft_accumulates(node, 0);
    for (int64_t k = begin; k < end; k++) {
        real slope = p < 1 && x[k] <= 0 ? 0 : p * power(x[k], p - 1);
        dx[k] = (add ? dx[k] : 0) + slope * dy[k];
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->out[0]), PIECE, forward_elements);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->dout), PIECE, backward_elements);
}

const peft_kernel KERNEL(power) = {.forward = forward, .backward = backward};
