/* peft/cli/folder.h - the folder that a verb writes. */
#ifndef PEFT_CLI_FOLDER_H
#define PEFT_CLI_FOLDER_H

#include <stdbool.h>

#include "ops/status.h"

/* PEFT_ERR_ARGUMENT: `output` holds something and `force` is not given, or it is one of the folders `sources` (ends
 * with NULL), which would be written over. Nothing is made. */
peft_status peft_folder_check_output(const char *output, bool force, const char *const *sources, peft_error *error);

#endif
