/* tasks/task_file.h - tasks that people describe themselves, one or many in a file (docs/tasks.md):
 *
 *     name: reviews
 *     descriptions: [Say whether the review of a product is favourable.]
 *     files: {train: reviews.csv, dev: reviews-dev.csv}
 *     columns: {text: body, label: stars}
 *     labels: {1: bad, 5: good}
 *
 * A .yaml, .yml or .json file holds one such object or a list of them, a .jsonl file one on each line. In a list a word
 * stands for a known task. Paths of data are relative to the file. */
#ifndef PEFT_TASKS_TASK_FILE_H
#define PEFT_TASKS_TASK_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "ops/arena.h"
#include "ops/status.h"
#include "tasks/task.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_task_list {
    const peft_task **tasks; /* [count] */
    size_t count;
    peft_arena arena; /* holds those that are not built in */
} peft_task_list;

/* At least one task, each with a name of its own. PEFT_ERR_FILE, PEFT_ERR_FORMAT (with the line: what the formats
 * forbid, a key that is not known, a value that cannot be), PEFT_ERR_MEMORY. Release with peft_task_list_free, which
 * takes a zeroed one too. */
PEFT_API peft_status peft_task_file_load(const char *path, peft_task_list *list, peft_error *error);
PEFT_API void peft_task_list_free(peft_task_list *list);

/* Does the word name a file of tasks, rather than a known task? */
PEFT_API bool peft_task_is_file(const char *word);

/* The tasks that a word stands for: a known one, "rte"; all of a file, "mine.yaml"; one of them, "mine.yaml:reviews".
 * PEFT_ERR_ARGUMENT for a name that is not known or not in the file; errors as above. */
PEFT_API peft_status peft_task_list_open(const char *word, peft_task_list *list, peft_error *error);

/* The one task that a word stands for. PEFT_ERR_ARGUMENT also where a file has several and none is named. `list` holds
 * it, and is released by peft_task_list_free. */
PEFT_API peft_status peft_task_open(const char *word, peft_task_list *list, const peft_task **task, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
