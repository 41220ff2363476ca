/* ops/cpu/kernels/reshape.c - forward has nothing to do: the result is a view. */
#include "ops/cpu/kernels/elementwise.h"

static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                              const peft_thread *thread)
{
    (void)ctx, (void)thread;
    pass_gradient(node, 0, begin, end);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->dout), PIECE, backward_elements);
}

const peft_kernel KERNEL(reshape) = {.backward = backward};
