/* tasks/task_file_entry.h - one task of a file, while it is read: where its parts stand, and memory for what it
 * becomes.
 */
#ifndef PEFT_TASKS_TASK_FILE_ENTRY_H
#define PEFT_TASKS_TASK_FILE_ENTRY_H

#include <jansson.h>

#include "io/yaml_lines.h"
#include "ops/arena.h"
#include "tasks/task.h"

typedef struct peft_task_entry {
    const char *path, *folder;    /* of the file; the folder lasts as long as the arena */
    json_t *object;               /* what stands there */
    const peft_yaml_lines *lines; /* NULL: all of it stands on `line` */
    size_t line;
    peft_arena *arena; /* for the task */
    peft_error *error;
} peft_task_entry;

/* The task that the object describes. PEFT_ERR_FORMAT with "FILE:LINE: KEY: …", PEFT_ERR_MEMORY. */
peft_status peft_task_entry_read(const peft_task_entry *entry, peft_task *task);

#endif
