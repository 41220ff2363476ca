#include "ops/rng.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

void peft_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < PEFT_PHILOX_ROUNDS; round++, k0 += PEFT_PHILOX_W0, k1 += PEFT_PHILOX_W1) {
        uint64_t p0 = (uint64_t)PEFT_PHILOX_M0 * c0, p1 = (uint64_t)PEFT_PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint64_t peft_stream(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

/* The two 64-bit halves of a draw. */
static void draw_pair(uint64_t seed, uint64_t stream, uint64_t draw, uint64_t pair[2])
{
    uint32_t words[4] = {(uint32_t)draw, (uint32_t)(draw >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)};
    peft_philox(seed, words, words);
    pair[0] = words[0] | (uint64_t)words[1] << 32;
    pair[1] = words[2] | (uint64_t)words[3] << 32;
}

uint64_t peft_random_u64(uint64_t seed, uint64_t stream, uint64_t draw)
{
    uint64_t pair[2];
    draw_pair(seed, stream, draw, pair);
    return pair[0];
}

/* In 0 <= u < 1: all multiples of 2^-53. */
static double unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

void peft_random_uniform(float *out, size_t count, double low, double high, uint64_t seed, uint64_t stream)
{
    for (size_t i = 0; i < count; i++) out[i] = (float)(low + (high - low) * unit(peft_random_u64(seed, stream, i)));
}

/* Box and Muller 1958: radius and angle of a point of the plane; its first coordinate. */
void peft_random_normal(float *out, size_t count, double mean, double sd, uint64_t seed, uint64_t stream)
{
    const double turn = 6.283185307179586;
    for (size_t i = 0; i < count; i++) {
        uint64_t pair[2];
        draw_pair(seed, stream, i, pair);
        double radius = sqrt(-2 * log(1 - unit(pair[0])));
        out[i] = (float)(mean + sd * radius * cos(turn * unit(pair[1])));
    }
}

/* 0 ... bound - 1. The lowest 2^64 mod bound values are drawn again: what is left divides evenly. */
static uint64_t draw_below(uint64_t bound, uint64_t seed, uint64_t stream, uint64_t *draw)
{
    uint64_t uneven = (UINT64_MAX - bound + 1) % bound, bits;
    do bits = peft_random_u64(seed, stream, (*draw)++);
    while (bits < uneven);
    return bits % bound;
}

/* Fisher and Yates: the last of those left changes places with any of them. */
void peft_random_permutation(uint32_t *out, uint32_t count, uint64_t seed, uint64_t stream)
{
    uint64_t draw = 0;
    for (uint32_t i = 0; i < count; i++) out[i] = i;
    for (uint32_t left = count; left > 1; left--) {
        uint32_t other = (uint32_t)draw_below(left, seed, stream, &draw);
        uint32_t last = out[left - 1];
        out[left - 1] = out[other];
        out[other] = last;
    }
}
