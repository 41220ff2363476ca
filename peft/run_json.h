/* peft/run_json.h - run.json: what a run was and what came out. */
#ifndef PEFT_PEFT_RUN_JSON_H
#define PEFT_PEFT_RUN_JSON_H

#include "peft/checkpoint.h"
#include "peft/evaluate.h"
#include "peft/session.h"

/* {"accuracy": 0.71, "f1": 0.8}; NULL: out of memory */
json_t *peft_scores_json(const peft_scores *scores);

/* `scores` NULL: nothing to evaluate on. */
peft_status peft_run_json(const peft_session *session, const peft_progress_state *state, const peft_scores *scores,
                          json_t **summary, peft_error *error);

/* Is what was read from a file what the above writes? Older ones may lack a part. PEFT_ERR_FORMAT names `where`, the
 * key and what stands there: numbers that are no counts, metrics that are no numbers. */
peft_status peft_run_json_check(const json_t *run, const char *where, peft_error *error);

#endif
