/* tasks/task.h - a task is data: where its files are, what their columns are called, what the labels and metrics are.
 *
 * The nine tasks of GLUE in the layout of its own download, and three that peft_wordnet_build makes. Nothing else in
 * the library knows a task by name. */
#ifndef PEFT_TASKS_TASK_H
#define PEFT_TASKS_TASK_H

#include <stdbool.h>
#include <stddef.h>

#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PEFT_TASK_MAX_METRICS = 2 };

/* A class of a task: how its files write it, and what it means. They are the same where files spell labels out. */
typedef struct peft_label {
    const char *text; /* "1" */
    const char *name; /* "equivalent" */
} peft_label;

typedef struct peft_split {
    const char *name; /* "train", "dev", "test"; MNLI also has "dev_mismatched" and "test_mismatched" */
    const char *file; /* "train.tsv" */
    bool labelled;
    const char *const *columns; /* a file without header line: the names of its columns, NULL at the end; else NULL */
} peft_split;

typedef struct peft_task {
    const char *name;   /* "rte" */
    const char *folder; /* "RTE", under the data folder */
    const char *help;   /* "does sentence1 entail sentence2" */
    const char *source; /* where the data come from */

    const char *text, *text_pair, *label; /* columns; text_pair is NULL for single sentences */

    const peft_label *labels; /* in the order of the class ids; NULL: regression */
    size_t num_labels;        /* 1 for regression */

    const char
        *metrics[PEFT_TASK_MAX_METRICS + 1]; /* in GLUE's order, NULL at the end; the first picks the best step */

    const peft_split *splits; /* ends with a NULL name */
    bool skips_broken_rows;   /* rows with another number of columns are known in its files: left out and counted */
} peft_task;

PEFT_API size_t peft_num_tasks(void);
PEFT_API const peft_task *peft_task_at(size_t index);

/* NULL and PEFT_ERR_ARGUMENT in `error` for a name that is not known; the message has the nearest and all known ones.
 */
PEFT_API const peft_task *peft_task_find(const char *name, peft_error *error);
PEFT_API const peft_split *peft_task_split(const peft_task *task, const char *name, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
