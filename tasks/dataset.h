/* tasks/dataset.h - the examples of one file: texts and labels, ready for a tokenizer and a loss. */
#ifndef PEFT_TASKS_DATASET_H
#define PEFT_TASKS_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/status.h"
#include "tasks/labels.h"
#include "tasks/table.h"
#include "tasks/task.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PEFT_MAX_LABELS = 1000 };

typedef struct peft_dataset {
    size_t count;
    const peft_cell *text;      /* [count] */
    const peft_cell *text_pair; /* [count], or NULL: single sentences */
    const size_t *lines;        /* [count] where the example stands in its file, from 1 */
    int32_t *classes;           /* [count] class ids; NULL: scores, or no labels in the file */
    float *scores;              /* [count]; NULL: classes, or no labels in the file */
    float *vectors;             /* [count, vector_size] what is known of each example; NULL: nothing was asked for */
    int64_t vector_size;
    bool regression;
    size_t num_labels;      /* number of classes; 1 for regression; 0 where neither file nor caller named any */
    char **label_names;     /* [num_labels] by class id, for people: "not_entailment"; NULL for regression */
    peft_class_order order; /* where the order of the classes comes from */
    size_t num_skipped;     /* broken rows that were left out (peft_task.skips_broken_rows) */
    peft_table table;       /* holds the texts */
} peft_dataset;

/* One split of a task: data_dir/RTE/dev.tsv. Splits that the task marks as not labelled may lack the label column; the
 * others may not.
 *
 * PEFT_ERR_ARGUMENT (no such split), PEFT_ERR_FILE, PEFT_ERR_FORMAT (the table's errors; a label that the task does not
 * have, a score that is not a number, with file and line), PEFT_ERR_MEMORY. Release with peft_dataset_free. */
PEFT_API peft_status peft_dataset_load(const peft_task *task, const char *data_dir, const char *split,
                                       peft_dataset **dataset, peft_error *error);

typedef struct peft_dataset_columns {
    const char *text;
    const char *text_pair; /* NULL: single sentences */
    const char *label;     /* NULL: the file is read without labels */
    const char *vector;    /* numbers with blanks or commas between them, or a list of a .jsonl file; NULL: none */
    bool label_optional;   /* the file may lack that column, and is then read without labels */
    bool regression;       /* labels are numbers */

    peft_quoting quoting;      /* of a .csv or .tsv file */
    const char *const *header; /* names of its columns where its first line is no header; NULL at the end */
    bool skip_broken_rows;     /* rows with a wrong number of columns are counted instead of refused */

    /* Classes in the order of their ids, as files write them and as people call them; or, where these are the same,
     * such as those of the training file when the dev file is read, their names. A label that is none of them is an
     * error. Both NULL: the distinct labels of this file, in the order that tasks/labels.h says. */
    const peft_label *labels;
    const char *const *label_names;
    size_t num_labels;         /* of either */
    peft_class_names of_model; /* what that order looks at; may be all zero */
} peft_dataset_columns;

/* A file of one's own, .csv, .tsv or .jsonl. Errors as above; PEFT_ERR_FORMAT also where a label is missing, as pandas
 * understands it, where a file has one class alone and no model says of how many, or more than PEFT_MAX_LABELS. */
PEFT_API peft_status peft_dataset_load_file(const char *path, const peft_dataset_columns *columns,
                                            peft_dataset **dataset, peft_error *error);

/* How a task's files are read. */
PEFT_API peft_dataset_columns peft_task_columns(const peft_task *task, const peft_split *split);

/* Turns the class ids of a known task, in which it is read, into those of a model that calls the same classes by the
 * same names in another order; others stay. PEFT_ERR_MEMORY. */
PEFT_API peft_status peft_dataset_adopt_names(peft_dataset *dataset, const peft_class_names *of_model,
                                              peft_error *error);

/* How many examples each class has: counts [num_labels]. Without classes they are 0. */
PEFT_API void peft_dataset_count_classes(const peft_dataset *dataset, size_t *counts);

/* Texts without labels: columns 0 and 1 of a table, such as peft_table_from_lines makes. Takes the table over and
 * leaves an empty one, also after an error. */
PEFT_API peft_status peft_dataset_from_table(peft_table *table, peft_dataset **dataset, peft_error *error);

/* Copies of the examples rows[0..count), in this order. */
PEFT_API peft_status peft_dataset_select(const peft_dataset *from, const uint32_t *rows, size_t count,
                                         peft_dataset **dataset, peft_error *error);

/* `count` examples, drawn with the seed, in the order of the file. PEFT_ERR_ARGUMENT where it is none or all. */
PEFT_API peft_status peft_dataset_draw(const peft_dataset *whole, size_t count, uint64_t seed, peft_dataset **drawn,
                                       peft_error *error);

/* Cuts a training set in two: `held_out` examples on which settings are chosen, and the rest to train on, so that
 * nothing is ever chosen on the split that is reported. Examples that share a text stay together: one family of them at
 * most is divided, where the number asks for it. Which examples they are depends on their number and on `seed` alone;
 * both parts keep the order of the file. PEFT_ERR_ARGUMENT where a part would be empty. */
PEFT_API peft_status peft_dataset_hold_out(const peft_dataset *whole, size_t held_out, uint64_t seed,
                                           peft_dataset **held, peft_dataset **rest, peft_error *error);

/* NULL is allowed. */
PEFT_API void peft_dataset_free(peft_dataset *dataset);

#ifdef __cplusplus
}
#endif
#endif
