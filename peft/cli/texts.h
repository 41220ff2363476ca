/* peft/cli/texts.h - the texts that a model is asked about: words of the command line, a file, standard input. */
#ifndef PEFT_CLI_TEXTS_H
#define PEFT_CLI_TEXTS_H

#include "io/option.h"
#include "peft/cli/output.h"
#include "tasks/dataset.h"

typedef struct peft_text_options {
    char *text, *text_pair, *input, *text_column, *text_pair_column, *vector_column;
    bool no_quoting; /* of .csv and .tsv files */
} peft_text_options;

extern const peft_option peft_text_option_table[];      /* text, input, text_column, vector_column, no_quoting */
extern const peft_option peft_text_pair_option_table[]; /* the others; without them they are NULL */

/* The text itself, or the rows of the file. Its name decides how it is read: .csv, .tsv and .jsonl by column; any other
 * name, and "-" for standard input, a text on each line, where `pairs` allows two with a tab between them. `quoting`
 * is that of .csv and .tsv files, unless the options say no_quoting.
 *
 * PEFT_ERR_ARGUMENT (neither text nor input, or both; what does not go together), PEFT_ERR_FILE, PEFT_ERR_FORMAT (an
 * empty file, NUL bytes, bytes that are not UTF-8, by line), PEFT_ERR_MEMORY. */
peft_status peft_texts_open(const peft_text_options *options, bool pairs, peft_quoting quoting, peft_dataset **dataset,
                            peft_error *error);

/* A note where `quoting`, that of a run, lets quotes in this file be letters like others. */
void peft_note_quoting(peft_output *output, peft_quoting quoting, const char *path);

#endif
