/* peft/cli/program.h - from the words of the command line to an exit code. */
#ifndef PEFT_CLI_PROGRAM_H
#define PEFT_CLI_PROGRAM_H

#include "peft/cli/command.h"

/* Runs the verb that argv[1] names, or --help or --version. Errors become one line of `messages`. Returns the exit
 * code. */
int peft_program_run(const peft_program *program, int argc, const char *const *argv, FILE *results, FILE *messages);

/* What the shell is told about a status, and what the codes mean; the list ends with a NULL meaning. */
typedef struct peft_exit_meaning {
    int code;
    const char *meaning;
} peft_exit_meaning;

extern const peft_exit_meaning peft_exit_meanings[];
int peft_exit_code(peft_status status);

/* The verb called `name`; PEFT_ERR_ARGUMENT, naming the nearest, if there is none. */
peft_status peft_program_find(const peft_program *program, const char *name, const peft_command **command,
                              peft_error *error);

#endif
