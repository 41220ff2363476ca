/* peft/cli/job.h - the settings of a training run on the command line: train, plan and compare share them. */
#ifndef PEFT_CLI_JOB_H
#define PEFT_CLI_JOB_H

#include "peft/cli/arguments.h"
#include "peft/train.h"

typedef struct peft_job_options {
    char *model, *variant, *output;
    bool force, resume, dry_run;
    peft_data_options data;
    peft_target_options targets;
    peft_train_options train;
} peft_job_options;

/* The parts of peft_job_options, for peft_command.parts; and the table of its own fields. */
extern const peft_option peft_job_run_table[];
extern const peft_command_part peft_job_parts[];

/* What stands in for a variant where there is no adapter. */
typedef struct peft_yardstick {
    const char *name, *summary;
    bool all_weights;
} peft_yardstick;
enum { PEFT_NUM_YARDSTICKS = 2 };
extern const peft_yardstick peft_yardsticks[PEFT_NUM_YARDSTICKS];

/* The variants with their options, for peft_command.extension; the selector is "variant". */
bool peft_variant_extension(size_t index, peft_command_extension *extension);

/* Fills a job from parsed arguments. The pointers go into `options` and `arguments`; *settings is the caller's
 * (json_decref). */
peft_status peft_job_fill(peft_train_job *job, peft_job_options *options, const peft_arguments *arguments,
                          json_t **settings, peft_error *error);

#endif
