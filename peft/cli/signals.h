/* peft/cli/signals.h - Ctrl-C (SIGINT), the end of a job (SIGTERM) and of a connection (SIGHUP).
 *
 * The program watches them from its start: they end it at once with exit code 128 + signal, as shells count. Work that
 * has something to save calls peft_signals_defer: from then on the first signal is only remembered, and asks for an
 * orderly stop; a second Ctrl-C still ends the program at once. A signal that was ignored at the start, as nohup does,
 * stays ignored. */
#ifndef PEFT_CLI_SIGNALS_H
#define PEFT_CLI_SIGNALS_H

#include <stdbool.h>

void peft_signals_watch(void);
void peft_signals_defer(void);

/* The signal that came first, 0: none. */
int peft_interrupted(void);

/* Is it one of those that are watched? */
bool peft_is_watched_signal(int signal_number);

/* 128 + the signal that came; of SIGINT where none did, as when a caller stops the work for its own reasons. */
int peft_interrupted_exit_code(void);

#endif
