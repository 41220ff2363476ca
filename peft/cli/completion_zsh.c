#include "peft/cli/completion.h"

#include "peft/cli/sections.h"

/* '--schedule=[how the learning rate falls]:NAME:(linear cosine constant)' */
static void put_option(const peft_completion *one, FILE *out)
{
    fprintf(out, "            '--%s%s[", one->flag, one->takes_value ? "=" : "");
    peft_completion_put_text(one->option->help, "[]:\\", out);
    putc(']', out);
    if (one->takes_value) fprintf(out, ":%s:", peft_option_placeholder(one->option));
    if (one->has_choices) {
        putc('(', out);
        peft_completion_put_choices(one, out);
        putc(')', out);
    } else if (one->takes_path) {
        fputs("_files", out);
    }
    fputs("' \\\n", out);
}

static peft_status put_command(const peft_command *command, FILE *out, peft_error *error)
{
    fprintf(out, "    %s)\n        _arguments \\\n", command->name);
    peft_status status = peft_completion_each(command, put_option, out, error);
    fputs("            '*:word:", out);
    if (command->operand_choices) {
        putc('(', out);
        peft_completion_put_words(command->operand_choices, out);
        putc(')', out);
    } else {
        fputs("_files", out);
    }
    fputs("' ;;\n", out);
    return status;
}

static void put_verbs(const peft_program *program, FILE *out)
{
    for (const peft_command *const *command = program->commands; *command; command++) {
        fprintf(out, "        '%s:", (*command)->name);
        peft_completion_put_text((*command)->summary, ":\\", out);
        fputs("'\n", out);
    }
}

peft_status peft_completion_zsh(const peft_program *program, FILE *out, peft_error *error)
{
    peft_status status = PEFT_OK;
    fprintf(out, "#compdef %s\n_%s() {\n    local -a verbs=(\n", program->name, program->name);
    put_verbs(program, out);
    fputs("    )\n"
          "    if ((CURRENT == 2)); then\n"
          "        _describe verb verbs\n"
          "        return\n"
          "    fi\n"
          "    shift words\n"
          "    ((CURRENT--))\n"
          "    case $words[1] in\n",
          out);
    for (const peft_command *const *command = program->commands; *command && status == PEFT_OK; command++)
        status = put_command(*command, out, error);
    /* The file is either autoloaded as the function itself or sourced. */
    fprintf(out, "    esac\n}\nif [ \"$funcstack[1]\" = _%s ]; then _%s \"$@\"; else compdef _%s %s; fi\n",
            program->name, program->name, program->name, program->name);
    return status;
}
