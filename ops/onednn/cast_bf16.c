/* ops/onednn/cast_bf16.c - y = x in bf16, or as float again: cast.c, for CPUs that round by themselves.
 *
 * What is kept for backward is more than caches hold, and nobody reads it soon: it goes to memory past them, so that
 * they keep what the next steps read, and its lines are not fetched first. */
#include "ops/bf16.h"
#include "ops/cpu/kernels/elementwise.h"
#include "ops/onednn/pairs.h"

enum { LINE = STEP * (int)sizeof(uint16_t) };

static void narrow(const real *x, uint16_t *y, int64_t count)
{
    bool aligned = (uintptr_t)y % LINE == 0;
    int64_t k = 0;
    for (; aligned && k + STEP <= count; k += STEP) _mm512_stream_ps((void *)(y + k), pair_of_row(STEP, x + k));
    _mm_sfence(); /* other threads see it once they see that this one is done */
    for (; k < count; k += STEP)
        _mm512_mask_storeu_epi16(y + k, some_halves(count - k), (__m512i)pair_of_row(count - k, x + k));
}

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const peft_tensor *x = node->in[0], *y = node->out[0];
    if (y->dtype == PEFT_BF16)
        narrow(element_of(x, begin), element_of(y, begin), end - begin);
    else
        peft_bf16_to_float(element_of(x, begin), element_of(y, begin), end - begin);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->out[0]), PIECE, forward_elements);
}

static const peft_row_work by_rows = {.run = forward_elements, .elements = true, .inputs = PEFT_IN(0)};

const peft_kernel KERNEL(cast) = {
    .forward = forward, .by_rows = {&by_rows, NULL}, .takes_bf16 = PEFT_IN(0), .gives_bf16 = PEFT_OUT(0)};
