/* ops/kernels/cast_bf16.c - y = x in bf16, or as float again: cast.c, for CPUs that round by themselves.
 *
 * What is kept for backward is more than caches hold, and nobody reads it soon: it goes to memory past them, so that
 * they keep what the next steps read, and its lines are not fetched first. */
#include <immintrin.h>

#include "ops/kernels/elementwise.h"
#include "ops/packed.h"

/* A float as its bits. */
typedef uint32_t float_bits __attribute__((may_alias));

enum { STEP = 2 * LANES, LINE = STEP * (int)sizeof(uint16_t) };

static inline uint32_t lanes_of(int64_t count)
{
    return count < STEP ? (1U << count) - 1U : UINT32_MAX;
}

/* The first STEP of `count` elements; what is missing is 0. */
static inline __m512i rounded(const float *x, int64_t count)
{
    uint32_t some = lanes_of(count);
    __m512 low = _mm512_maskz_loadu_ps((__mmask16)some, x);
    __m512 high = _mm512_maskz_loadu_ps((__mmask16)(some >> LANES), x + LANES);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

static void narrow(const float *x, uint16_t *y, int64_t count)
{
    bool aligned = (uintptr_t)y % LINE == 0;
    int64_t k = 0;
    for (; aligned && k + STEP <= count; k += STEP) _mm512_stream_si512((void *)(y + k), rounded(x + k, STEP));
    _mm_sfence(); /* other threads see it once they see that this one is done */
    for (; k < count; k += STEP) _mm512_mask_storeu_epi16(y + k, lanes_of(count - k), rounded(x + k, count - k));
}

static void widen(const uint16_t *x, float *y, int64_t count)
{
    float_bits *bits = (void *)y;
    for (int64_t k = 0; k < count; k++) bits[k] = (float_bits)x[k] << 16;
}

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)ctx, (void)scratch;
    const peft_tensor *x = node->in[0], *y = node->out[0];
    if (y->dtype == PEFT_BF16)
        narrow((const float *)x->data + begin, (uint16_t *)y->data + begin, end - begin);
    else
        widen((const uint16_t *)x->data + begin, (float *)y->data + begin, end - begin);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->out[0]), PIECE, forward_elements);
}

static const peft_row_work by_rows = {.run = forward_elements, .elements = true, .inputs = PEFT_IN(0)};

const peft_kernel KERNEL(cast) = {.forward = forward, .by_rows = {&by_rows, NULL}};
