/* ops/cpu/kernels/jitter.c
 *
 *     y = f x        dx (+)= f dy,        f = 1 + spread (2 (b + 1/2) / 65536 - 1)
 *
 * with the 16 random bits b of ops/cpu/kernels/mask.h, computed again in backward. */
#include "ops/cpu/kernels/elementwise.h"
#include "ops/cpu/kernels/mask.h"
#include "ops/describe/dropout.h"

static void apply(const peft_node *node, const peft_context *ctx, int64_t begin, int64_t end, const real *x, real *y,
                  bool add)
{
    const peft_jitter_attributes *a = node->attributes;
    enum { WIDTH = 2 * MASK_COLUMNS };
    const double levels = 65536;
    const real step = (real)(2 * a->spread / levels), lowest = (real)(1 - a->spread + a->spread / levels);
    uint64_t key = peft_random_u64(ctx->seed, a->stream, (uint64_t)ctx->step);
    int64_t columns = peft_columns(node->out[0]);
    for (int64_t t = begin; t < end; t++)
        for (int64_t c = 0; c < columns; c += WIDTH) {
            uint16_t bits[WIDTH];
            const real *from = x + t * columns + c;
            real *to = y + t * columns + c;
            int64_t count = columns - c < WIDTH ? columns - c : WIDTH;
            uint64_t row = (uint64_t)(a->first_row + t);
            uint32_t block = (uint32_t)(c / MASK_COLUMNS);
            mask_bits(key, (mask_block[2]){{row, 0, block}, {row, 0, block + 1}}, bits);
            for (int64_t j = 0; j < count; j++) to[j] = (add ? to[j] : 0) + (lowest + step * (real)bits[j]) * from[j];
        }
}

static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)thread;
    apply(node, ctx, begin, end, node->in[0]->data, node->out[0]->data, false);
}

static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)thread;
    apply(node, ctx, begin, end, node->dout->data, node->din[0]->data, peft_accumulates(node, 0));
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->out[0]), piece_rows(peft_columns(node->out[0])), forward_rows);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->dout), piece_rows(peft_columns(node->dout)), backward_rows);
}

const peft_kernel KERNEL(jitter) = {.forward = forward, .backward = backward};
