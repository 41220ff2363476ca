/* ops/cpu/kernels/dropout.c
 *
 *     y = m x        dx (+)= m dy
 *
 * m is a mask of ops/cpu/kernels/mask.h, computed again in backward. */
#include "ops/describe/dropout.h"
#include "ops/cpu/kernels/elementwise.h"
#include "ops/cpu/kernels/mask.h"

/* x and y begin with row `begin`. */
static void apply_mask(const peft_node *node, const peft_context *ctx, int64_t begin, int64_t end, const real *x,
                       target y)
{
    /* The mask's arithmetic is long; meanwhile the CPU does not look ahead itself. */
    enum { WIDTH = 2 * MASK_COLUMNS, AHEAD = 4 * WIDTH };
    const peft_dropout_attributes *a = node->attributes;
    mask m = mask_of(ctx, a->p, a->stream);
    int64_t columns = peft_columns(node->out[0]);
    for (int64_t t = begin; t < end; t++)
        for (int64_t c = 0; c < columns; c += WIDTH) {
            real factors[WIDTH];
            const real *from = x + (t - begin) * columns + c;
            int64_t count = columns - c < WIDTH ? columns - c : WIDTH;
            for (int64_t j = 0; j < count; j += LANES) __builtin_prefetch(from + AHEAD + j);
            uint64_t row = a->same_rows ? 0 : (uint64_t)(a->first_row + t);
            uint32_t block = a->same_columns ? 0 : (uint32_t)(c / MASK_COLUMNS);
            mask_factors(&m, (mask_block[2]){{row, 0, block}, {row, 0, block + 1}}, factors);
            for (int j = 1; a->same_columns && j < WIDTH; j++) factors[j] = factors[0];
            for (int64_t j = 0; j < count; j += LANES)
                put_at(y, (t - begin) * columns + c + j, count - j,
                       load(factors + j) * load_some(from + j, count - j, 0));
        }
}

static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)thread;
    int64_t first = begin * peft_columns(node->out[0]);
    apply_mask(node, ctx, begin, end, row_of(node->in[0], begin), target_at(node->out[0], first, false));
}

static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)thread;
    int64_t first = begin * peft_columns(node->out[0]);
    const target dx = target_at(node->din[0], first, peft_accumulates(node, 0));
    apply_mask(node, ctx, begin, end, row_of(node->dout, begin), dx);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->out[0]), piece_rows(peft_columns(node->out[0])), forward_rows);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->dout), piece_rows(peft_columns(node->dout)), backward_rows);
}

static const peft_row_work by_rows[2] = {{.run = forward_rows, .inputs = PEFT_IN(0)},
                                         {.run = backward_rows, .inputs = PEFT_IN(0)}};

const peft_kernel KERNEL(dropout) = {
    .forward = forward, .backward = backward, .by_rows = {&by_rows[0], &by_rows[1]}, .gives_bf16 = PEFT_IN(0)};
