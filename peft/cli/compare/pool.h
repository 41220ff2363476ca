/* peft/cli/compare/pool.h - the runs of a comparison, some of them side by side. */
#ifndef PEFT_CLI_COMPARE_POOL_H
#define PEFT_CLI_COMPARE_POOL_H

#include <stddef.h>

#include "peft/cli/compare/run.h"
#include "peft/cli/output.h"

typedef struct peft_pool {
    peft_compare_run *runs;
    size_t count;
    int64_t jobs; /* how many at once */
    peft_compare_how how;
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
size_t peft_runs_count(const peft_compare_run *runs, size_t count, peft_run_state state);

#endif
