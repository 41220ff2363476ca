#include "peft/cli/sections.h"

#include "peft/cli/arguments.h"

#include <stdlib.h>
#include <string.h>

enum { LIMITS_BYTES = 512, DEFAULT_BYTES = 128 };

static bool is_listed(const peft_sections *sections, const char *name)
{
    for (size_t i = 0; i < sections->count; i++)
        for (size_t j = 0; j < sections->list[i].count; j++)
            if (strcmp(sections->list[i].options[j].name, name) == 0) return true;
    return false;
}

static peft_section *find_section(const peft_sections *sections, const char *title)
{
    for (size_t i = 0; i < sections->count; i++)
        if (strcmp(sections->list[i].title, title) == 0) return &sections->list[i];
    return NULL;
}

static peft_section *add_section(peft_sections *sections, const char *title)
{
    peft_section *list = realloc(sections->list, (sections->count + 1) * sizeof *list);
    if (!list) return NULL;
    sections->list = list;
    peft_section *section = &list[sections->count++];
    *section = (peft_section){0};
    snprintf(section->title, sizeof section->title, "%s", title);
    return section;
}

static peft_status add_option(peft_sections *sections, const char *title, const peft_option *option, peft_error *error)
{
    peft_section *section = find_section(sections, title);
    if (!section) section = add_section(sections, title);
    peft_option *options = section ? realloc(section->options, (section->count + 1) * sizeof *options) : NULL;
    if (!options) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    section->options = options;
    options[section->count++] = *option;
    return PEFT_OK;
}

/* `title` is for all of the table; NULL: each setting has its group's. */
static peft_status add_table(peft_sections *sections, const char *title, const peft_option *table, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (; table->name && status == PEFT_OK; table++) {
        const char *group = table->group ? table->group : "Options";
        if (!is_listed(sections, table->name)) status = add_option(sections, title ? title : group, table, error);
    }
    return status;
}

static peft_status add_extension(peft_sections *sections, const peft_command *command,
                                 const peft_command_extension *extension, peft_error *error)
{
    char title[sizeof sections->list->title], flag[32];
    snprintf(title, sizeof title, "Options of --%s %s", peft_option_flag(command->selector, flag, sizeof flag),
             extension->name);
    return add_table(sections, title, extension->table, error);
}

static peft_status add_all(peft_sections *sections, const peft_command *command,
                           const peft_command_extension *extensions, size_t num_extensions, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (const peft_command_part *part = command->parts; part && part->table && status == PEFT_OK; part++)
        status = add_table(sections, NULL, part->table, error);
    for (size_t i = 0; i < num_extensions && status == PEFT_OK; i++)
        status = add_extension(sections, command, &extensions[i], error);
    if (status == PEFT_OK) status = add_table(sections, NULL, peft_flag_option_table, error);
    if (status == PEFT_OK) status = add_table(sections, NULL, peft_shared_option_table, error);
    return status;
}

peft_status peft_sections_build(peft_sections *sections, const peft_command *command,
                                const peft_command_extension *extensions, size_t num_extensions, peft_error *error)
{
    *sections = (peft_sections){0};
    peft_status status = add_all(sections, command, extensions, num_extensions, error);
    if (status != PEFT_OK) peft_sections_free(sections);
    return status;
}

peft_status peft_sections_build_all(peft_sections *sections, const peft_command *command, peft_error *error)
{
    peft_command_extension one;
    size_t count = 0;
    while (command->selector && command->extension(count, &one)) count++;
    peft_command_extension *extensions = calloc(count + 1, sizeof *extensions);
    if (!extensions) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) command->extension(i, &extensions[i]);
    peft_status status = peft_sections_build(sections, command, extensions, count, error);
    free(extensions);
    return status;
}

void peft_sections_free(peft_sections *sections)
{
    for (size_t i = 0; i < sections->count; i++) free(sections->list[i].options);
    free(sections->list);
    *sections = (peft_sections){0};
}

const char *peft_option_placeholder(const peft_option *option)
{
    static const char *const by_type[] = {[PEFT_OPTION_INT] = "N",
                                          [PEFT_OPTION_FLOAT] = "X",
                                          [PEFT_OPTION_BOOL] = "",
                                          [PEFT_OPTION_STRING] = "TEXT",
                                          [PEFT_OPTION_JSON] = "LIST"};
    return option->placeholder ? option->placeholder : by_type[option->type];
}

char *peft_option_sentence(const peft_option *option, char *buffer, size_t bytes)
{
    char limits[LIMITS_BYTES], initial[DEFAULT_BYTES] = "";
    bool is_off = option->type == PEFT_OPTION_BOOL && (!option->initial || strcmp(option->initial, "false") == 0);
    peft_option_limits(option, limits, sizeof limits);
    if (option->initial && !is_off) snprintf(initial, sizeof initial, "default %s", option->initial);
    const char *between = *limits && *initial ? "; " : "";
    bool parentheses = *limits || *initial;
    snprintf(buffer, bytes, "%s%s%s%s%s%s", option->help, parentheses ? " (" : "", limits, between, initial,
             parentheses ? ")" : "");
    return buffer;
}
