/* peft/output_folder.h - may a folder be written into? Whatever stands there is somebody's work. */
#ifndef PEFT_PEFT_OUTPUT_FOLDER_H
#define PEFT_PEFT_OUTPUT_FOLDER_H

#include <stdbool.h>

#include "ops/status.h"

/* Ends with NULL: folders and files that are read. PEFT_ERR_ARGUMENT, whatever the caller would force: `output` is one
 * of the folders, by any path; PEFT_ERR_WRITE: it cannot be made or written into. Nothing is made. */
peft_status peft_output_folder_check_sources(const char *output, const char *const *sources, peft_error *error);

/* The same, and PEFT_ERR_ARGUMENT where `output` holds something and `force` is not given. */
peft_status peft_output_folder_check(const char *output, bool force, const char *const *sources, peft_error *error);

/* Makes the folder, and removes what processes that were killed have left there. */
peft_status peft_output_folder_prepare(const char *output, peft_error *error);

#endif
