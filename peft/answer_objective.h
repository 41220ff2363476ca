/* peft/answer_objective.h - the objective of many tasks at once: each sequence has its own answers to be compared with,
 * and its own adapter where the caller binds one.
 *
 *     v_s = x_s / |x_s|     loss = sum over s of cross_entropy(v_s W_s^T, class_s) / normaliser
 *
 * The rows of W_s are the vectors of the answers of example s (models/answers.h). What trains may be adapters of the
 * model, or a generator whose tensors `bind` lets stand in for theirs (variants/tensors.h). */
#ifndef PEFT_PEFT_ANSWER_OBJECTIVE_H
#define PEFT_PEFT_ANSWER_OBJECTIVE_H

#include "models/answers.h"
#include "peft/objective.h"
#include "tasks/tokens.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All pointers stay the caller's. */
typedef struct peft_answer_objective {
    const peft_model *model;   /* with its adapters; no head of its own is read */
    const peft_tokens *tokens; /* of all examples; a class is a place in the example's answers */

    const float *vectors;   /* [num_vectors, hidden size]: the answers of all tasks (peft_answer_vectors) */
    const int32_t *answers; /* [num_examples, max_answers]: rows of `vectors`; -1: the example has no more */
    int64_t num_vectors, max_answers;
    double label_smoothing; /* share of the target spread over the example's answers */
    bool checkpoint_layers;

    /* Optional: called before the model is described, to bind what stands in for its values; batch->vectors and others
     * may be changed, too. */
    peft_status (*bind)(void *argument, peft_graph *g, const peft_examples *examples, peft_batch *batch,
                        peft_error *error);
    void *argument;

    peft_batch_memory memory; /* of the batch that was described last */
    int32_t *ids;             /* [count, max_answers] of its answers, */
    float *missing, *targets; /* what is added to logits of answers that are not there, and the wanted shares */
    int64_t capacity;
} peft_answer_objective;

/* For the trainer. PEFT_ERR_ARGUMENT: examples without classes, or one whose class or answers are not there. Release
 * with peft_answer_objective_free. */
PEFT_API peft_status peft_answer_objective_of(peft_answer_objective *x, peft_objective *objective, peft_error *error);
PEFT_API void peft_answer_objective_free(peft_answer_objective *x);

/* Describes the logits of some examples, [count, max_answers]; those of answers that are not there are far below all
 * others. `training`: dropout acts. */
PEFT_API peft_status peft_answer_objective_logits(peft_answer_objective *x, peft_graph *g,
                                                  const peft_examples *examples, bool training, peft_tensor **logits,
                                                  peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
