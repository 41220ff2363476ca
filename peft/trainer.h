/* peft/trainer.h - one optimiser step after another: forward, backward, clipping, AdamW, the variant's own rule. */
#ifndef PEFT_PEFT_TRAINER_H
#define PEFT_PEFT_TRAINER_H

#include "ops/optimizer.h"
#include "peft/observations.h"
#include "peft/parameters.h"
#include "peft/train_options.h"
#include "tasks/tokens.h"

typedef struct peft_trainer {
    const peft_train_options *options;
    peft_context *ctx;
    peft_graph *g;
    peft_model *model;
    peft_adapters *adapters; /* NULL: only the head is trained */
    const peft_tokens *train;
    bool regression;
    peft_parameters parameters;
    peft_optimizer *optimizer;
    int64_t step, num_steps, warmup_steps, steps_per_epoch; /* `step` steps are done */
    uint32_t *order;                                        /* of the examples of epoch `order_epoch` */
    int64_t order_epoch;
    peft_batch_memory memory;
    peft_observations *observations; /* where they are written down; the caller's, NULL: nowhere */
} peft_trainer;

/* What happened in a step; a line of log.jsonl. */
typedef struct peft_step_record {
    int64_t step; /* from 1 */
    double epoch; /* passed when the step was done */
    double loss, learning_rate, grad_norm;
    int64_t examples, tokens;
} peft_step_record;

/* What is minimised: the loss of a batch as its share of the mean over `examples`, all that make up a step, and what
 * adapters add to it. */
typedef struct peft_loss_case {
    const peft_model *model;
    const peft_batch_memory *memory;
    const peft_train_options *options;
    bool regression;
    int64_t examples;
} peft_loss_case;

peft_tensor *peft_training_loss(peft_graph *g, const peft_loss_case *x);

/* All pointers stay the caller's and must outlive the trainer. `options` and `train` are read while training. */
peft_status peft_trainer_open(peft_trainer *trainer, const peft_train_options *options, peft_context *ctx,
                              peft_model *model, peft_adapters *adapters, const peft_tokens *train, bool regression,
                              peft_error *error);
void peft_trainer_close(peft_trainer *trainer);

/* One optimiser step. PEFT_ERR_NUMERIC where the loss or the gradient is not finite: nothing was changed then. */
peft_status peft_trainer_step(peft_trainer *trainer, peft_step_record *record, peft_error *error);

/* Bytes that batches of the whole run take at most, and the tokens of the largest. */
peft_status peft_trainer_plan(peft_trainer *trainer, size_t *bytes, int64_t *tokens, peft_error *error);

#endif
