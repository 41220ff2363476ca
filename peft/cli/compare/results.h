/* peft/cli/compare/results.h - what came out of the runs, as rows: results.csv and summary.csv, and the same as JSON.
 */
#ifndef PEFT_CLI_COMPARE_RESULTS_H
#define PEFT_CLI_COMPARE_RESULTS_H

#include "peft/cli/compare/grid.h"

/* A row a run, an array of objects; NULL: out of memory.
 *
 *     task variant seed metrics {accuracy: ...} trainable_parameters peak_memory_bytes train_seconds tokens_per_second
 *     learning_rate status message folder */
json_t *peft_compare_results(const peft_grid *grid);

/* A row for each task, variant and metric, over the runs that are done (n); the first metric of a task is the one that
 * counts. Parameters and memory are the largest of the runs, seconds their mean.
 *
 *     task variant metric n mean standard_deviation interval_low interval_high trainable_parameters peak_memory_bytes
 *     train_seconds learning_rate learning_rate_chosen_on reported_on */
json_t *peft_compare_summary(const peft_grid *grid);

/* Both as files in the output folder. */
peft_status peft_compare_save(const peft_grid *grid, peft_error *error);

#endif
