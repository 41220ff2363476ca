/* ops/cpu/kernels/cast.c - y = x in another type: float rounded to bf16, to the nearest, ties to even, or bf16 as
 * float. Differentiation puts it where activations are kept in bf16; it is never differentiated itself. */
#include "ops/bf16.h"
#include "ops/cpu/kernels/elementwise.h"

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const peft_tensor *x = node->in[0], *y = node->out[0];
    if (y->dtype == PEFT_BF16) {
        const peft_float_bits *from = element_of(x, begin);
        uint16_t *to = element_of(y, begin);
        for (int64_t k = 0; k < end - begin; k++) to[k] = peft_bf16_of_bits(from[k]);
    } else
        peft_bf16_to_float(element_of(x, begin), element_of(y, begin), end - begin);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->out[0]), PIECE, forward_elements);
}

static const peft_row_work by_rows = {.run = forward_elements, .elements = true, .inputs = PEFT_IN(0)};

const peft_kernel KERNEL(cast) = {
    .forward = forward, .by_rows = {&by_rows, NULL}, .takes_bf16 = PEFT_IN(0), .gives_bf16 = PEFT_OUT(0)};
