#include "peft/cli/completion.h"

static void put_flag(const peft_completion *one, FILE *out)
{
    fprintf(out, " --%s", one->flag);
}

/* Behind a flag stands one of its known words; where there are none, bash offers files. */
static void put_value(const peft_completion *one, FILE *out)
{
    if (!one->takes_value) return;
    fprintf(out, "    %s:--%s) ", one->command->name, one->flag);
    if (!one->has_choices) {
        fputs("return ;;\n", out);
        return;
    }
    fputs("words='", out);
    peft_completion_put_choices(one, out);
    fputs("' ;;\n", out);
}

static peft_status put_command(const peft_command *command, FILE *out, peft_error *error)
{
    peft_status status = peft_completion_each(command, put_value, out, error);
    if (status != PEFT_OK) return status;
    fprintf(out, "    %s:*) words='", command->name);
    peft_completion_put_words(command->operand_choices, out);
    status = peft_completion_each(command, put_flag, out, error);
    fputs("' ;;\n", out);
    return status;
}

peft_status peft_completion_bash(const peft_program *program, FILE *out, peft_error *error)
{
    peft_status status = PEFT_OK;
    fprintf(out,
            "_%s() {\n"
            "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
            "    local verb=${COMP_WORDS[1]} words=\n"
            "    COMPREPLY=()\n"
            "    if ((COMP_CWORD == 1)); then verb=; fi\n"
            "    case $verb:$previous in\n"
            "    :*) words='--help --version",
            program->name);
    for (const peft_command *const *command = program->commands; *command; command++)
        fprintf(out, " %s", (*command)->name);
    fputs("' ;;\n", out);
    for (const peft_command *const *command = program->commands; *command && status == PEFT_OK; command++)
        status = put_command(*command, out, error);
    fprintf(out,
            "    esac\n"
            "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
            "}\n"
            "complete -o default -F _%s %s\n",
            program->name, program->name);
    return status;
}
