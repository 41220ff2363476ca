/* peft/cli/plan_table.h - the plan of memory as people and programs read it: `peft plan` and --dry-run. */
#ifndef PEFT_CLI_PLAN_TABLE_H
#define PEFT_CLI_PLAN_TABLE_H

#include "peft/cli/output.h"
#include "peft/train.h"

/* {"lines": [{"name", "meaning", "bytes", "mapped"}], "total_bytes", ...}; NULL if memory runs out. */
json_t *peft_plan_json(const peft_plan *plan);

/* Plans what `job` will take and prints it. */
peft_status peft_plan_show(const peft_train_job *job, peft_output *output, peft_error *error);

#endif
