#include "peft/cli/compare/item.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static peft_status no_memory(const char *text, peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", text);
}

size_t peft_compare_item_name_bytes(const char *text)
{
    return strcspn(text, ":");
}

/* Bytes of the struct that a table describes, as far as its fields reach. */
static size_t struct_bytes(const peft_option *table)
{
    size_t bytes = 0;
    for (; table->name; table++)
        if (bytes < table->offset + sizeof(int64_t)) bytes = table->offset + sizeof(int64_t);
    return bytes + 1; /* a table may be empty */
}

/* A struct of its own for `table`, with the values of `settings`. */
static peft_status open_set(peft_option_set *set, const peft_option *table, const json_t *settings, peft_error *error)
{
    void *values = calloc(1, struct_bytes(table));
    if (!values) return no_memory("settings", error);
    peft_status status = peft_options_init(table, values, error);
    *set = (peft_option_set){table, values};
    for (const peft_option *option = table; option->name && status == PEFT_OK; option++) {
        const json_t *value = json_object_get(settings, option->name);
        if (value) status = peft_options_set_json(table, values, option->name, value, error);
    }
    return status;
}

static void close_sets(peft_option_set *sets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (sets[i].values) peft_options_free(sets[i].table, sets[i].values);
        free(sets[i].values);
    }
}

/* Sets what a piece "target-rank=4" says, and adds its name to `own`. The piece is changed. */
static peft_status read_piece(char *piece, const peft_option_set *sets, size_t count, json_t *own, peft_error *error)
{
    char *equals = strchr(piece, '=');
    if (!equals || equals == piece)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "\"%s\": expected OPTION=VALUE, as in lora:rank=8:alpha=16", piece);
    *equals = '\0';
    for (char *c = piece; *c; c++)
        if (*c == '-') *c = '_';
    if (json_object_set_new(own, piece, json_null()) != 0) return no_memory(piece, error);
    return peft_option_sets_set_text(sets, count, piece, equals + 1, error);
}

static peft_status read_pieces(char *pieces, const peft_option_set *sets, size_t count, json_t *own, peft_error *error)
{
    char *rest = NULL;
    peft_status status = PEFT_OK;
    for (char *piece = strtok_r(pieces, ":", &rest); piece && status == PEFT_OK; piece = strtok_r(NULL, ":", &rest))
        status = read_piece(piece, sets, count, own, error);
    return status;
}

/* Takes the values over from the structs: all of them to `all`, and the named ones to `own`. */
static bool take_settings(peft_compare_item *item, const peft_option_set *sets, size_t count)
{
    json_t *settings = peft_option_sets_to_json(sets, count);
    bool taken = settings && json_object_update(item->all, settings) == 0;
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(item->own, next, key, value) taken =
        taken && json_object_set(item->own, key, json_object_get(settings, key)) == 0;
    json_decref(settings);
    return taken;
}

static peft_status read_options(peft_compare_item *item, const peft_option_set *given, size_t count, peft_error *error)
{
    peft_option_set *sets = calloc(count + 1, sizeof *sets);
    char *pieces = strdup(item->text + strlen(item->variant));
    peft_status status = sets && pieces ? PEFT_OK : no_memory(item->text, error);
    for (size_t i = 0; i < count && status == PEFT_OK; i++)
        status = open_set(&sets[i], given[i].table, item->all, error);
    if (status == PEFT_OK) status = read_pieces(pieces, sets, count, item->own, error);
    if (status == PEFT_OK && !take_settings(item, sets, count)) status = no_memory(item->text, error);
    if (sets) close_sets(sets, count);
    free(sets);
    free(pieces);
    return status;
}

/* What file systems and shells take without quotes. */
static void make_label(char *label)
{
    for (; *label; label++)
        if (!isalnum((unsigned char)*label) && !strchr("._+-", *label)) *label = '-';
}

peft_status peft_compare_item_parse(peft_compare_item *item, const char *text, const peft_option_set *sets,
                                    size_t count, peft_error *error)
{
    *item = (peft_compare_item){.text = strdup(text),
                                .variant = strndup(text, peft_compare_item_name_bytes(text)),
                                .label = strdup(text),
                                .own = json_object(),
                                .all = peft_option_sets_to_json(sets, count)};
    bool made = item->text && item->variant && item->label && item->own && item->all;
    peft_status status = made ? read_options(item, sets, count, error) : no_memory(text, error);
    if (status != PEFT_OK) {
        peft_compare_item_free(item);
        return peft_fail_in(error, status, text);
    }
    make_label(item->label);
    return PEFT_OK;
}

void peft_compare_item_free(peft_compare_item *item)
{
    free(item->text);
    free(item->variant);
    free(item->label);
    json_decref(item->own);
    json_decref(item->all);
    *item = (peft_compare_item){0};
}
