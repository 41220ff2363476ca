/* ops/torch_random.h - the random numbers of PyTorch's CPU generator, where values have to be those that it draws from
 * a known seed. Everything else uses ops/rng.h. */
#ifndef PEFT_OPS_TORCH_RANDOM_H
#define PEFT_OPS_TORCH_RANDOM_H

#include <stddef.h>
#include <stdint.h>

enum { PEFT_TORCH_STATE = 624 };

/* MT19937 (Matsumoto and Nishimura 1998). */
typedef struct peft_torch_generator {
    uint32_t state[PEFT_TORCH_STATE];
    int used; /* words of the state that were given out */
} peft_torch_generator;

/* torch.Generator().manual_seed(seed), of which the lower 32 bits count */
void peft_torch_seed(peft_torch_generator *generator, uint64_t seed);

/* The next 32 bits. */
uint32_t peft_torch_bits(peft_torch_generator *generator);

/* torch.empty(count).uniform_(low, high, generator=generator), to the bit */
void peft_torch_uniform(peft_torch_generator *generator, float *values, size_t count, double low, double high);

#endif
