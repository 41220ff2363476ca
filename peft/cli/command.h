/* peft/cli/command.h - what a verb of the program provides. One file a verb, each ending in one of these tables. */
#ifndef PEFT_CLI_COMMAND_H
#define PEFT_CLI_COMMAND_H

#include "io/option.h"
#include "peft/cli/output.h"

typedef struct peft_arguments peft_arguments;

/* A table of settings and where the struct that it describes lies inside of the verb's own struct. */
typedef struct peft_command_part {
    const peft_option *table;
    size_t offset;
} peft_command_part;

/* Settings that exist only under a chosen name, such as those of `--variant lora2`. */
typedef struct peft_command_extension {
    const char *name;
    const peft_option *table;
    size_t bytes; /* of the struct that the table describes */
} peft_command_extension;

typedef struct peft_command {
    const char *name;        /* "train" */
    const char *summary;     /* a phrase for the list of verbs */
    const char *example;     /* lines for a shell, shown first in the help */
    const char *description; /* sentences; each line is a paragraph */

    /* Words that are no flags: how help shows them ("PATH", "DIR...", "[NAME]"; NULL: there are none), how many there
     * must and may be, and where only some are known: which (ends with NULL). */
    const char *operands;
    size_t min_operands, max_operands;
    const char *const *operand_choices;

    const peft_command_part *parts; /* ends with a NULL table; NULL: no settings of its own */
    size_t bytes;                   /* of the verb's own struct; 0 if there are no parts */
    const char *const *required;    /* names of strings and JSON fields that must be set; ends with NULL; or NULL */

    /* Optional. The setting whose value chooses extensions: a name, or a list of names; and extension number `index`,
     * false beyond the last. */
    const char *selector;
    bool (*extension)(size_t index, peft_command_extension *extension);

    peft_status (*run)(const peft_arguments *arguments, peft_output *output, peft_error *error);
} peft_command;

typedef struct peft_program {
    const char *name, *version;
    const char *description;
    const peft_command *const *commands; /* ends with NULL */
    void (*report_versions)(FILE *out);  /* the lines that `--version --verbose` adds */
} peft_program;

#endif
