/* peft/cli/commands.h - the verbs, from the list in meson.build. Verb train-generator is peft_command_train_generator
 * in train_generator.c. */
#ifndef PEFT_CLI_COMMANDS_H
#define PEFT_CLI_COMMANDS_H

#include "peft/cli/command.h"

#define X(name) extern const peft_command peft_command_##name;
#include "peft/cli/commands.inc"
#undef X

#endif
