/* tasks/task.h - a task is data: where its files are, what their columns are called, what the labels and metrics are.
 *
 * The nine tasks of GLUE in the layout of its own download, and three that peft_wordnet_build makes, are known; others
 * come from files (tasks/task_file.h). Nothing else in the library knows a task by name. */
#ifndef PEFT_TASKS_TASK_H
#define PEFT_TASKS_TASK_H

#include <stdbool.h>
#include <stddef.h>

#include "ops/status.h"
#include "tasks/table.h"

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
    const char *folder; /* "RTE", under the data folder; of a task file, the file's own folder */
    const char *help;   /* "does sentence1 entail sentence2" */
    const char *source; /* where the data come from; NULL: not said */

    const char *const *descriptions; /* sentences that say what to do, which generators read; NULL at the end */

    const char *text, *text_pair, *label; /* columns; text_pair is NULL for single sentences */

    const peft_label *labels;   /* in the order of the class ids; NULL: regression, or those of the training file */
    size_t num_labels;          /* 1 for regression, 0 where the files tell */
    const char *positive;       /* of two classes, the name of the one that f1 is about; NULL: the second */
    const char *const *answers; /* [num_labels] the word that stands for each class; NULL: none is given */
    const char *prompt;         /* how text and answer become one: "{text} It was {answer}."; NULL: none is given */

    /* In GLUE's order, NULL at the end; the first picks the best step. None: as own files are scored. */
    const char *metrics[PEFT_TASK_MAX_METRICS + 1];

    const peft_split *splits; /* ends with a NULL name */
    peft_quoting quoting;     /* of its files */
    bool skips_broken_rows;   /* rows with another number of columns are known in its files: left out and counted */
    bool from_file;           /* it comes from a task file, and its files lie in `folder` without a data folder */
} peft_task;

PEFT_API size_t peft_num_tasks(void);
PEFT_API const peft_task *peft_task_at(size_t index);

/* NULL and PEFT_ERR_ARGUMENT in `error` for a name that is not known; the message has the nearest and all known ones.
 */
PEFT_API const peft_task *peft_task_find(const char *name, peft_error *error);
PEFT_API const peft_split *peft_task_split(const peft_task *task, const char *name, peft_error *error);

/* Are its labels numbers rather than classes? */
PEFT_API bool peft_task_is_regression(const peft_task *task);

/* Where a split lies. A known task needs the data folder; one from a file is looked for there if it is given, else
 * beside its file. The memory is the caller's; no file is looked at. */
PEFT_API peft_status peft_task_path(const peft_task *task, const char *data_dir, const peft_split *split, char **path,
                                    peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
