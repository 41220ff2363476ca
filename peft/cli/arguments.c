#include "peft/cli/arguments.h"

#include "io/json.h"
#include "io/yaml.h"
#include "ops/nearest.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 96, FLAG_SETS = 1 };

#define FIELD(type_, name_) .name = #name_, .type = (type_), .offset = offsetof(peft_shared_options, name_)

const peft_option peft_flag_option_table[] = {
    {FIELD(PEFT_OPTION_BOOL, help), .group = "Common options", .help = "show this help and end"},
    {FIELD(PEFT_OPTION_STRING, config), .group = "Common options", .placeholder = "FILE",
     .help = "read settings from a YAML or JSON file; flags go before it"},
    {FIELD(PEFT_OPTION_BOOL, print_config), .group = "Common options",
     .help = "print all settings as a file for --config and end"},
    {0}};

const peft_option peft_shared_option_table[] = {
    {FIELD(PEFT_OPTION_INT, threads), .group = "Common options", .initial = "0", .max = 1024, .placeholder = "N",
     .help = "threads to compute with, 0 for one on each core; results do not depend on it"},
    {FIELD(PEFT_OPTION_BOOL, json), .group = "Common options", .help = "print the result as one JSON document"},
    {FIELD(PEFT_OPTION_BOOL, quiet), .group = "Common options", .help = "no progress and no messages but errors"},
    {FIELD(PEFT_OPTION_BOOL, verbose), .group = "Common options", .help = "more messages"},
    {0}};

static peft_status no_memory(peft_error *error)
{
    peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    return PEFT_ERR_MEMORY;
}

/* ---- tables ---- */

/* Adds a table whose struct starts at its defaults. */
static peft_status add_set(peft_arguments *arguments, const peft_option *table, void *values, peft_error *error)
{
    peft_option_set *sets = realloc(arguments->sets, (arguments->num_sets + 1) * sizeof *sets);
    if (!sets) return no_memory(error);
    arguments->sets = sets;
    peft_status status = peft_options_init(table, values, error);
    if (status == PEFT_OK) sets[arguments->num_sets++] = (peft_option_set){table, values};
    return status;
}

static peft_status add_parts(peft_arguments *arguments, peft_error *error)
{
    const peft_command *command = arguments->command;
    peft_status status = add_set(arguments, peft_flag_option_table, &arguments->shared, error);
    if (status == PEFT_OK) status = add_set(arguments, peft_shared_option_table, &arguments->shared, error);
    if (status != PEFT_OK || !command->parts) return status;
    arguments->values = calloc(1, command->bytes);
    if (!arguments->values) return no_memory(error);
    for (const peft_command_part *part = command->parts; part->table && status == PEFT_OK; part++)
        status = add_set(arguments, part->table, (char *)arguments->values + part->offset, error);
    return status;
}

/* ---- extensions ---- */

/* A name ends at a colon: what follows, as in lora:rank=8, is the verb's own matter. */
static bool find_extension(const peft_command *command, const char *name, peft_command_extension *extension)
{
    size_t length = strcspn(name, ":");
    for (size_t i = 0; command->extension(i, extension); i++)
        if (strlen(extension->name) == length && strncmp(extension->name, name, length) == 0) return true;
    return false;
}

static peft_status unknown_extension(const peft_command *command, const char *name, peft_error *error)
{
    peft_command_extension extension;
    size_t count = 0;
    while (command->extension(count, &extension)) count++;
    const char **names = malloc((count + 1) * sizeof *names);
    if (!names) return no_memory(error);
    for (size_t i = 0; i < count && command->extension(i, &extension); i++) names[i] = extension.name;
    char *wrong = strndup(name, strcspn(name, ":"));
    peft_status status = wrong ? peft_fail_unknown(error, PEFT_ERR_ARGUMENT, command->selector, wrong,
                                                   &(peft_names){names, count, sizeof *names})
                               : no_memory(error);
    free(wrong);
    free(names);
    return status;
}

static peft_status add_extension(peft_arguments *arguments, const char *name, peft_error *error)
{
    peft_command_extension found;
    if (!find_extension(arguments->command, name, &found)) return unknown_extension(arguments->command, name, error);
    if (peft_arguments_extension(arguments, found.name)) return PEFT_OK;
    peft_command_extension *extensions =
        realloc(arguments->extensions, (arguments->num_extensions + 1) * sizeof *extensions);
    if (!extensions) return no_memory(error);
    arguments->extensions = extensions;

    void *values = calloc(1, found.bytes + 1); /* a table may be empty */
    peft_status status = values ? add_set(arguments, found.table, values, error) : no_memory(error);
    if (status == PEFT_OK)
        extensions[arguments->num_extensions++] = found;
    else
        free(values);
    return status;
}

static peft_status add_listed_extensions(peft_arguments *arguments, const json_t *names, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < json_array_size(names) && status == PEFT_OK; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        status =
            name ? add_extension(arguments, name, error)
                 : peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected a list of names", arguments->command->selector);
    }
    return status;
}

/* The selector holds a name, or a list of names, or nothing. */
static peft_status add_extensions(peft_arguments *arguments, peft_error *error)
{
    const char *selector = arguments->command->selector;
    const peft_option_set *owner;
    if (!selector) return PEFT_OK;
    const peft_option *option = peft_option_sets_find(arguments->sets, arguments->num_sets, selector, &owner);
    json_t *settings = option ? peft_options_to_json(owner->table, owner->values) : NULL;
    if (!settings) return no_memory(error);
    const json_t *value = json_object_get(settings, selector);
    peft_status status = json_is_string(value) ? add_extension(arguments, json_string_value(value), error)
                                               : add_listed_extensions(arguments, value, error);
    json_decref(settings);
    return status;
}

void *peft_arguments_extension(const peft_arguments *arguments, const char *name)
{
    size_t first = arguments->num_sets - arguments->num_extensions;
    for (size_t i = 0; i < arguments->num_extensions; i++)
        if (strcmp(arguments->extensions[i].name, name) == 0) return arguments->sets[first + i].values;
    return NULL;
}

/* ---- words ---- */

/* While extensions are not there yet, names that are not known are passed over; with `strict` they are errors. */
typedef struct word_list {
    const char *const *at, *const *end;
    bool strict;
} word_list;

static const peft_option *find(const peft_arguments *arguments, const char *name)
{
    return peft_option_sets_find(arguments->sets, arguments->num_sets, name, NULL);
}

static peft_status set(const peft_arguments *arguments, const char *name, const char *text, peft_error *error)
{
    return peft_option_sets_set_text(arguments->sets, arguments->num_sets, name, text, error);
}

/* "target-rank=4" gives "target_rank"; what follows the equals sign, or NULL, is returned. A name that is too long is
 * cut, and not known anyway. */
static const char *split_flag(const char *word, char name[NAME_BYTES])
{
    size_t length = strcspn(word, "="), kept = length < NAME_BYTES ? length : NAME_BYTES - 1;
    memcpy(name, word, kept);
    name[kept] = '\0';
    for (char *c = name; *c; c++)
        if (*c == '-') *c = '_';
    return word[length] ? word + length + 1 : NULL;
}

/* The boolean that a flag without a value switches off, or NULL. */
static const peft_option *find_negated(const peft_arguments *arguments, const char *name)
{
    const peft_option *option = strncmp(name, "no_", 3) == 0 ? find(arguments, name + 3) : NULL;
    return option && option->type == PEFT_OPTION_BOOL ? option : NULL;
}

/* The word after a flag. One that looks like a flag is more likely a value forgotten. */
static peft_status take_value(word_list *words, const peft_option *option, const char *flag, const char **value,
                              peft_error *error)
{
    const char *wanted = option->placeholder ? option->placeholder : "a value";
    if (words->at == words->end) return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected %s behind it", flag, wanted);
    if (strncmp(*words->at, "--", 2) == 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected %s, found %s; if it is the value, write %s=%s", flag,
                         wanted, *words->at, flag, *words->at);
    *value = *words->at++;
    return PEFT_OK;
}

static void append_name(char *list, size_t bytes, const char *name)
{
    size_t used = strlen(list);
    snprintf(list + used, bytes - used, "%s%s", used ? ", " : "", name);
}

/* A setting of an extension that was not chosen is named as such. */
static peft_status unknown_flag(const peft_arguments *arguments, const char *name, const char *flag, peft_error *error)
{
    char owners[256] = "";
    peft_command_extension extension;
    const peft_command *command = arguments->command;
    for (size_t i = 0; command->selector && command->extension(i, &extension); i++)
        if (peft_options_find(extension.table, name)) append_name(owners, sizeof owners, extension.name);
    if (!*owners) return set(arguments, name, "", error);
    return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: only with %s %s", flag, command->selector, owners);
}

static peft_status read_flag(peft_arguments *arguments, word_list *words, peft_error *error)
{
    char name[NAME_BYTES];
    const char *flag = *words->at++, *value = split_flag(flag + 2, name);
    const peft_option *option = find(arguments, name),
                      *negated = option || value ? NULL : find_negated(arguments, name);
    if (negated) return set(arguments, negated->name, "false", error);
    if (!option) return words->strict ? unknown_flag(arguments, name, flag, error) : PEFT_OK;
    if (!value && option->type == PEFT_OPTION_BOOL) value = "true";
    peft_status status = value ? PEFT_OK : take_value(words, option, flag, &value, error);
    return status == PEFT_OK ? set(arguments, name, value, error) : status;
}

static peft_status read_word(peft_arguments *arguments, word_list *words, peft_error *error)
{
    const char *word = *words->at;
    if (strncmp(word, "--", 2) == 0) return read_flag(arguments, words, error);
    words->at++;
    if (strcmp(word, "-h") == 0) return set(arguments, "help", "true", error);
    if (word[0] == '-' && word[1] && words->strict)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: options are written with two dashes", word);
    arguments->operands[arguments->num_operands++] = word;
    return PEFT_OK;
}

static peft_status read_words(peft_arguments *arguments, word_list words, peft_error *error)
{
    peft_status status = PEFT_OK;
    arguments->num_operands = 0;
    while (words.at < words.end && strcmp(*words.at, "--") != 0 && status == PEFT_OK)
        status = read_word(arguments, &words, error);
    for (words.at += words.at < words.end; words.at < words.end; words.at++)
        arguments->operands[arguments->num_operands++] = *words.at;
    return status;
}

/* ---- configuration file ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static peft_status load_file(peft_arguments *arguments, peft_error *error)
{
    const char *path = arguments->shared.config;
    if (!path) return PEFT_OK;
    peft_status status = (ends_with(path, ".json") ? peft_json_load : peft_yaml_load)(path, &arguments->file, error);
    if (status != PEFT_OK || json_is_object(arguments->file)) return status;
    return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected settings as \"name: value\"", path);
}

static peft_status apply_file(peft_arguments *arguments, bool strict, peft_error *error)
{
    const char *key;
    json_t *value;
    const peft_option_set *sets = arguments->sets + FLAG_SETS;
    size_t count = arguments->num_sets - FLAG_SETS;
    json_object_foreach(arguments->file, key, value)
    {
        bool known = peft_option_sets_find(sets, count, key, NULL);
        peft_status status = known || strict ? peft_option_sets_set_json(sets, count, key, value, error) : PEFT_OK;
        if (status != PEFT_OK) return peft_fail_in(error, status, arguments->shared.config);
    }
    return PEFT_OK;
}

/* ---- the whole ---- */

/* The file first, so that flags overwrite it. */
static peft_status apply(peft_arguments *arguments, word_list words, peft_error *error)
{
    peft_status status = apply_file(arguments, words.strict, error);
    return status == PEFT_OK ? read_words(arguments, words, error) : status;
}

static peft_status check_operand(const peft_command *command, const char *word, peft_error *error)
{
    const char *const *choices = command->operand_choices;
    size_t count = 0;
    while (choices[count] && strcmp(choices[count], word) != 0) count++;
    if (choices[count]) return PEFT_OK;
    return peft_fail_unknown(error, PEFT_ERR_ARGUMENT, command->operands, word,
                             &(peft_names){choices, count, sizeof *choices});
}

static peft_status check_operands(const peft_arguments *arguments, peft_error *error)
{
    const peft_command *command = arguments->command;
    peft_status status = PEFT_OK;
    if (arguments->num_operands < command->min_operands)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s is missing; see '%s %s --help'", command->operands,
                         arguments->program->name, command->name);
    if (arguments->num_operands > command->max_operands)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "unexpected word \"%s\"; see '%s %s --help'",
                         arguments->operands[command->max_operands], arguments->program->name, command->name);
    for (size_t i = 0; command->operand_choices && i < arguments->num_operands && status == PEFT_OK; i++)
        status = check_operand(command, arguments->operands[i], error);
    return status;
}

static bool is_missing(const peft_arguments *arguments, const char *name)
{
    const peft_option_set *owner = NULL;
    const peft_option *option = peft_option_sets_find(arguments->sets, arguments->num_sets, name, &owner);
    const void *field = option ? (const char *)owner->values + option->offset : NULL;
    return !option || (option->type == PEFT_OPTION_STRING ? !*(char *const *)field : !*(json_t *const *)field);
}

static peft_status check_required(const peft_arguments *arguments, peft_error *error)
{
    char flag[NAME_BYTES];
    for (const char *const *name = arguments->command->required; name && *name; name++) {
        const peft_option *option = find(arguments, *name);
        if (!is_missing(arguments, *name)) continue;
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--%s %s is missing; see '%s %s --help'",
                         peft_option_flag(*name, flag, sizeof flag),
                         option && option->placeholder ? option->placeholder : "", arguments->program->name,
                         arguments->command->name);
    }
    return PEFT_OK;
}

/* A file and a chosen extension bring names that the words are to be read with. So the words are looked through for the
 * file, file and words for what chooses extensions, and then both are read in earnest. */
static peft_status parse(peft_arguments *arguments, word_list words, peft_error *error)
{
    peft_status status = add_parts(arguments, error);
    if (status == PEFT_OK) status = read_words(arguments, words, error);
    if (status == PEFT_OK && !arguments->shared.help) status = load_file(arguments, error);
    if (status == PEFT_OK) status = apply(arguments, words, error);
    if (status == PEFT_OK) status = add_extensions(arguments, error);
    if (status != PEFT_OK || arguments->shared.help) return status;

    words.strict = true;
    status = apply(arguments, words, error);
    if (status == PEFT_OK && !arguments->shared.print_config) status = check_operands(arguments, error);
    if (status == PEFT_OK && !arguments->shared.print_config) status = check_required(arguments, error);
    return status;
}

peft_status peft_arguments_parse(peft_arguments *arguments, const peft_program *program, const peft_command *command,
                                 int argc, const char *const *argv, peft_error *error)
{
    *arguments = (peft_arguments){.program = program, .command = command};
    arguments->operands = calloc((size_t)argc + 1, sizeof *arguments->operands);
    if (!arguments->operands) return no_memory(error);
    return parse(arguments, (word_list){argv, argv + argc, false}, error);
}

void peft_arguments_free(peft_arguments *arguments)
{
    size_t first_extension = arguments->num_sets - arguments->num_extensions;
    for (size_t i = 0; i < arguments->num_sets; i++) {
        peft_options_free(arguments->sets[i].table, arguments->sets[i].values);
        if (i >= first_extension) free(arguments->sets[i].values);
    }
    free(arguments->sets);
    free(arguments->extensions);
    free(arguments->values);
    free(arguments->operands);
    json_decref(arguments->file);
    *arguments = (peft_arguments){0};
}

/* Takes out what the set holds another value of. False: out of memory. */
static bool drop_differing(json_t *settings, const peft_option_set *set)
{
    json_t *own = peft_options_to_json(set->table, set->values);
    const char *key;
    json_t *value;
    json_object_foreach(own, key, value)
    {
        const json_t *shown = json_object_get(settings, key);
        if (shown && !json_equal(shown, value)) json_object_del(settings, key);
    }
    bool complete = own != NULL;
    json_decref(own);
    return complete;
}

/* Extensions may have defaults of their own for a name that they share. Nobody has set such an option, or it would be
 * the same in all, and a file that does not name it gives each its default again. */
json_t *peft_arguments_to_json(const peft_arguments *arguments)
{
    json_t *settings = peft_option_sets_to_json(arguments->sets + FLAG_SETS, arguments->num_sets - FLAG_SETS);
    for (size_t i = arguments->num_sets - arguments->num_extensions; settings && i < arguments->num_sets; i++) {
        if (drop_differing(settings, &arguments->sets[i])) continue;
        json_decref(settings);
        return NULL;
    }
    return settings;
}
