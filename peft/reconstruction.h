/* peft/reconstruction.h - the objective of a generator that learns to make the adapters of a library.
 *
 * An example is a description: the vector of a text about a task, whose adapter the network is to emit. A task may have
 * several. */
#ifndef PEFT_PEFT_RECONSTRUCTION_H
#define PEFT_PEFT_RECONSTRUCTION_H

#include "generators/library.h"
#include "generators/t2l/loss.h"
#include "peft/objective.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All pointers are the caller's. */
typedef struct peft_reconstruction {
    const peft_t2l *net;
    const peft_library *library;
    peft_t2l_loss loss;
    int64_t num_descriptions;
    const float *vectors;  /* [num_descriptions, net->vector_size] */
    const uint32_t *tasks; /* [num_descriptions]: of which task; NULL: number k is about task k */

    /* Of the batch that was described last. */
    int64_t capacity, count, first;
    double normaliser;
    uint32_t *batch_tasks;
    float *batch_vectors, *targets;
} peft_reconstruction;

/* For the trainer, whose value set is net->set. PEFT_ERR_ARGUMENT: loss and network cannot work together, or a task
 * that the library does not have. Release with peft_reconstruction_free. */
PEFT_API peft_status peft_reconstruction_objective(peft_reconstruction *reconstruction, peft_objective *objective,
                                                   peft_error *error);
PEFT_API void peft_reconstruction_free(peft_reconstruction *reconstruction); /* what it holds of the batch */

#ifdef __cplusplus
}
#endif
#endif
