/* ops/cpu/kernels/running_average.c
 *
 *     s += share (x - s)     y = s
 *
 * s is a state (ops/state.h): the next run finds it as this one leaves it. There is no gradient. */
#include "ops/cpu/kernels/elementwise.h"

enum { STATE, X };

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const real share = (real) * (const double *)node->attributes;
    const real *x = node->in[X]->data;
    real *s = node->in[STATE]->data, *y = node->out[0]->data;
    for (int64_t k = begin; k < end; k++) y[k] = s[k] += share * (x[k] - s[k]);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->out[0]), PIECE, forward_elements);
}

const peft_kernel KERNEL(running_average) = {.forward = forward};
