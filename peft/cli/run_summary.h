/* peft/cli/run_summary.h - run.json in a few lines, for people. */
#ifndef PEFT_CLI_RUN_SUMMARY_H
#define PEFT_CLI_RUN_SUMMARY_H

#include <jansson.h>
#include <stdio.h>

void peft_run_summary_print(const json_t *summary, FILE *out);

#endif
