/* peft/task_mixture.h - the training examples of many tasks as one list, with what answers and descriptions each has:
 * what a generator learns from end to end. */
#ifndef PEFT_PEFT_TASK_MIXTURE_H
#define PEFT_PEFT_TASK_MIXTURE_H

#include "models/tokenizer.h"
#include "peft/answer_objective.h"
#include "peft/corpus.h"

/* The arrays are its own; tasks are numbered in the order of the list. */
typedef struct peft_task_mixture {
    peft_task_list list;
    int64_t num_tasks, max_answers, num_vectors;
    peft_tokens tokens;    /* of all tasks, one after another */
    int32_t *classes;      /* [examples] places in the example's answers */
    uint32_t *tasks;       /* [examples] */
    int32_t *answers;      /* [examples, max_answers] */
    float *vectors;        /* [num_vectors, hidden size] of all answers */
    int64_t *first_answer; /* [num_tasks + 1] rows of `vectors` */
} peft_task_mixture;

typedef struct peft_mixture_options {
    const char *task, *data; /* as --task and --data have them; a file stands for all of its tasks */
    int64_t max_length, max_train, seed;
    double answer_scale;
} peft_mixture_options;

/* `model` was opened with PEFT_MODEL_ANSWERS and has no adapters yet, which answers are not to be seen through.
 * PEFT_ERR_ARGUMENT: a task of numbers, or without descriptions. Release with peft_task_mixture_close, which takes a
 * struct of zeros too. */
peft_status peft_task_mixture_open(peft_task_mixture *mixture, const peft_mixture_options *options, peft_model *model,
                                   peft_context *ctx, const peft_tokenizer *tokenizer, peft_error *error);
void peft_task_mixture_close(peft_task_mixture *mixture);

/* The objective of all of it, without what binds adapters; release with peft_answer_objective_free. */
peft_answer_objective peft_task_mixture_objective(const peft_task_mixture *mixture, const peft_model *model);

#endif
