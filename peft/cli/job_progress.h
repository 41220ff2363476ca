/* peft/cli/job_progress.h - what a training run shows while it goes on: a bar, notes, and Ctrl-C that stops it. */
#ifndef PEFT_CLI_JOB_PROGRESS_H
#define PEFT_CLI_JOB_PROGRESS_H

#include "peft/cli/progress.h"
#include "peft/train.h"

typedef struct peft_job_progress {
    peft_output *output;
    peft_progress bar;
    const char *what; /* the phase that the bar shows; NULL: none yet */
    double loss;      /* running mean, NaN before the first */
    bool saves;       /* a stop leaves a checkpoint, from the first report on */
} peft_job_progress;

/* Sets the job's callback and notes: from its first report on, signals stop it in order. `progress` must outlive the
 * job.
 */
void peft_job_progress_attach(peft_job_progress *progress, peft_output *output, peft_train_job *job);
void peft_job_progress_finish(peft_job_progress *progress);

/* For other long calls. */
peft_callback peft_job_progress_callback(peft_job_progress *progress, peft_output *output);

#endif
