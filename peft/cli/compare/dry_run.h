/* peft/cli/compare/dry_run.h - how many runs a comparison has, and how long they will take. */
#ifndef PEFT_CLI_COMPARE_DRY_RUN_H
#define PEFT_CLI_COMPARE_DRY_RUN_H

#include "peft/cli/compare/grid.h"
#include "peft/cli/output.h"

/* Starts a run of each cell elsewhere, watches some steps of it, and ends it; nothing is written into the output
 * folder. An evaluation is taken to cost a third of a step for as many examples. Prints a table, or with --json a
 * document:
 *
 *     runs search_runs hours cells [{task variant runs steps seconds message}]
 *
 * PEFT_ERR_CANCELLED, PEFT_ERR_WRITE (no temporary folder), PEFT_ERR_MEMORY. A run that fails is named with its reason.
 */
peft_status peft_compare_dry_run(const peft_grid *grid, peft_output *output, peft_error *error);

#endif
