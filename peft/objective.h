/* peft/objective.h - what is minimised: the loss of some examples, and what it is divided by.
 *
 * A step of training takes the next examples of the epoch's order, in one batch or in several whose gradients add up:
 *
 *     loss of a step = sum over its examples of their losses / sum over its examples of what they count
 *
 * so that it does not matter how a step is cut into batches. */
#ifndef PEFT_PEFT_OBJECTIVE_H
#define PEFT_PEFT_OBJECTIVE_H

#include "ops/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Some of the examples of one step: what one graph computes. */
typedef struct peft_examples {
    const uint32_t *rows; /* [count]: their numbers, from 0 to num_examples - 1 */
    int64_t count;
    int64_t first_example, first_token; /* how much of its step comes before it: where random numbers go on */
    double normaliser;                  /* of the whole step: the sum of what its examples count */
    int64_t step;                       /* so many were done before: what else is drawn for it depends on this */
} peft_examples;

/* NULL marks an optional entry. `argument` is handed to each function; all is the caller's and outlives the trainer. */
typedef struct peft_objective {
    int64_t num_examples; /* of an epoch */

    /* Describes the batch's share of the loss: *loss [1], a sum over its examples divided by batch->normaliser. With
     * losses that formulas add on their way it ends in peft_graph_total_loss (ops/side.h). What is observed on the way
     * is written down. Errors of the graph need not be asked for. */
    peft_status (*describe)(void *argument, peft_graph *g, const peft_examples *batch, peft_tensor **loss,
                            peft_error *error);

    /* Optional: puts the numbers of this batch into the memory of the leaves that were described last, and says true:
     * the same graph is run again. False: the batch differs in more than that and is described anew. */
    bool (*refill)(void *argument, const peft_examples *batch);

    /* Optional: tokens of an example, by which the batch is found that takes most memory; 1. */
    int64_t (*tokens)(const void *argument, uint32_t example);
    /* Optional: what it counts in the step's mean, such as the targets of a loss for each token; 1. */
    double (*counts)(const void *argument, uint32_t example);

    void *argument;
} peft_objective;

#ifdef __cplusplus
}
#endif
#endif
