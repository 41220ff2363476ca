/* peft/cli/compare/summary_table.h - the table at the end of a comparison: a line for each task and variant. */
#ifndef PEFT_CLI_COMPARE_SUMMARY_TABLE_H
#define PEFT_CLI_COMPARE_SUMMARY_TABLE_H

#include "peft/cli/output.h"

/* `summary` as peft_compare_summary gives it. Of each task the metric that counts, as mean and standard deviation, the
 * best mean bold; then what it took. */
peft_status peft_compare_print(const json_t *summary, peft_output *output, peft_error *error);

#endif
