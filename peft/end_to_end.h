/* peft/end_to_end.h - training a generator by what its adapters do: the loss of a batch flows through the emitted
 * tensors, one adapter for each sequence.
 *
 *     loss = answer loss (peft/answer_objective.h) + regulariser * sum over kinds and tensors of the mean of X^2
 *
 * Each sequence has a description of its task, one of several that is drawn anew in each step. What is emitted for a
 * description serves all sequences of the batch that have it. */
#ifndef PEFT_PEFT_END_TO_END_H
#define PEFT_PEFT_END_TO_END_H

#include "generators/t2l/t2l.h"
#include "peft/answer_objective.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All pointers are the caller's. */
typedef struct peft_end_to_end {
    const peft_t2l *net;   /* whose adapters are on the model */
    const float *vectors;  /* of all descriptions, [first[num_tasks], net->vector_size] */
    const uint32_t *first; /* [num_tasks + 1]: where the descriptions of a task begin */
    const uint32_t *tasks; /* [examples] of which task each is */
    uint64_t seed;         /* of the draws */
    double regulariser;

    /* Of the batch that was described last: [capacity] each, and the vectors of the descriptions in it. */
    int64_t capacity, num_descriptions;
    uint32_t *drawn;
    int32_t *places;
    float *batch_vectors;
} peft_end_to_end;

/* Sets bind and argument of an answer objective. Release with peft_end_to_end_free. */
PEFT_API void peft_end_to_end_attach(peft_end_to_end *x, peft_answer_objective *objective);
PEFT_API void peft_end_to_end_free(peft_end_to_end *x); /* what it holds of the batch */

#ifdef __cplusplus
}
#endif
#endif
