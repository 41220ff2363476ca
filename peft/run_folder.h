/* peft/run_folder.h - the folder of a run: where its files lie, and what may be there before it starts. */
#ifndef PEFT_PEFT_RUN_FOLDER_H
#define PEFT_PEFT_RUN_FOLDER_H

#include <stdbool.h>

#include "ops/status.h"

typedef struct peft_run_folder {
    char *run_json, *log, *checkpoint;
    bool has_checkpoint, is_finished; /* when it was opened */
} peft_run_folder;

/* Makes the folder. PEFT_ERR_ARGUMENT where it holds a run and neither force nor resume is given; force removes the
 * checkpoint and the log of that run. Release with peft_run_folder_close. */
peft_status peft_run_folder_open(peft_run_folder *folder, const char *path, bool force, bool resume, peft_error *error);
void peft_run_folder_close(peft_run_folder *folder);

#endif
