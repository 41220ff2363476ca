/* peft/cli/help.h - `peft --help` and `peft VERB --help`, from the tables. */
#ifndef PEFT_CLI_HELP_H
#define PEFT_CLI_HELP_H

#include "peft/cli/arguments.h"

/* `width` is that of the terminal; text is kept between 80 and 100 columns. */
void peft_help_program(const peft_program *program, FILE *out, size_t width);

/* Example, usage, description, settings; those of the extensions that were chosen too. */
peft_status peft_help_command(const peft_arguments *arguments, FILE *out, size_t width, peft_error *error);

/* "--model DIR --task NAME [options] PATH": what follows the verb in a usage line, cut where `bytes` are too few. */
char *peft_usage(const peft_command *command, char *buffer, size_t bytes);

/* "--rank N", "--json", "--[no-]bias" where the default is true. */
char *peft_flag_synopsis(const peft_option *option, char *buffer, size_t bytes);

#endif
