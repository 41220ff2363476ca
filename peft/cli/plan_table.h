/* peft/cli/plan_table.h - the plan of memory as people and programs read it: `peft plan` and --dry-run. */
#ifndef PEFT_CLI_PLAN_TABLE_H
#define PEFT_CLI_PLAN_TABLE_H

#include "peft/cli/output.h"
#include "peft/train.h"

peft_status peft_plan_print(const peft_plan *plan, peft_output *output, peft_error *error);

#endif
