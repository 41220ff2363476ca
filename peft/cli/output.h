/* peft/cli/output.h - where a verb writes: results to stdout, messages and progress to stderr. */
#ifndef PEFT_CLI_OUTPUT_H
#define PEFT_CLI_OUTPUT_H

#include "ops/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct peft_output {
    FILE *results;
    FILE *messages;
    bool json;         /* results are one JSON document */
    bool quiet;        /* errors are the only messages */
    bool verbose;      /* details too */
    bool terminal;     /* messages go to a terminal whose lines can be drawn again */
    bool colour;       /* it may be coloured: NO_COLOR is not set */
    bool bold;         /* results may be bold: they go to a terminal too */
    bool failed;       /* the verb did its work, and what was asked for did not hold: exit code 1 */
    size_t open_lines; /* the last so many lines show progress, and are drawn again; the cursor stands on the last */
} peft_output;

/* Standard streams that were closed at the start stay so: their numbers are taken, by something that can be neither
 * read nor written, lest a file that is opened later gets one and what is printed goes into it. */
void peft_output_open_streams(void);

/* Looks at the streams and the environment; json, quiet, verbose and failed are false. */
void peft_output_init(peft_output *output, FILE *results, FILE *messages);

/* Columns and rows of the terminal that shows the messages, 80 and 24 where it does not say. */
size_t peft_output_columns(const peft_output *output);
size_t peft_output_rows(const peft_output *output);

/* Erases the open lines: what is written next stands in their place. */
void peft_output_erase(peft_output *output);

typedef enum peft_say { PEFT_SAY_ERROR, PEFT_SAY_NOTE, PEFT_SAY_DETAIL } peft_say;

/* "peft: ..." on one line of the messages; control characters, also line ends, become spaces. --quiet hides notes, and
 * details are shown with --verbose only. */
void peft_output_say(peft_output *output, peft_say kind, const char *format, ...) PEFT_PRINTF(3, 4);

/* Says each text of an array as a note. */
void peft_output_notes(peft_output *output, const json_t *notes);

/* Prints the document that --json asked for. Stays the caller's. */
peft_status peft_output_json(peft_output *output, const json_t *document, peft_error *error);

/* To be called last: PEFT_ERR_WRITE where results did not reach their end, on a full disk for one. */
peft_status peft_output_finish(peft_output *output, peft_error *error);

#endif
