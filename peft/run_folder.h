/* peft/run_folder.h - the folder of a run: where its files lie, what may be there before it starts, and that one
 * process alone is at work in it. */
#ifndef PEFT_PEFT_RUN_FOLDER_H
#define PEFT_PEFT_RUN_FOLDER_H

#include <stdbool.h>

#include "io/folder.h"
#include "ops/status.h"

/* Where a run is to go. */
typedef struct peft_run_place {
    const char *path;
    bool force;                 /* start anew in a folder that holds something */
    bool resume;                /* go on with the run that it holds */
    const char *const *sources; /* folders and files that the run reads; ends with NULL */
} peft_run_place;

typedef struct peft_run_folder {
    const peft_run_place *place;
    char *run_json, *log, *predictions, *observations, *checkpoints,
        *checkpoint;                  /* checkpoint is the file in the folder checkpoints */
    bool has_checkpoint, is_finished; /* when it was opened */
    peft_lock *lock;
} peft_run_folder;

/* Looks at the folder, and locks it where it exists; nothing else is written. `place` must outlive it. Release with
 * peft_run_folder_close.
 *
 * PEFT_ERR_ARGUMENT: force and resume at once; the folder is one of the sources, or a file of a run is; it holds
 * something and neither is given; resume, and what it holds is no run, or one that has ended and lost its checkpoint.
 * PEFT_ERR_WRITE: another process is at work there; it cannot be written into. */
peft_status peft_run_folder_open(peft_run_folder *folder, const peft_run_place *place, peft_error *error);

/* Makes the folder and removes temporary files of processes that were killed; unless a run is resumed, also the result,
 * checkpoint and log of an old one. */
peft_status peft_run_folder_prepare(peft_run_folder *folder, peft_error *error);
void peft_run_folder_close(peft_run_folder *folder);

#endif
