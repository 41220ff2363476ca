/* ops/cpu/team.h - threads that share the pieces of one loop after another.
 *
 * Loops follow each other within microseconds, so a thread without work looks for the next loop some times, giving its
 * core to whoever wants it, and then sleeps: on a machine that is busy with something else it does not spin away the
 * time that the other threads need. */
#ifndef PEFT_OPS_CPU_TEAM_H
#define PEFT_OPS_CPU_TEAM_H

#include <stdint.h>

#include "ops/status.h"

typedef struct peft_team peft_team;

/* Piece 0 ... pieces - 1 of a loop, on thread 0 ... threads - 1. */
typedef void peft_team_function(void *argument, int64_t piece, int thread);

/* `threads` >= 1 counts the caller. PEFT_ERR_MEMORY: the system gives no more threads. */
peft_status peft_team_open(peft_team **team, int threads, peft_error *error);
void peft_team_close(peft_team *team); /* NULL is allowed */

/* Runs all pieces, in any order, each once, and returns when the last is done. One caller at a time. */
void peft_team_run(peft_team *team, int64_t pieces, peft_team_function *run, void *argument);

#endif
