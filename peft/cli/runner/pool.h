/* peft/cli/runner/pool.h - many runs, some of them side by side: those of a comparison, of a library of adapters.
 *
 * Each is a process of its own, so that one that dies ends nothing else. On a terminal each that goes on has a line. */
#ifndef PEFT_CLI_RUNNER_POOL_H
#define PEFT_CLI_RUNNER_POOL_H

#include <stddef.h>

#include "peft/cli/output.h"
#include "peft/cli/runner/train_run.h"

typedef struct peft_pool {
    peft_train_run *runs;
    size_t count;
    int64_t jobs; /* how many at once */
    peft_run_how how;
    const char *label; /* of the progress bar */
    peft_output *output;
    /* Called whenever a run has ended; may be NULL. */
    peft_status (*ended)(void *argument, peft_error *error);
    void *argument;
} peft_pool;

/* Runs all that wait; those that fail leave the others alone and are reported as messages. The first signal
 * (peft/cli/signals.h) is passed on: PEFT_ERR_CANCELLED then, when all children have saved their checkpoints and ended.
 */
peft_status peft_pool_run(const peft_pool *pool, peft_error *error);

/* How many are in a state. */
size_t peft_runs_count(const peft_train_run *runs, size_t count, peft_run_state state);

#endif
