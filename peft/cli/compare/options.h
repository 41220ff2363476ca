/* peft/cli/compare/options.h - the settings of `peft compare`: its own, and those that its runs have in common. */
#ifndef PEFT_CLI_COMPARE_OPTIONS_H
#define PEFT_CLI_COMPARE_OPTIONS_H

#include "peft/cli/arguments.h"
#include "peft/train.h"

typedef struct peft_compare_options {
    char *model, *output;
    json_t *tasks, *variants, *seeds, *learning_rates; /* lists, or what would stand in a list of one */
    json_t *budget;                                    /* "0.1%", or a number of parameters; NULL: sizes are given */
    int64_t jobs;
    bool yardsticks; /* with learning_rates or a budget: head, full and lora are compared, too */
    bool force, resume, dry_run;
    peft_data_options data;
    peft_target_options targets;
    peft_train_options train;
} peft_compare_options;

extern const peft_command_part peft_compare_parts[];

/* The settings that all runs have, as `peft train` knows them: all parts but the first. Returns how many sets. */
enum { PEFT_COMPARE_SHARED_SETS = 4 };
size_t peft_compare_shared_sets(peft_compare_options *options, peft_option_set sets[PEFT_COMPARE_SHARED_SETS]);

/* What the limits of single options cannot say. */
peft_status peft_compare_options_check(const peft_compare_options *options, peft_error *error);

/* Lists as --tasks and --config write them: none, one value, or an array. */
size_t peft_list_count(const json_t *list);
json_t *peft_list_at(json_t *list, size_t index); /* borrowed */

#endif
