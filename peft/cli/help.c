#include "peft/cli/help.h"

#include "peft/cli/sections.h"
#include "peft/cli/text.h"

#include <string.h>

enum {
    MIN_WIDTH = 80,
    MAX_WIDTH = 100,
    FLAG_COLUMN = 2,
    TEXT_COLUMN = 28,
    VERB_COLUMN = 19,
    FLAG_BYTES = 96,
    LINE_BYTES = 256,
    USAGE_BYTES = 512,
    SENTENCE_BYTES = 1024
};

static size_t clamp_width(size_t width)
{
    return width < MIN_WIDTH ? MIN_WIDTH : width > MAX_WIDTH ? MAX_WIDTH : width;
}

/* `left` at FLAG_COLUMN and `right` from `column` on, below it where `left` is too long. */
static void print_pair(FILE *out, const char *left, const char *right, size_t column, size_t width)
{
    size_t used = FLAG_COLUMN + peft_text_columns(left);
    fprintf(out, "%*s%s", FLAG_COLUMN, "", left);
    if (used + 1 > column)
        fprintf(out, "\n%*s", (int)column, "");
    else
        fprintf(out, "%*s", (int)(column - used), "");
    peft_text_wrap(out, right, column, column, width);
}

/* Lines as they are, two columns to the right. */
static void print_block(FILE *out, const char *text)
{
    while (*text) {
        size_t bytes = strcspn(text, "\n");
        fprintf(out, "%*s%.*s\n", FLAG_COLUMN, "", (int)bytes, text);
        text += bytes + (text[bytes] != '\0');
    }
}

char *peft_flag_synopsis(const peft_option *option, char *buffer, size_t bytes)
{
    char flag[FLAG_BYTES];
    const char *placeholder = peft_option_placeholder(option);
    bool is_on = option->type == PEFT_OPTION_BOOL && option->initial && strcmp(option->initial, "true") == 0;
    snprintf(buffer, bytes, "--%s%s%s%s", is_on ? "[no-]" : "", peft_option_flag(option->name, flag, sizeof flag),
             *placeholder ? " " : "", placeholder);
    return buffer;
}

static const peft_option *find_in_parts(const peft_command *command, const char *name)
{
    const peft_option *found = NULL;
    for (const peft_command_part *part = command->parts; part && part->table && !found; part++)
        found = peft_options_find(part->table, name);
    return found;
}

static void append(char *buffer, size_t bytes, const char *word)
{
    size_t used = strlen(buffer);
    snprintf(buffer + used, bytes - used, "%s%s", used ? " " : "", word);
}

char *peft_usage(const peft_command *command, char *buffer, size_t bytes)
{
    char synopsis[LINE_BYTES];
    buffer[0] = '\0';
    for (const char *const *name = command->required; name && *name; name++) {
        const peft_option *option = find_in_parts(command, *name);
        if (option) append(buffer, bytes, peft_flag_synopsis(option, synopsis, sizeof synopsis));
    }
    append(buffer, bytes, "[options]");
    if (command->operands) append(buffer, bytes, command->operands);
    return buffer;
}

static void print_usage(const peft_program *program, const peft_command *command, FILE *out, size_t width)
{
    char usage[USAGE_BYTES];
    size_t column = (size_t)fprintf(out, "Usage: %s %s ", program->name, command->name);
    peft_text_wrap(out, peft_usage(command, usage, sizeof usage), column, column, width);
}

static void print_section(const peft_section *section, FILE *out, size_t width)
{
    char synopsis[LINE_BYTES], sentence[SENTENCE_BYTES];
    fprintf(out, "\n%s:\n", section->title);
    for (size_t i = 0; i < section->count; i++)
        print_pair(out, peft_flag_synopsis(&section->options[i], synopsis, sizeof synopsis),
                   peft_option_sentence(&section->options[i], sentence, sizeof sentence), TEXT_COLUMN, width);
}

peft_status peft_help_command(const peft_arguments *arguments, FILE *out, size_t width, peft_error *error)
{
    const peft_command *command = arguments->command;
    peft_sections sections;
    width = clamp_width(width);
    peft_status status =
        peft_sections_build(&sections, command, arguments->extensions, arguments->num_extensions, error);
    if (status != PEFT_OK) return status;
    fputs("Example:\n", out);
    print_block(out, command->example);
    putc('\n', out);
    print_usage(arguments->program, command, out, width);
    putc('\n', out);
    peft_text_wrap(out, command->description, 0, 0, width);
    for (size_t i = 0; i < sections.count; i++) print_section(&sections.list[i], out, width);
    peft_sections_free(&sections);
    return PEFT_OK;
}

void peft_help_program(const peft_program *program, FILE *out, size_t width)
{
    width = clamp_width(width);
    fprintf(out, "Usage: %s VERB [options]\n\n", program->name);
    peft_text_wrap(out, program->description, 0, 0, width);
    fputs("\nVerbs:\n", out);
    for (const peft_command *const *command = program->commands; *command; command++)
        print_pair(out, (*command)->name, (*command)->summary, VERB_COLUMN, width);
    fprintf(out, "\n'%s VERB --help' explains a verb, '%s --version --verbose' shows what is built in.\n",
            program->name, program->name);
}
