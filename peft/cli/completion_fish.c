#include "peft/cli/completion.h"

static void put_option(const peft_completion *one, FILE *out)
{
    fprintf(out, "complete -c $program -n '__fish_seen_subcommand_from %s' -l %s", one->command->name, one->flag);
    if (one->has_choices) {
        fputs(" -xa '", out);
        peft_completion_put_choices(one, out);
        putc('\'', out);
    } else if (one->takes_value) {
        fputs(one->takes_path ? " -rF" : " -x", out);
    }
    fputs(" -d '", out);
    peft_completion_put_text(one->option->help, "\\", out);
    fputs("'\n", out);
}

static peft_status put_command(const peft_command *command, FILE *out, peft_error *error)
{
    fprintf(out, "complete -c $program -f -n __fish_use_subcommand -a %s -d '", command->name);
    peft_completion_put_text(command->summary, "\\", out);
    fputs("'\n", out);
    if (command->operand_choices) {
        fprintf(out, "complete -c $program -f -n '__fish_seen_subcommand_from %s' -a '", command->name);
        peft_completion_put_words(command->operand_choices, out);
        fputs("'\n", out);
    }
    return peft_completion_each(command, put_option, out, error);
}

peft_status peft_completion_fish(const peft_program *program, FILE *out, peft_error *error)
{
    peft_status status = PEFT_OK;
    fprintf(out, "set -l program %s\n", program->name);
    for (const peft_command *const *command = program->commands; *command && status == PEFT_OK; command++)
        status = put_command(*command, out, error);
    return status;
}
