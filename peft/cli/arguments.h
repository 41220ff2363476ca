/* peft/cli/arguments.h - the words behind a verb, checked and brought into the verb's struct.
 *
 * Flags are `--name value`, `--name=value`, for booleans `--name` and `--no-name`; the last one wins. Behind `--` all
 * words are operands. A configuration file (--config) has the same names with underscores. What a flag says goes before
 * what the file says, and that before the default. */
#ifndef PEFT_CLI_ARGUMENTS_H
#define PEFT_CLI_ARGUMENTS_H

#include "peft/cli/command.h"

/* What every verb has besides its own settings; the first three are flags only. */
typedef struct peft_shared_options {
    bool help;
    char *config;
    bool print_config;
    int64_t threads; /* 0: one for each core */
    bool json, quiet, verbose;
} peft_shared_options;

extern const peft_option peft_flag_option_table[];   /* help, config, print_config */
extern const peft_option peft_shared_option_table[]; /* the others */

struct peft_arguments {
    const peft_program *program;
    const peft_command *command;
    peft_shared_options shared;
    void *values;          /* the verb's struct, NULL if it has none */
    const char **operands; /* they lie in argv */
    size_t num_operands;
    json_t *file; /* content of --config, or NULL */

    /* All tables with their structs: flags, common, the verb's parts, and at the end one for each extension. */
    peft_option_set *sets;
    size_t num_sets;
    peft_command_extension *extensions;
    size_t num_extensions;
};

/* Reads the words argv[0..argc-1] that follow the verb. With --help nothing is demanded and no file is read; with
 * --print-config nothing is demanded. Release with peft_arguments_free, which takes a failed one too.
 *
 * PEFT_ERR_ARGUMENT (a name that is not known, with the nearest one that is; a value of a wrong type or out of its
 * range; too many or too few operands; a required setting that is missing), PEFT_ERR_FILE or PEFT_ERR_FORMAT (the
 * configuration file), PEFT_ERR_MEMORY. */
peft_status peft_arguments_parse(peft_arguments *arguments, const peft_program *program, const peft_command *command,
                                 int argc, const char *const *argv, peft_error *error);
void peft_arguments_free(peft_arguments *arguments);

/* The struct of the chosen extension called `name`, or NULL. */
void *peft_arguments_extension(const peft_arguments *arguments, const char *name);

/* All settings as --print-config shows them, a new object that --config reads back; NULL if memory runs out. */
json_t *peft_arguments_to_json(const peft_arguments *arguments);

#endif
