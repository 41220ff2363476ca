/* ops/cpu/kernels/shift.c
 *
 *     y = x + c        dx (+)= dy */
#include "ops/cpu/kernels/elementwise.h"

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const real *x = node->in[0]->data;
    real *y = node->out[0]->data;
    vec offset = broadcast((real) * (const double *)node->attributes);
    for (int64_t k = begin; k < end; k += LANES) store_some(y + k, end - k, load_some(x + k, end - k, 0) + offset);
}

static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                              const peft_thread *thread)
{
    (void)ctx, (void)thread;
    pass_gradient(node, 0, begin, end);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->out[0]), PIECE, forward_elements);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->dout), PIECE, backward_elements);
}

const peft_kernel KERNEL(shift) = {.forward = forward, .backward = backward};
