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

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)ctx, (void)scratch;
    combine(product, node->in[A]->data, node->in[B]->data, elements_of(node->in[B]), node->out[0]->data, false, begin,
            end);
}

/* a may be b: then the second line adds to what the first has written. */
static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)ctx, (void)scratch;
    const real *dy = node->dout->data, *a = node->in[A]->data, *b = node->in[B]->data;
    peft_tensor *da = node->din[A], *db = node->din[B];
    if (da) combine(product, dy, b, elements_of(node->in[B]), da->data, peft_accumulates(node, A), begin, end);
    if (db && !is_broadcast(node))
        combine(product, dy, a, elements_of(node->in[A]), db->data, peft_accumulates(node, B), begin, end);
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
