/* ops/kernels/cast.c - y = x in another type: float rounded to bf16, to the nearest, ties to even, or bf16 as float.
 * Differentiation puts it where activations are kept in bf16; it is never differentiated itself. */
#include "ops/kernels/elementwise.h"

/* A float as its bits. */
typedef uint32_t float_bits __attribute__((may_alias));

/* bf16 is the upper half of a float. A NaN stays one, also where only lower bits of it are set. */
static inline uint16_t round_to_bf16(float_bits bits)
{
    uint32_t rounded = (bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16, quiet = bits >> 16 | 0x40U;
    return (uint16_t)((bits & INT32_MAX) > 0x7F800000U ? quiet : rounded);
}

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)ctx, (void)scratch;
    const peft_tensor *x = node->in[0], *y = node->out[0];
    if (y->dtype == PEFT_BF16) {
        const float_bits *from = x->data;
        uint16_t *to = y->data;
        for (int64_t k = begin; k < end; k++) to[k] = round_to_bf16(from[k]);
    } else {
        const uint16_t *from = x->data;
        float_bits *to = y->data;
        for (int64_t k = begin; k < end; k++) to[k] = (float_bits)from[k] << 16;
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->out[0]), PIECE, forward_elements);
}

static const peft_row_work by_rows = {.run = forward_elements, .elements = true, .inputs = PEFT_IN(0)};

const peft_kernel KERNEL(cast) = {.forward = forward, .by_rows = {&by_rows, NULL}};
