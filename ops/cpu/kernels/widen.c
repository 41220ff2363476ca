/* ops/cpu/kernels/widen.c - y = W, a frozen weight that is stored otherwise as floats (ops/stored.h). The graph puts it
 * in front of ops that do not read it as it is; it has no gradient. */
#include "ops/cpu/kernels/stored.h"

static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    read_rows(node->in[0], begin, end - begin, row_of(node->out[0], begin));
}

static void forward(const peft_node *node, peft_context *ctx)
{
    enum { GRAIN = 64 };
    peft_for_rows(node, ctx, peft_rows(node->in[0]), GRAIN, forward_rows);
}

const peft_kernel KERNEL(widen) = {.forward = forward};
