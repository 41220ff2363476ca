/* ops/cpu/kernels/mul.c
 *
 *     y = a b        da (+)= dy b        db (+)= dy a, summed over what b was repeated for */
#include "ops/cpu/kernels/broadcast.h"

static reduction reduction_of(const peft_node *node)
{
    return reduction_to_b(node, node->in[A]->data);
}

static inline vec product(vec a, vec b)
{
    return a * b;
}

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    combine(product, end - begin, element_of(node->in[A], begin), beside_a(node, begin, end),
            element_of(node->out[0], begin), false);
}

/* a may be b: then the second line adds to what the first has written. */
static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                              const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const real *dy = element_of(node->dout, begin);
    const repeated a = {element_of(node->in[A], begin), 0, end - begin};
    peft_tensor *da = node->din[A], *db = node->din[B];
    if (da)
        combine(product, end - begin, dy, beside_a(node, begin, end), element_of(da, begin), peft_accumulates(node, A));
    if (db && !is_broadcast(node))
        combine(product, end - begin, dy, a, element_of(db, begin), peft_accumulates(node, B));
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

const peft_kernel KERNEL(mul) = {.forward = forward, .backward = backward, .shared_bytes = shared_bytes};
