/* peft/cli/runner/train_run.h - a `peft train` as a process of its own: what is to be trained, in which folder, and how
 * far it is.
 *
 * Besides what `peft train` leaves there, the folder holds
 *
 *     settings.json   its settings, which `peft train --config` reads; resuming compares them
 *     messages.txt    what it said on stderr */
#ifndef PEFT_CLI_RUNNER_TRAIN_RUN_H
#define PEFT_CLI_RUNNER_TRAIN_RUN_H

#include <jansson.h>
#include <stdint.h>

#include "peft/cli/runner/child.h"

typedef enum peft_run_state {
    PEFT_RUN_WAITING,
    PEFT_RUN_STARTED,
    PEFT_RUN_STOPPED, /* by a signal, to be resumed */
    PEFT_RUN_FAILED,
    PEFT_RUN_DONE
} peft_run_state;

/* For the time that is left. */
typedef struct peft_run_clock {
    double began;        /* seconds, when its first step was seen; 0: not yet */
    int64_t first_steps; /* those done then */
    double looked;       /* when its scores were last looked at */
} peft_run_clock;

typedef struct peft_train_run {
    json_t *settings; /* object */
    char *folder;
    char *name; /* "wn-class lora-rank-8 seed 0", for people */
    peft_run_state state;
    char *message;              /* why it failed, else NULL */
    json_t *summary;            /* run.json of a run that is done, else NULL */
    int64_t steps, total_steps; /* 0: not known yet */
    double loss;                /* of the last step, NaN before it */
    double best;                /* score so far, of the part held out or else of dev; NaN before it */
    peft_run_clock clock;
    peft_child child;
} peft_train_run;

typedef struct peft_run_how {
    bool force, resume;
    int64_t threads; /* of each run */
} peft_run_how;

/* Takes over `settings`; copies the texts. */
peft_status peft_train_run_init(peft_train_run *run, json_t *settings, const char *folder, const char *name,
                                peft_error *error);
/* Takes a zeroed one too. A child must have ended. */
void peft_train_run_free(peft_train_run *run);

/* Looks into the folder before anything is started. With `resume`, a run that is finished becomes PEFT_RUN_DONE;
 * PEFT_ERR_ARGUMENT where the folder holds one with other settings, or of other data. */
peft_status peft_train_run_look(peft_train_run *run, const peft_run_how *how, peft_error *error);

/* Starts the child. Where that fails the run has failed, with the reason in its message. */
void peft_train_run_start(peft_train_run *run, const peft_run_how *how);

/* Looks at the child and at its log. Returns whether the run has just ended. */
bool peft_train_run_poll(peft_train_run *run);

/* "sst2 lora seed0  42 %, step 420/1000, loss 0.432, best 0.713, 0:46 left": for a started run, as far as it is known.
 */
enum { PEFT_RUN_LINE_BYTES = 256 };
void peft_train_run_line(const peft_train_run *run, double now, char line[PEFT_RUN_LINE_BYTES]);

/* Makes it a failed run. */
void peft_train_run_fail(peft_train_run *run, const char *message);

/* The word for results: "done", "failed", "stopped", "running", "not run". */
const char *peft_run_state_name(peft_run_state state);

#endif
