/* peft/log.h - log.jsonl of a run folder: a line a step, a line an evaluation.
 *
 *     {"step": 12, "epoch": 0.1, "loss": 0.68, "learning_rate": 1e-4, "grad_norm": 1.2, "tokens": 912, "seconds": 0.2}
 *     {"step": 115, "split": "dev", "metrics": {"accuracy": 0.71}} */
#ifndef PEFT_PEFT_LOG_H
#define PEFT_PEFT_LOG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ops/status.h"

typedef struct peft_log peft_log;

/* Opens for appending. What an earlier run wrote about steps after `step` is cut off: those are done again; and so is
 * the evaluation of `step` where `evaluates` says so. */
peft_status peft_log_open(peft_log **log, const char *path, int64_t step, bool evaluates, peft_error *error);

/* Writes `line` and releases it. NULL: PEFT_ERR_MEMORY. The line is with the system before this returns. */
peft_status peft_log_write(peft_log *log, json_t *line, peft_error *error);
void peft_log_close(peft_log *log); /* NULL is allowed */

#endif
