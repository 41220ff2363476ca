/* peft/cli/runner/child.h - one training run as a process of its own, so that its crash ends nothing else and its peak
 * of memory is its own. */
#ifndef PEFT_CLI_RUNNER_CHILD_H
#define PEFT_CLI_RUNNER_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "ops/status.h"

typedef struct peft_child {
    pid_t pid;     /* 0: none runs */
    int exit_code; /* once it has ended; -1: ended by a signal */
    int signal;    /* which then, else 0 */
} peft_child;

/* Runs this same program with `words` behind its name (NULL at the end). Its messages go to the file `messages`, which
 * is replaced; what it prints goes nowhere. Ctrl-C of the terminal does not reach it, only peft_child_stop does;
 * and it is killed when this process ends, however that happens. */
peft_status peft_child_start(peft_child *child, const char *const *words, const char *messages, peft_error *error);

/* Has it ended? Returns at once. */
bool peft_child_ended(peft_child *child);

void peft_child_stop(const peft_child *child, int signal_number); /* it saves a checkpoint and stops */

#endif
