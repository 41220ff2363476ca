/* ops/cpu/kernels/scale.c
 *
 *     y = f x        dx (+)= f dy */
#include "ops/cpu/kernels/elementwise.h"

static vec factor_of(const peft_node *node)
{
    return broadcast((real) * (const double *)node->attributes);
}

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const real *x = element_of(node->in[0], begin);
    real *y = element_of(node->out[0], begin);
    vec factor = factor_of(node);
    int64_t count = end - begin;
    for (int64_t k = 0; k < count; k += LANES) store_some(y + k, count - k, factor * load_some(x + k, count - k, 0));
}

static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                              const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const real *dy = element_of(node->dout, begin);
    real *dx = element_of(node->din[0], begin);
    vec factor = factor_of(node);
    bool add = peft_accumulates(node, 0);
    int64_t count = end - begin;
    for (int64_t k = 0; k < count; k += LANES)
        put_some(dx + k, count - k, factor * load_some(dy + k, count - k, 0), add);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->out[0]), PIECE, forward_elements);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->dout), PIECE, backward_elements);
}

static const peft_row_work by_rows[2] = {{.run = forward_elements, .elements = true, .inputs = PEFT_IN(0)},
                                         {.run = backward_elements, .elements = true, .inputs = PEFT_IN(0)}};

const peft_kernel KERNEL(scale) = {.forward = forward, .backward = backward, .by_rows = {&by_rows[0], &by_rows[1]}};
