/* ops/rng.h - random numbers that are a function of where they are used, not of when.
 *
 * There is no generator with a state. A number is Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy
 * as 1, 2, 3") of a counter, under a key:
 *
 *     draws of a stream   key: seed      counter: draw (64 bits), stream (64 bits)
 *     dropout masks       key: peft_random_u64(seed, stream, optimiser step)
 *                         counter: block of columns, plane (attention's head; else 0), row in the global batch (64
 * bits)
 *
 * A mask is thus a function of (seed, stream, step, row, column) alone. Neither the number of threads, nor how a batch
 * is cut into micro-batches or spread over machines, nor computing a layer twice changes it. */
#ifndef PEFT_OPS_RNG_H
#define PEFT_OPS_RNG_H

#include <stddef.h>
#include <stdint.h>

#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Constants of Philox4x32: multipliers of a round, what is added to the key's halves after it, number of rounds. */
#define PEFT_PHILOX_M0 0xD2511F53U
#define PEFT_PHILOX_M1 0xCD9E8D57U
#define PEFT_PHILOX_W0 0x9E3779B9U
#define PEFT_PHILOX_W1 0xBB67AE85U
enum { PEFT_PHILOX_ROUNDS = 10 };

/* 128 random bits. `out` may be `counter`. */
PEFT_API void peft_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4]);

/* The stream that belongs to a name ("lora_A of model.layers.0.q_proj"): its 64-bit hash (XXH3). */
PEFT_API uint64_t peft_stream(const char *name);

/* Number `draw` of a stream: 64 random bits. */
PEFT_API uint64_t peft_random_u64(uint64_t seed, uint64_t stream, uint64_t draw);

/* Fill `out` with independent numbers; element i is draw i of the stream, whatever `count` is. Uniform in low ... high,
 * and normal with this mean and standard deviation, both rounded from double. */
PEFT_API void peft_random_uniform(float *out, size_t count, double low, double high, uint64_t seed, uint64_t stream);
PEFT_API void peft_random_normal(float *out, size_t count, double mean, double sd, uint64_t seed, uint64_t stream);

/* `out` becomes 0 ... count - 1 in a random order, each order as probable as any other. */
PEFT_API void peft_random_permutation(uint32_t *out, uint32_t count, uint64_t seed, uint64_t stream);

#ifdef __cplusplus
}
#endif
#endif
