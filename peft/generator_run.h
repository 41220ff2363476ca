/* peft/generator_run.h - the steps of a generator's training, whatever its objective: folder, log, checkpoints. */
#ifndef PEFT_PEFT_GENERATOR_RUN_H
#define PEFT_PEFT_GENERATOR_RUN_H

#include "peft/checkpoint.h"
#include "peft/log.h"
#include "peft/progress.h"
#include "peft/run_folder.h"
#include "peft/train_options.h"
#include "peft/trainer.h"

typedef struct peft_generator_run {
    peft_trainer *trainer;
    const char *settings; /* all that the result depends on */
    peft_run_place place;
    peft_callback callback;
    int64_t checkpoint_every; /* 0: at the end */

    peft_run_folder folder;
    peft_progress_state state;
    peft_log *log;
    double loss; /* of the last step; NaN before it */
    int64_t saved_step;
} peft_generator_run;

/* For the settings, new objects that the caller owns: what the steps depend on, and XXH3 of the data. */
json_t *peft_generator_run_training(const peft_train_options *options);
json_t *peft_generator_run_hash(const void *data, size_t bytes);

/* Opens the folder and goes on from its checkpoint where that is asked for. Release with peft_generator_run_close. */
peft_status peft_generator_run_open(peft_generator_run *run, peft_error *error);
void peft_generator_run_close(peft_generator_run *run);

/* PEFT_ERR_CANCELLED: stopped by the callback, after a checkpoint. */
peft_status peft_generator_run_steps(peft_generator_run *run, peft_error *error);

#endif
