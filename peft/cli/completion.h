/* peft/cli/completion.h - what the completion scripts of the shells share. For completion*.c alone. */
#ifndef PEFT_CLI_COMPLETION_H
#define PEFT_CLI_COMPLETION_H

#include "peft/cli/command.h"

/* One option on its way into a script. */
typedef struct peft_completion {
    const peft_command *command;
    const peft_option *option;
    char flag[96];    /* as it is of use: "no-bias" for a boolean whose default is true */
    bool takes_value; /* it is no boolean */
    bool takes_path;
    bool has_choices; /* some words are known: choices of the table, or names of extensions */
} peft_completion;

/* Calls `write` for every option of the verb, also those of all its extensions, each name once. */
peft_status peft_completion_each(const peft_command *command, void (*write)(const peft_completion *one, FILE *out),
                                 FILE *out, peft_error *error);

/* "linear cosine constant" */
void peft_completion_put_choices(const peft_completion *one, FILE *out);
void peft_completion_put_words(const char *const *words, FILE *out);

/* Text that stands between apostrophes in a script: characters of `marked` get a backslash, an apostrophe becomes a
 * typographic one, which no shell takes for a quote. */
void peft_completion_put_text(const char *text, const char *marked, FILE *out);

peft_status peft_completion_bash(const peft_program *program, FILE *out, peft_error *error);
peft_status peft_completion_zsh(const peft_program *program, FILE *out, peft_error *error);
peft_status peft_completion_fish(const peft_program *program, FILE *out, peft_error *error);

#endif
