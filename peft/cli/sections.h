/* peft/cli/sections.h - the settings of a verb under their headings: what help, manual page and completion show. */
#ifndef PEFT_CLI_SECTIONS_H
#define PEFT_CLI_SECTIONS_H

#include "peft/cli/command.h"

typedef struct peft_section {
    char title[64];       /* the group of its settings, or "Options of --variant lora2" */
    peft_option *options; /* copies; their texts stay in the tables */
    size_t count;
} peft_section;

typedef struct peft_sections {
    peft_section *list;
    size_t count;
} peft_sections;

/* Groups come in the order in which the tables name them: the verb's, then those of the extensions, then what all verbs
 * have. A setting that several tables share is listed once, by the first. */
peft_status peft_sections_build(peft_sections *sections, const peft_command *command,
                                const peft_command_extension *extensions, size_t num_extensions, peft_error *error);

/* The same with every extension that the verb has. */
peft_status peft_sections_build_all(peft_sections *sections, const peft_command *command, peft_error *error);

void peft_sections_free(peft_sections *sections);

/* What stands for the value in "--rank N", from the type if the table does not say; "" for booleans. */
const char *peft_option_placeholder(const peft_option *option);

/* Help with limits and default: "rank of the update (from 1 to 64; default 8)". Cut where `bytes` are too few. */
char *peft_option_sentence(const peft_option *option, char *buffer, size_t bytes);

#endif
