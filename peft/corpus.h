/* peft/corpus.h - the data of a run: a task's files, or files of one's own. */
#ifndef PEFT_PEFT_CORPUS_H
#define PEFT_PEFT_CORPUS_H

#include "io/option.h"
#include "tasks/dataset.h"
#include "tasks/task_file.h"
#include "variants/variant.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_data_options {
    char *task, *data; /* a known task, and the folder that holds its folder; or one of a file (tasks/task_file.h) */
    char *train, *dev; /* or files of one's own: .csv, .tsv, .jsonl */
    char *text_column, *text_pair_column, *label_column;
    char *vector_column;  /* of own files, for methods that read vectors; NULL: none */
    bool regression;      /* labels of own files are numbers */
    bool no_quoting;      /* quotes in own .csv and .tsv files are letters like others */
    char *positive_class; /* of two, the one that f1 is about; NULL: the second, or the task's */
    int64_t max_train;    /* examples to train on, drawn with the seed; 0: all */
} peft_data_options;

PEFT_API extern const peft_option peft_data_option_table[]; /* of the whole struct */
extern const peft_option peft_read_option_table[];          /* all but max_train: what evaluation takes */

/* PEFT_ERR_ARGUMENT: neither a task nor files, or both; a known task without its folder. No file is looked at. */
PEFT_API peft_status peft_data_options_check(const peft_data_options *options, peft_error *error);

/* Where a split lies: "train", "dev" and the task's others; of own files --train, and for any other --dev. NULL where
 * own files have none. No data are looked at; the memory is the caller's. Errors of task files. */
PEFT_API peft_status peft_corpus_path(const peft_data_options *options, const char *split, char **path,
                                      peft_error *error);

typedef struct peft_corpus {
    peft_task_list tasks;  /* holds the task */
    const peft_task *task; /* NULL: own files */
    bool knows_classes;    /* the task names them, and their order */
    const char *name;      /* of the task, or "own" */
    bool regression;
    int64_t num_labels;
    peft_quoting quoting;                           /* of the files */
    int32_t positive;                               /* class that f1 is about */
    const char *metrics[PEFT_TASK_MAX_METRICS + 1]; /* NULL at the end; the first is the one that counts */
    peft_dataset *train, *dev;
    peft_dataset *held_out; /* training examples to choose on, which share no text with train; or NULL */
    char *train_path, *dev_path;
} peft_corpus;

enum { PEFT_HOLD_OUT_TENTH = -1 }; /* at most 1000 */

/* Which splits are needed. Of own files `split` names --train or --dev. */
typedef struct peft_corpus_wanted {
    const peft_task *task; /* one that is open already, in the place of the options'; it outlives the corpus. Or NULL */
    bool train;
    const char *dev;  /* split of a task to evaluate on: "dev"; NULL: none */
    uint64_t seed;    /* of what is drawn and held out */
    int64_t hold_out; /* so many training examples; 0: none, PEFT_HOLD_OUT_TENTH: of those to train on */

    /* Classes of own files by id, where the run that trained the head tells them; NULL: those of the training file, if
     * there is one, else of the dev file, in the order that tasks/labels.h says. */
    const char *const *label_names;
    size_t num_labels;
    peft_class_names of_model;  /* what the model calls its classes */
    peft_quoting quoting;       /* unless the options say no_quoting */
    const char *positive_class; /* unless the options name one; NULL: the second, or the task's */
} peft_corpus_wanted;

/* Checks the options, and reads the files. Release with peft_corpus_close. */
peft_status peft_corpus_open(peft_corpus *corpus, const peft_data_options *options, const peft_corpus_wanted *wanted,
                             peft_error *error);
void peft_corpus_close(peft_corpus *corpus);

/* The class that f1 is about; NULL where f1 is none of the metrics. */
const char *peft_corpus_positive(const peft_corpus *corpus);

/* The task's word for each class, a new list in the order of the classes; NULL: it has none, or memory is out. */
json_t *peft_corpus_answers(const peft_corpus *corpus);

/* What people should know of the labels. Before training: the classes with their counts, names that are nearly the
 * same, numbers that look like scores. Otherwise only that the order of the classes is a guess. */
void peft_corpus_notes(const peft_corpus *corpus, bool training, peft_note_function *note, void *argument);

#ifdef __cplusplus
}
#endif
#endif
