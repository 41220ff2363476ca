/* peft/cli/runner/run_log.h - what the log of a run that goes on says: how far it is, and how good. */
#ifndef PEFT_CLI_RUNNER_RUN_LOG_H
#define PEFT_CLI_RUNNER_RUN_LOG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct peft_log_step {
    int64_t step;
    double epoch, loss;
} peft_log_step;

/* The last step that log.jsonl of `folder` has; false: it has none yet. */
bool peft_log_last_step(const char *folder, peft_log_step *step);

/* The scores of the split called `split`, first metric, over all evaluations: the last one and the largest. False:
 * there is none. */
bool peft_log_scores(const char *folder, const char *split, double *last, double *largest);

#endif
