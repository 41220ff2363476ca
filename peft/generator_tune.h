/* peft/generator_tune.h - training a generator end to end: from files to files (peft/end_to_end.h). */
#ifndef PEFT_PEFT_GENERATOR_TUNE_H
#define PEFT_PEFT_GENERATOR_TUNE_H

#include "peft/progress.h"
#include "peft/task_mixture.h"
#include "peft/train_options.h"

/* All pointers are the caller's. */
typedef struct peft_tune_job {
    const char *from;  /* folder of the generator that training starts from */
    const char *model; /* folder of its base */
    const char *output;
    bool force, resume;
    const peft_mixture_options *tasks;
    const peft_train_options *train;
    double regulariser;
    const char *encoder;   /* of the descriptions; or NULL */
    const float *vectors;  /* of all descriptions, task after task, */
    const uint32_t *first; /* [tasks + 1] and where those of each begin */
    int64_t num_tasks, vector_size;
    int64_t threads;
    peft_callback callback;
} peft_tune_job;

/* Trains, and leaves what peft_generator_train leaves; the summary has no cosines. PEFT_ERR_ARGUMENT: the generator was
 * made for another base, or reads vectors of another size. */
peft_status peft_generator_tune(const peft_tune_job *job, json_t **summary, peft_error *error);

#endif
