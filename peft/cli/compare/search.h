/* peft/cli/compare/search.h - the learning rate of each task and variant, chosen on examples held out of train. */
#ifndef PEFT_CLI_COMPARE_SEARCH_H
#define PEFT_CLI_COMPARE_SEARCH_H

#include "peft/cli/compare/grid.h"
#include "peft/cli/output.h"

/* Trains every cell whose item names no rate itself with each of --learning-rates and the first seed, in
 * DIR/<task>/<label>/learning-rate-<rate>/, and takes the rate with the best score on the examples held out; of equals
 * the first. Where the runs keep their last step it is the score of the last, otherwise of the best step. The dev split
 * plays no part. A rate that fails (a loss that is not finite, for one) is out of the choice.
 *
 * PEFT_ERR_CANCELLED, PEFT_ERR_ARGUMENT (earlier runs with other settings), PEFT_ERR_MEMORY. */
peft_status peft_search_learning_rates(peft_grid *grid, peft_output *output, peft_error *error);

#endif
