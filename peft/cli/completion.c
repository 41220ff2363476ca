/* peft/cli/completion.c - `peft completion bash|zsh|fish`: a script that completes verbs, flags and known values. */
#include "peft/cli/completion.h"

#include "peft/cli/arguments.h"
#include "peft/cli/commands.h"
#include "peft/cli/sections.h"

#include <string.h>

static bool is_path(const char *placeholder)
{
    static const char *const paths[] = {"DIR", "FILE", "PATH"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (strcmp(placeholder, paths[i]) == 0) return true;
    return false;
}

static bool is_selector(const peft_command *command, const peft_option *option)
{
    return command->selector && strcmp(command->selector, option->name) == 0;
}

static peft_completion describe(const peft_command *command, const peft_option *option)
{
    peft_completion one = {
        .command = command,
        .option = option,
        .takes_value = option->type != PEFT_OPTION_BOOL,
        .takes_path = is_path(peft_option_placeholder(option)),
        .has_choices = option->choices || is_selector(command, option),
    };
    bool is_on = !one.takes_value && option->initial && strcmp(option->initial, "true") == 0;
    char flag[sizeof one.flag - 3];
    snprintf(one.flag, sizeof one.flag, "%s%s", is_on ? "no-" : "", peft_option_flag(option->name, flag, sizeof flag));
    return one;
}

peft_status peft_completion_each(const peft_command *command, void (*write)(const peft_completion *one, FILE *out),
                                 FILE *out, peft_error *error)
{
    peft_sections sections;
    peft_status status = peft_sections_build_all(&sections, command, error);
    if (status != PEFT_OK) return status;
    for (size_t i = 0; i < sections.count; i++)
        for (size_t j = 0; j < sections.list[i].count; j++) {
            peft_completion one = describe(command, &sections.list[i].options[j]);
            write(&one, out);
        }
    peft_sections_free(&sections);
    return PEFT_OK;
}

void peft_completion_put_words(const char *const *words, FILE *out)
{
    for (size_t i = 0; words && words[i]; i++) fprintf(out, "%s%s", i ? " " : "", words[i]);
}

void peft_completion_put_choices(const peft_completion *one, FILE *out)
{
    peft_command_extension extension;
    peft_completion_put_words(one->option->choices, out);
    for (size_t i = 0; is_selector(one->command, one->option) && one->command->extension(i, &extension); i++)
        fprintf(out, "%s%s", i ? " " : "", extension.name);
}

void peft_completion_put_text(const char *text, const char *marked, FILE *out)
{
    for (; *text; text++) {
        if (strchr(marked, *text)) putc('\\', out);
        if (*text == '\'')
            fputs("’", out);
        else
            putc(*text, out);
    }
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    static const struct {
        const char *name;
        peft_status (*write)(const peft_program *program, FILE *out, peft_error *error);
    } shells[] = {{"bash", peft_completion_bash}, {"zsh", peft_completion_zsh}, {"fish", peft_completion_fish}};
    size_t i = 0;
    while (strcmp(shells[i].name, arguments->operands[0]) != 0) i++; /* it is one of operand_choices */
    return shells[i].write(arguments->program, output->results, error);
}

const peft_command peft_command_completion = {
    .name = "completion",
    .summary = "print a script that completes words in bash, zsh or fish",
    .example = "source <(peft completion bash)",
    .description = "Prints a script for the shell that makes the tabulator key complete verbs, options and their known "
                   "values.\n"
                   "bash: put `source <(peft completion bash)` into ~/.bashrc.\n"
                   "zsh: put `source <(peft completion zsh)` into ~/.zshrc, after compinit.\n"
                   "fish: peft completion fish > ~/.config/fish/completions/peft.fish",
    .operands = "bash|zsh|fish",
    .min_operands = 1,
    .max_operands = 1,
    .operand_choices = (const char *const[]){"bash", "zsh", "fish", NULL},
    .run = run,
};
