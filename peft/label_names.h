/* peft/label_names.h - what the classes of a head are called: by the run that trained it, or by the model's folder. */
#ifndef PEFT_PEFT_LABEL_NAMES_H
#define PEFT_PEFT_LABEL_NAMES_H

#include "tasks/labels.h"

typedef enum peft_names_source { PEFT_NAMES_NONE, PEFT_NAMES_OF_MODEL, PEFT_NAMES_OF_RUN } peft_names_source;

typedef struct peft_label_names {
    char **names; /* [count]; LABEL_0, LABEL_1, ... for classes without a name */
    int64_t count;
    peft_names_source source; /* of real names; PEFT_NAMES_NONE: all are LABEL_... */
} peft_label_names;

/* "label_names" of run.json in the folder, which must be `count`. None where there is no such file or field.
 * PEFT_ERR_FORMAT, PEFT_ERR_MEMORY. */
peft_status peft_label_names_of_run(peft_label_names *names, const char *folder, int64_t count, peft_error *error);

/* "id2label" of config.json in the folder, an object or a list of texts or numbers. With a count of 0 as many as there
 * are; otherwise none unless there are as many. Errors as above. */
peft_status peft_label_names_of_model(peft_label_names *names, const char *folder, int64_t count, peft_error *error);

/* As the readers of data sets take them: no names where none are real. */
peft_class_names peft_label_names_for_data(const peft_label_names *names);

void peft_label_names_free(peft_label_names *names); /* a struct of zeros is allowed */

/* What else run.json says of how labels and tables were read. */
typedef struct peft_run_record {
    char *positive_class; /* NULL: none is named */
    peft_quoting quoting; /* of own files */
} peft_run_record;

/* Without run.json: as new runs are read. Errors as above. Release with free(record->positive_class). */
peft_status peft_run_record_load(peft_run_record *record, const char *folder, peft_error *error);
const char *peft_quoting_name(peft_quoting quoting); /* as run.json has it: "quoted" */

#endif
