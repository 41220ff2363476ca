/* peft/train.h - a training run from files to files: what `peft train` and examples/02_train.c do. */
#ifndef PEFT_PEFT_TRAIN_H
#define PEFT_PEFT_TRAIN_H

#include "peft/corpus.h"
#include "peft/progress.h"
#include "peft/target.h"
#include "peft/train_options.h"
#include "variants/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What to train, and where the result goes. All pointers stay the caller's. */
typedef struct peft_train_job {
    const char *model;  /* folder */
    const char *output; /* folder of the run; made where it does not exist */
    bool force;         /* start anew in a folder that holds something */
    bool resume;        /* go on from its checkpoint where it has one; not with force */
    int64_t threads;    /* 0: as many as there are processors */
    peft_train_options *train;
    peft_data_options *data;
    peft_target_options *targets;
    const peft_variant *variant; /* NULL: no adapter; the head is trained, and modules_to_save */
    bool all_weights;            /* and with it all of the model: full fine-tuning */
    const void *variant_options;
    const json_t *settings; /* an object with all settings, for run.json; may be NULL */
    peft_callback callback;
    /* What the caller should know and is no error: examples that were cut, a head that starts anew. May be NULL. */
    peft_note_function *note;
    void *note_argument;
} peft_train_job;

/* Trains, evaluates, and leaves in the output folder:
 *
 *     adapter_config.json adapter_model.safetensors   the adapter and the head, as Hugging Face PEFT has them; or with
 *                                                     all_weights a whole model (peft/model_folder.h)
 *     run.json                                        settings, metrics, costs, versions, fingerprints
 *     log.jsonl                                       a line for each step and evaluation (peft/log.h)
 *     predictions.safetensors                         what it answers on dev (peft/predictions.h)
 *     checkpoint/                                     what resuming needs; stays after the end
 *
 * While it runs it holds a lock on the folder, which ends with the process. The callback is asked before every step,
 * after the last, and during evaluations; events are called "train".
 *
 * *summary is the content of run.json (json_decref). PEFT_ERR_CANCELLED: stopped by the callback, after a checkpoint.
 * PEFT_ERR_NUMERIC: the loss or a parameter was not finite; a checkpoint that there is holds none of it.
 * PEFT_ERR_ARGUMENT, before anything is computed or written: the folder holds something and neither force nor resume is
 * given, resume and it is no run, or it is the model's own. PEFT_ERR_WRITE: another process is at work in it, or the
 * disk is full; then all files are what they were, and resume goes on. */
PEFT_API peft_status peft_train(const peft_train_job *job, json_t **summary, peft_error *error);

/* What memory the run will take; nothing is trained and nothing is written. */
typedef struct peft_plan_line {
    const char *name, *meaning;
    size_t bytes;
    bool mapped; /* pages of files, which the system may drop: not counted in the total */
} peft_plan_line;

enum { PEFT_PLAN_LINES = 10 };

typedef struct peft_plan {
    peft_plan_line lines[PEFT_PLAN_LINES];
    int num_lines;
    size_t total;
    int64_t trained, adapter_parameters; /* floats */
    int64_t steps, largest_batch_tokens;
} peft_plan;

PEFT_API peft_status peft_train_plan(const peft_train_job *job, peft_plan *plan, peft_error *error);

/* The same without data, for `sequences` examples of two classes that all have options->max_length tokens (or as many
 * as the model takes), 0: one batch of them. */
PEFT_API peft_status peft_train_plan_full(const peft_train_job *job, int64_t sequences, peft_plan *plan,
                                          peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
