/* peft/cli/compare/results.h - what came out of the runs, as rows: results.csv and summary.csv, and the same as JSON.
 */
#ifndef PEFT_CLI_COMPARE_RESULTS_H
#define PEFT_CLI_COMPARE_RESULTS_H

#include "peft/cli/compare/grid.h"

/* A row a run, an array of objects; NULL: out of memory.
 *
 *     task variant seed metrics {accuracy: ...} trainable_parameters peak_memory_bytes train_seconds tokens_per_second
 *     learning_rate one_answer status message folder
 *
 * one_answer: the run gives one class to every example, and has learned nothing beyond that. */
json_t *peft_compare_results(const peft_grid *grid);

/* A row for each task, variant and metric, over the runs that are done (n); the first metric of a task is the one that
 * counts. Parameters and memory are the largest of the runs, seconds their mean; one_answer is how many of the runs
 * give one class to every example: they are in the mean.
 *
 *     task variant metric n one_answer mean standard_deviation interval_low interval_high trainable_parameters
 *     peak_memory_bytes train_seconds learning_rate learning_rate_chosen_on reported_on */
json_t *peft_compare_summary(const peft_grid *grid);

/* NaN and infinity have no place in JSON: null, an empty field in CSV. */
json_t *peft_compare_number(double value);

/* Both as files in the output folder. */
peft_status peft_compare_save(const peft_grid *grid, peft_error *error);

#endif
