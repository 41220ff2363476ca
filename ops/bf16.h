/* ops/bf16.h - bf16 is the upper half of a float. */
#ifndef PEFT_OPS_BF16_H
#define PEFT_OPS_BF16_H

#include <stdint.h>

/* A float as its bits. */
typedef uint32_t peft_float_bits __attribute__((may_alias));

/* The bits of a float without the lowest `cut`, to the nearest. Adding just below half of what is cut off, and one more
 * where the last kept bit is odd, rounds ties to even. */
static inline uint32_t peft_cut_bits(uint32_t bits, int cut)
{
    return (bits + (1U << (cut - 1)) - 1 + (bits >> cut & 1U)) >> cut;
}

/* A NaN stays one, also where only lower bits of it are set. */
static inline uint16_t peft_bf16_of_bits(uint32_t bits)
{
    enum { CUT = 16 };
    const uint32_t size = 0x7FFFFFFFU, infinity = 0x7F800000U, quiet = 0x40U;
    return (uint16_t)((bits & size) > infinity ? bits >> CUT | quiet : peft_cut_bits(bits, CUT));
}

static inline void peft_bf16_to_float(const uint16_t *from, float *to, int64_t count)
{
    peft_float_bits *bits = (void *)to;
    for (int64_t k = 0; k < count; k++) bits[k] = (peft_float_bits)from[k] << 16;
}

#endif
