/* tasks/labels.h - what the labels of a file mean: its distinct labels, their order, what people should know of them.
 *
 * The classes of own files are ordered by the first of these that can be:
 *
 *     given      the caller names them: a run's own record, or the training file's
 *     model      a model's names (id2label) hold every label of the file, also where case or blanks differ
 *     numbers    all labels are whole numbers below the head's size, or 0, 1, ... without a gap: the class ids
 *     sorted     otherwise: numbers as numbers, then texts by their bytes */
#ifndef PEFT_TASKS_LABELS_H
#define PEFT_TASKS_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/status.h"
#include "tasks/table.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum peft_class_order {
    PEFT_CLASSES_GIVEN,
    PEFT_CLASSES_OF_MODEL,
    PEFT_CLASSES_NUMBERS,
    PEFT_CLASSES_SORTED
} peft_class_order;

/* Names of a head's classes by id. */
typedef struct peft_class_names {
    const char *const *names; /* [count]; NULL: none are known */
    size_t count;             /* of the head's classes; 0: not known either */
} peft_class_names;

/* The distinct labels of a column, numbers in front by their value, then texts by their bytes. */
typedef struct peft_label_list {
    const char **labels; /* [count], pointers into the cells */
    size_t count;
} peft_label_list;

/* PEFT_ERR_MEMORY. Release with free(list->labels). */
peft_status peft_labels_collect(const peft_cell *cells, size_t count, peft_label_list *list, peft_error *error);

/* What the labels of a file became. */
typedef struct peft_label_classes {
    peft_class_order order;
    int32_t *ids;             /* [of the list] the class of each label; the caller's (free) */
    const char *const *names; /* [count] the model's names, or the list's own; NULL: plain numbers */
    size_t count;
} peft_label_classes;

/* PEFT_ERR_MEMORY. */
peft_status peft_labels_order(const peft_label_list *list, const peft_class_names *model, peft_label_classes *classes,
                              peft_error *error);

/* Does pandas, and so datasets, read the text as a missing value ("", "nan", "None", "N/A", ...)? Blanks alone count as
 * nothing, too. */
bool peft_label_is_missing(const char *text);

/* The text without what makes no difference to people: case, blanks, and the way of writing a number ("1", "1.0").
 * Memory of its own (free); NULL: out of memory. */
char *peft_label_key(const char *text);

/* Are all of them numbers, and not such as classes are usually numbered by? */
bool peft_labels_look_like_scores(const char *const *labels, size_t count);

#ifdef __cplusplus
}
#endif
#endif
