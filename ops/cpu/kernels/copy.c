/* ops/cpu/kernels/copy.c - y = x. Differentiation puts it where two gradients can share their memory no longer; it is
 * never differentiated itself. */
#include "ops/cpu/kernels/elementwise.h"

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    memcpy(element_of(node->out[0], begin), element_of(node->in[0], begin), (size_t)(end - begin) * sizeof(real));
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->out[0]), PIECE, forward_elements);
}

static const peft_row_work by_rows = {.run = forward_elements, .elements = true, .inputs = PEFT_IN(0)};

const peft_kernel KERNEL(copy) = {.forward = forward, .by_rows = {&by_rows, NULL}};
