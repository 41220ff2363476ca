/* peft/task_objective.h - the objective of `peft train`: the answers of a model's head for labelled texts. */
#ifndef PEFT_PEFT_TASK_OBJECTIVE_H
#define PEFT_PEFT_TASK_OBJECTIVE_H

#include "peft/objective.h"
#include "peft/train_options.h"
#include "tasks/tokens.h"

/* All pointers stay the caller's. */
typedef struct peft_task_objective {
    const peft_model *model; /* with its adapters */
    const peft_train_options *options;
    const peft_tokens *tokens;
    bool regression;
    peft_batch_memory memory; /* of the batch that was described last */
} peft_task_objective;

/* For the trainer. Release with peft_batch_memory_free(&objective->memory). */
peft_objective peft_task_objective_of(peft_task_objective *objective);

/* The loss of the batch in x->memory: cross-entropy or squared error, divided by `normaliser`, and what adapters add to
 * it. */
peft_tensor *peft_task_loss(peft_graph *g, const peft_task_objective *x, double normaliser);

#endif
