/* peft/cli/signals.h - Ctrl-C during long work: the first press asks for an orderly stop, the second stops at once.
 *
 * A verb that can stop in order calls peft_signals_watch before its work and peft_interrupted now and then (the
 * callback of the training cancels then, which saves a checkpoint). Other verbs simply end at the first press. */
#ifndef PEFT_CLI_SIGNALS_H
#define PEFT_CLI_SIGNALS_H

#include <stdbool.h>

enum { PEFT_EXIT_INTERRUPTED = 130 }; /* 128 + SIGINT, as shells count */

void peft_signals_watch(void);
bool peft_interrupted(void);

#endif
