/* ops/cpu/kernels/add.c
 *
 *     y = a + b        da (+)= dy        db (+)= dy, summed over what b was repeated for */
#include "ops/cpu/kernels/broadcast.h"

static reduction reduction_of(const peft_node *node)
{
    return reduction_to_b(node, NULL);
}

static inline vec sum(vec a, vec b)
{
    return a + b;
}

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    combine(sum, end - begin, element_of(node->in[A], begin), beside_a(node, begin, end),
            element_of(node->out[0], begin), false);
}

static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                              const peft_thread *thread)
{
    (void)ctx, (void)thread;
    pass_gradient(node, A, begin, end);
    if (!is_broadcast(node)) pass_gradient(node, B, begin, end);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->in[A]), PIECE, forward_elements);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->in[A]), PIECE, backward_elements);
    if (node->din[B] && is_broadcast(node)) reduce(node, ctx);
}

static bool same_size(const peft_node *node)
{
    return !is_broadcast(node);
}

static const peft_row_work by_rows[2] = {
    {.run = forward_elements, .elements = true, .inputs = PEFT_IN(A) | PEFT_IN(B), .allowed = same_size},
    {.run = backward_elements, .elements = true, .inputs = PEFT_IN(A) | PEFT_IN(B), .allowed = same_size}};

const peft_kernel KERNEL(add) = {
    .forward = forward, .backward = backward, .shared_bytes = shared_bytes, .by_rows = {&by_rows[0], &by_rows[1]}};
