/* ops/cpu/kernels/mask.h - what dropout multiplies with: 0 with probability p, else 1 / (1 - p).
 *
 * The random bits are those of ops/rng.h: a key for each (seed, stream, step), a counter for each (columns, plane,
 * row). A counter gives eight numbers of 16 bits. MASK_COUNTERS neighbouring ones are computed side by side for a block
 * of MASK_COLUMNS columns of a row; column 32 v + 4 b + 2 u + h of these has the half h of word 2 v + u of counter b. p
 * is rounded to 1 / 65536. */
#ifndef PEFT_OPS_CPU_KERNELS_MASK_H
#define PEFT_OPS_CPU_KERNELS_MASK_H

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "ops/cpu/kernels/kernel.h"
#include "ops/rng.h"

enum { MASK_COUNTERS = 8, MASK_COLUMNS = 8 * MASK_COUNTERS };

typedef struct mask {
    uint64_t key;
    uint16_t threshold; /* a number below it is dropped */
    real scale;
} mask;

/* 0 < p < 1 */
static inline mask mask_of(const peft_context *ctx, double p, uint64_t stream)
{
    const double levels = 65536;
    double threshold = fmin(floor(p * levels + 0.5), levels - 1);
    return (mask){peft_random_u64(ctx->seed, stream, (uint64_t)ctx->step), (uint16_t)threshold,
                  (real)(levels / (levels - threshold))};
}

/* A counter word in the lower half of each lane; the upper halves do not count. */
typedef uint64_t words __attribute__((vector_size(VECTOR_BYTES)));
enum { WORD_LANES = VECTOR_BYTES / 8 };

static inline words same_words(uint64_t word)
{
    return word - (words){0};
}

/* 64-bit products of the lower halves: one instruction, which neither compiler finds by itself. */
static inline words multiply_words(words a, uint32_t factor)
{
#if defined(__AVX512F__)
    return (words)_mm512_mul_epu32((__m512i)a, (__m512i)same_words(factor));
#elif defined(__AVX2__)
    return (words)_mm256_mul_epu32((__m256i)a, (__m256i)same_words(factor));
#elif defined(__SSE2__)
    return (words)_mm_mul_epu32((__m128i)a, (__m128i)same_words(factor));
#else
    return (a & UINT32_MAX) * factor;
#endif
}

/* peft_philox in every lane of two sets of counters. */
ALWAYS_INLINE void philox_lanes(uint64_t key, words c[2][4])
{
    words k0 = same_words(key), k1 = same_words(key >> 32);
    for (int round = 0; round < PEFT_PHILOX_ROUNDS; round++, k0 += PEFT_PHILOX_W0, k1 += PEFT_PHILOX_W1)
        for (int i = 0; i < 2; i++) {
            words p0 = multiply_words(c[i][0], PEFT_PHILOX_M0), p1 = multiply_words(c[i][2], PEFT_PHILOX_M1);
            c[i][0] = (p1 >> 32) ^ c[i][1] ^ k0;
            c[i][1] = p1;
            c[i][2] = (p0 >> 32) ^ c[i][3] ^ k1;
            c[i][3] = p0;
        }
}

/* A block of columns of a row. `row` counts in the global batch; `plane` tells several masks of a row apart. */
typedef struct mask_block {
    uint64_t row;
    uint32_t plane, block;
} mask_block;

/* The random bits of two blocks: so many sums at once keep the CPU busy. */
static inline void mask_bits(uint64_t key, const mask_block at[2], uint16_t out[2 * MASK_COLUMNS])
{
    words lanes = {0}, c[2][4];
    for (uint32_t lane = 0; lane < WORD_LANES; lane++) lanes[lane] = lane;
    for (uint32_t b = 0; b < MASK_COUNTERS; b += WORD_LANES) {
        for (int i = 0; i < 2; i++) {
            c[i][0] = lanes + same_words(at[i].block * MASK_COUNTERS + b);
            c[i][1] = same_words(at[i].plane);
            c[i][2] = same_words(at[i].row);
            c[i][3] = same_words(at[i].row >> 32);
        }
        philox_lanes(key, c);
        for (int i = 0; i < 2; i++)
            for (int w = 0; w < 4; w += 2) {
                words both = (c[i][w] & UINT32_MAX) | (c[i][w + 1] << 32);
                memcpy(out + i * MASK_COLUMNS + 4 * (w / 2 * MASK_COUNTERS + b), &both, sizeof both);
            }
    }
}

/* The factors of two blocks */
static inline void mask_factors(const mask *m, const mask_block at[2], real out[2 * MASK_COLUMNS])
{
    uint16_t bits[2 * MASK_COLUMNS], threshold = m->threshold; /* a copy: compilers read *m in each turn of the loop */
    real scale = m->scale;
    mask_bits(m->key, at, bits);
    for (int j = 0; j < 2 * MASK_COLUMNS; j++) out[j] = bits[j] < threshold ? 0 : scale;
}

#endif
