/* peft/cli/compare/differences.h - each variant of a comparison beside each other one: differences, tests, a sentence.
 *
 * Runs of the same seed are paired; the metric is the first of the task. All pairs of a task are read together, and
 * corrected together (peft/statistics/comparison.h). */
#ifndef PEFT_CLI_COMPARE_DIFFERENCES_H
#define PEFT_CLI_COMPARE_DIFFERENCES_H

#include "peft/cli/compare/grid.h"
#include "peft/cli/output.h"

/* A row for each task and pair of variants with a seed in common that is done, an array of objects (json_decref). Says
 * where predictions cannot be read.
 *
 *     task metric variant beside n difference standard_deviation interval_low interval_high p comparisons p_corrected
 *     examples p_examples detectable_difference verdict conclusion
 *
 * The difference is that of `variant` less `beside`. PEFT_ERR_MEMORY. */
peft_status peft_compare_differences(const peft_grid *grid, peft_output *output, json_t **rows, peft_error *error);

/* The rows as differences.csv in the output folder. */
peft_status peft_compare_save_differences(const peft_grid *grid, const json_t *rows, peft_error *error);

/* The conclusions, those that show a difference first; of many others only how many they are. */
void peft_compare_print_conclusions(const json_t *rows, FILE *out);

#endif
