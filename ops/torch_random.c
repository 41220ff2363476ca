#include "ops/torch_random.h"

void peft_torch_seed(peft_torch_generator *g, uint64_t seed)
{
    g->state[0] = (uint32_t)seed;
    for (uint32_t k = 1; k < PEFT_TORCH_STATE; k++)
        g->state[k] = 1812433253U * (g->state[k - 1] ^ (g->state[k - 1] >> 30)) + k;
    g->used = PEFT_TORCH_STATE;
}

static void renew(peft_torch_generator *g)
{
    enum { FAR = 397 };
    const uint32_t upper = 0x80000000U, twist = 0x9908b0dfU;
    uint32_t *s = g->state;
    for (int k = 0; k < PEFT_TORCH_STATE; k++) {
        uint32_t next = s[(k + 1) % PEFT_TORCH_STATE], mixed = (s[k] & upper) | (next & ~upper);
        s[k] = s[(k + FAR) % PEFT_TORCH_STATE] ^ (mixed >> 1) ^ (mixed & 1 ? twist : 0);
    }
    g->used = 0;
}

uint32_t peft_torch_bits(peft_torch_generator *g)
{
    if (g->used == PEFT_TORCH_STATE) renew(g);
    uint32_t bits = g->state[g->used++];
    bits ^= bits >> 11;
    bits ^= (bits << 7) & 0x9d2c5680U;
    bits ^= (bits << 15) & 0xefc60000U;
    return bits ^ (bits >> 18);
}

/* 24 bits are a number in 0 ... 1; the ends and their difference are floats, the rest is double, rounded once. */
void peft_torch_uniform(peft_torch_generator *g, float *values, size_t count, double low, double high)
{
    const uint32_t mask = 0xffffff;
    float first = (float)low, width = (float)high - first;
    for (size_t k = 0; k < count; k++)
        values[k] = (float)((double)(peft_torch_bits(g) & mask) * 0x1p-24 * (double)width + (double)first);
}
