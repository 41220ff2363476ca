/* peft/session.h - everything that a training run opens, in the order in which it is opened. */
#ifndef PEFT_PEFT_SESSION_H
#define PEFT_PEFT_SESSION_H

#include "peft/inject.h"
#include "peft/label_names.h"
#include "peft/task_objective.h"
#include "peft/train.h"
#include "peft/trainer.h"

/* What opening it took, one stage after another. */
typedef struct peft_session_stage {
    const char *name; /* "model" */
    double seconds;
} peft_session_stage;

enum { PEFT_SESSION_STAGES = 9 };

typedef struct peft_session {
    const peft_train_job *job;
    bool is_made_up;     /* the examples do not come from files */
    int64_t full_length; /* of those that are made up */
    peft_session_stage stages[PEFT_SESSION_STAGES];
    peft_label_names base_names; /* what the model calls the classes of its head */
    peft_corpus corpus;
    peft_tokenizer *tokenizer;
    peft_tokens *train, *dev, *held_out; /* held_out NULL: nothing is chosen */
    peft_model *model;
    peft_adapters *adapters; /* NULL: the head alone is trained */
    peft_context *ctx;
    peft_value_set weights; /* of the model that are trained themselves: the head, and more */
    peft_task_objective task;
    peft_objective objective;
    peft_trainer trainer;
    json_t *fingerprints;     /* of model and data files */
    char *settings;           /* all that the result depends on, as text */
    size_t base_bytes;        /* of the process before the model and the data came */
    size_t calibration_bytes; /* that the start values took for a while */
} peft_session;

/* The message of whatever could not be opened. Release with peft_session_close, also after a failure. */
peft_status peft_session_open(peft_session *session, const peft_train_job *job, peft_error *error);

/* The same without data: the model gets batches of `batch_size` sequences that all have `length` arbitrary tokens;
 * 0: as many as options->max_length and the model allow. */
peft_status peft_session_open_full(peft_session *session, const peft_train_job *job, int64_t length, peft_error *error);

/* Tells the job's note function what the caller should know: to be called when nothing can fail any more that stands on
 * its input, since an error stands alone. */
void peft_session_notes(const peft_session *session);

/* What memory its training takes. */
peft_status peft_session_plan(peft_session *session, peft_plan *plan, peft_error *error);
void peft_session_close(peft_session *session);

#endif
