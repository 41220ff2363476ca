/* ops/cpu/kernels/elementwise.h - work on elements one by one, cut into pieces for the threads.
 *
 * The last elements, fewer than a vector holds, go through a padded vector. So an element gets the same instructions,
 * and the same bits, wherever the cuts fall. */
#ifndef PEFT_OPS_CPU_KERNELS_ELEMENTWISE_H
#define PEFT_OPS_CPU_KERNELS_ELEMENTWISE_H

#include "ops/bf16.h"
#include "ops/cpu/kernels/kernel.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

enum { PIECE = 16384 }; /* elements: a few microseconds of work, which is worth a thread */

/* Rows of this many columns that make a piece. */
static inline int64_t piece_rows(int64_t columns)
{
    return columns >= PIECE ? 1 : PIECE / (columns > 0 ? columns : 1);
}

/* The first `count` lanes, or as many as there are; the others hold `padding`. */
static inline vec load_some(const real *p, int64_t count, real padding)
{
    if (count >= LANES) return load(p);
    real lane[LANES];
    for (int i = 0; i < LANES; i++) lane[i] = i < count ? p[i] : padding;
    return load(lane);
}

static inline void store_some(real *p, int64_t count, vec v)
{
    if (count >= LANES)
        store(p, v);
    else
        memcpy(p, &v, (size_t)count * sizeof v[0]);
}

/* p = v, or p += v */
static inline void put_some(real *p, int64_t count, vec v, bool add)
{
    store_some(p, count, add ? load_some(p, count, 0) + v : v);
}

/* p = v in bf16 */
#if defined(__AVX512BF16__)
static inline void store_rounded(uint16_t *p, int64_t count, vec v)
{
    __mmask16 some = (__mmask16)(count < LANES ? (1U << count) - 1U : UINT16_MAX);
    _mm256_mask_storeu_epi16(p, some, (__m256i)_mm512_cvtneps_pbh((__m512)v));
}
#else
static inline void store_rounded(uint16_t *p, int64_t count, vec v)
{
    for (int64_t i = 0; i < count && i < LANES; i++) {
        float value = (float)v[i];
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        p[i] = peft_bf16_of_bits(bits);
    }
}
#endif

/* Where results go: floats, which may be added to, or bf16. */
typedef struct target {
    void *data;
    bool add, rounded;
} target;

/* The elements of a tensor from this one on. */
static inline target target_at(const peft_tensor *t, int64_t element, bool add)
{
    return (target){element_of(t, element), add, t->dtype == PEFT_BF16};
}

/* Elements from k on, `count` or a vector of them. */
static inline void put_at(target y, int64_t k, int64_t count, vec v)
{
    if (y.rounded)
        store_rounded((uint16_t *)y.data + k, count, v);
    else
        put_some((real *)y.data + k, count, v, y.add);
}

/* Elements of a tensor. */
static inline int64_t elements_of(const peft_tensor *t)
{
    return peft_shape_count(&t->shape);
}

#endif
