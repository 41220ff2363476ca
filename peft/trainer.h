/* peft/trainer.h - one optimiser step after another, of any value sets and any objective: forward, backward, clipping,
 * AdamW, the sets' own rules.
 *
 *     const peft_value_set *sets[] = {&net};
 *     peft_trainer_open(&trainer, &options, ctx, sets, 1, &objective, &error);
 *     while (trainer.step < trainer.num_steps) peft_trainer_step(&trainer, &record, &error);
 *
 * peft/checkpoint.h saves it between two steps, and goes on to the same bits. `peft train` is one user of it, with
 * adapters, a model's head and peft/task_objective.h; examples/03_generate.c is another. */
#ifndef PEFT_PEFT_TRAINER_H
#define PEFT_PEFT_TRAINER_H

#include "peft/objective.h"
#include "peft/parameters.h"
#include "peft/train_options.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_trainer {
    const peft_train_options *options;
    peft_context *ctx;
    peft_graph *g;
    const peft_value_set **sets;
    int64_t num_sets;
    const peft_objective *objective;
    peft_parameters parameters;
    peft_optimizer *optimizer;
    int64_t step, num_steps, warmup_steps, steps_per_epoch; /* `step` steps are done */
    uint32_t *order;                                        /* of the examples of epoch `order_epoch` */
    int64_t order_epoch;
    peft_tensor *loss;                      /* of the graph that was described last; NULL: g is free */
    struct peft_observations *observations; /* where they are written down; the caller's, NULL: nowhere */
} peft_trainer;

/* What happened in a step; a line of log.jsonl. */
typedef struct peft_step_record {
    int64_t step; /* from 1 */
    double epoch; /* passed when the step was done */
    double loss, learning_rate, grad_norm;
    int64_t examples, tokens;
} peft_step_record;

/* All pointers stay the caller's and must outlive the trainer; the list of sets is copied. Of `options` it reads steps,
 * epochs, batches, rates, schedule, decay, clipping and the seed of the order. PEFT_ERR_ARGUMENT: no examples, no value
 * to train, or a set has no place in so many steps. */
PEFT_API peft_status peft_trainer_open(peft_trainer *trainer, const peft_train_options *options, peft_context *ctx,
                                       const peft_value_set *const *sets, int64_t num_sets,
                                       const peft_objective *objective, peft_error *error);
PEFT_API void peft_trainer_close(peft_trainer *trainer);

/* One optimiser step. PEFT_ERR_NUMERIC where the loss or the gradient is not finite: nothing was changed then. */
PEFT_API peft_status peft_trainer_step(peft_trainer *trainer, peft_step_record *record, peft_error *error);

/* Bytes that batches of the whole run take at most, and the tokens of the largest. */
PEFT_API peft_status peft_trainer_plan(peft_trainer *trainer, size_t *bytes, int64_t *tokens, peft_error *error);

/* Its graph, empty, for other work between two steps, which then takes no memory of its own. */
PEFT_API peft_graph *peft_trainer_graph(peft_trainer *trainer);

#ifdef __cplusplus
}
#endif
#endif
