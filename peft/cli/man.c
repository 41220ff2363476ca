/* peft/cli/man.c - `peft man [VERB]`: the manual page as roff, for `peft man train | man -l -` and for installation. */
#include "peft/cli/commands.h"

#include "peft/cli/arguments.h"
#include "peft/cli/help.h"
#include "peft/cli/program.h"
#include "peft/cli/sections.h"

#include <ctype.h>

enum { FLAG_BYTES = 256, USAGE_BYTES = 512, SENTENCE_BYTES = 1024 };

/* Text in which nothing is a roff command: backslashes, a dot or an apostrophe that begins a line, and hyphens, which
 * roff would turn into dashes that cannot be pasted into a shell. `line_break` stands for each '\n'. */
static void put_text(FILE *out, const char *text, const char *line_break)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\'')) fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\n')
            fputs(line_break, out);
        else
            putc(*text, out);
        line_start = *text == '\n';
    }
    putc('\n', out);
}

static void put_upper(FILE *out, const char *text)
{
    for (; *text; text++) putc(toupper((unsigned char)*text), out);
}

/* `verb` is NULL on the program's own page. */
static void put_head(const peft_program *program, const char *verb, const char *summary, FILE *out)
{
    fputs(".TH ", out);
    put_upper(out, program->name);
    if (verb) {
        putc('-', out);
        put_upper(out, verb);
    }
    fprintf(out, " 1 \"\" \"%s %s\"\n.SH NAME\n%s%s%s \\- ", program->name, program->version, program->name,
            verb ? "\\-" : "", verb ? verb : "");
    put_text(out, summary, " ");
}

static void put_section(const peft_section *section, FILE *out)
{
    char flag[FLAG_BYTES], sentence[SENTENCE_BYTES];
    fputs(".SS ", out);
    put_text(out, section->title, " ");
    for (size_t i = 0; i < section->count; i++) {
        fputs(".TP\n.B ", out);
        put_text(out, peft_flag_synopsis(&section->options[i], flag, sizeof flag), " ");
        put_text(out, peft_option_sentence(&section->options[i], sentence, sizeof sentence), " ");
    }
}

static peft_status put_command(const peft_program *program, const peft_command *command, FILE *out, peft_error *error)
{
    char usage[USAGE_BYTES];
    peft_sections sections;
    peft_status status = peft_sections_build_all(&sections, command, error);
    if (status != PEFT_OK) return status;
    put_head(program, command->name, command->summary, out);
    fprintf(out, ".SH SYNOPSIS\n.B %s %s\n", program->name, command->name);
    put_text(out, peft_usage(command, usage, sizeof usage), " ");
    fputs(".SH EXAMPLE\n.nf\n", out);
    put_text(out, command->example, "\n");
    fputs(".fi\n.SH DESCRIPTION\n", out);
    put_text(out, command->description, "\n.PP\n");
    fputs(".SH OPTIONS\n", out);
    for (size_t i = 0; i < sections.count; i++) put_section(&sections.list[i], out);
    peft_sections_free(&sections);
    return PEFT_OK;
}

static void put_program(const peft_program *program, FILE *out)
{
    put_head(program, NULL, "fine-tunes transformers with adapters of the LoRA family", out);
    fprintf(out, ".SH SYNOPSIS\n.B %s\n.I VERB\n[options]\n.SH DESCRIPTION\n", program->name);
    put_text(out, program->description, "\n.PP\n");
    fputs(".SH VERBS\n", out);
    for (const peft_command *const *command = program->commands; *command; command++) {
        fprintf(out, ".TP\n.BR %s\\-%s (1)\n", program->name, (*command)->name);
        put_text(out, (*command)->summary, " ");
    }
    fputs(".SH EXIT STATUS\n", out);
    for (const peft_exit_meaning *one = peft_exit_meanings; one->meaning; one++) {
        fprintf(out, ".TP\n%d\n", one->code);
        put_text(out, one->meaning, " ");
    }
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    const peft_command *command;
    if (arguments->num_operands == 0) {
        put_program(arguments->program, output->results);
        return PEFT_OK;
    }
    peft_status status = peft_program_find(arguments->program, arguments->operands[0], &command, error);
    return status == PEFT_OK ? put_command(arguments->program, command, output->results, error) : status;
}

const peft_command peft_command_man = {
    .name = "man",
    .summary = "print a manual page",
    .example = "peft man | man -l -\npeft man completion | man -l -",
    .description = "Prints the manual page of the program, or of one verb, in roff. The installed pages peft(1) and "
                   "peft-VERB(1) are made from it.",
    .operands = "[VERB]",
    .max_operands = 1,
    .run = run,
};
