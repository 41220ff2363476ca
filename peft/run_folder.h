/* peft/run_folder.h - the folder of a run: where its files lie, and what may be there before it starts. */
#ifndef PEFT_PEFT_RUN_FOLDER_H
#define PEFT_PEFT_RUN_FOLDER_H

#include <stdbool.h>

#include "ops/status.h"

typedef struct peft_run_folder {
    char *run_json, *log, *observations, *checkpoints,
        *checkpoint;                  /* checkpoint is the file in the folder checkpoints */
    bool has_checkpoint, is_finished; /* when it was opened */
} peft_run_folder;

/* Looks at the folder; nothing is written. PEFT_ERR_ARGUMENT where it holds a run and neither force nor resume is
 * given. Release with peft_run_folder_close. */
peft_status peft_run_folder_open(peft_run_folder *folder, const char *path, bool force, bool resume, peft_error *error);
/* Makes the folder; unless a run is resumed, removes the result, checkpoint and log of an old one. */
peft_status peft_run_folder_prepare(peft_run_folder *folder, bool resume, peft_error *error);
void peft_run_folder_close(peft_run_folder *folder);

#endif
