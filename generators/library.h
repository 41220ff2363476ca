/* generators/library.h - adapters of one shape, one for each task: what a generator learns to reconstruct. */
#ifndef PEFT_GENERATORS_LIBRARY_H
#define PEFT_GENERATORS_LIBRARY_H

#include "generators/t2l/t2l.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_library {
    const peft_places *places; /* borrowed */
    int64_t num_tasks, num_values;
    float *values; /* [num_tasks, num_values]: the trained values, as they lie in the adapters' memory */
} peft_library;

/* Zeros. Release with peft_library_free. */
PEFT_API peft_status peft_library_create(peft_library *library, const peft_places *places, int64_t num_tasks,
                                         peft_error *error);
PEFT_API void peft_library_free(peft_library *library); /* a struct of zeros is allowed */

/* The values that the adapters hold now become those of a task, and back. */
PEFT_API void peft_library_put(peft_library *library, int64_t task);
PEFT_API void peft_library_get(const peft_library *library, int64_t task);

/* Canonical factors (generators/canonical.h) for all. PEFT_ERR_ARGUMENT: the variant has no such. */
PEFT_API peft_status peft_library_canonical(peft_library *library, peft_error *error);

/* Mean and unbiased standard deviation of each element over the tasks, for z-scores. An element that does not vary
 * counts as if it varied by a millionth of the mean deviation. PEFT_ERR_ARGUMENT: fewer than two tasks, or nothing
 * varies. */
PEFT_API peft_status peft_library_statistics(const peft_library *library, const peft_t2l *t, peft_error *error);

/* Mean of all tasks, as values of the adapters. */
PEFT_API void peft_library_mean(const peft_library *library);

/* The values of a tensor for some tasks, in the order in which the network emits them: out [places x count of tasks,
 * elements]. */
PEFT_API void peft_library_gather(const peft_library *library, const peft_place_kind *kind,
                                  const peft_place_tensor *tensor, const uint32_t *tasks, int64_t count, float *out);

/* Cosine of two updates, summed over the layers, s = 1: tr((B A)^T B' A') over both norms. PEFT_ERR_ARGUMENT: no LoRA.
 */
PEFT_API peft_status peft_library_cosine(const peft_library *library, const float *first, const float *second,
                                         double *cosine, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
