#include "io/option.h"

#include "io/option_kind.h"
#include "ops/nearest.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

enum { NAME_BYTES = 96 };

static void *field_of(const peft_option *option, void *values)
{
    return (char *)values + option->offset;
}

static const void *field_to_read(const peft_option *option, const void *values)
{
    return (const char *)values + option->offset;
}

char *peft_option_flag(const char *name, char *buffer, size_t bytes)
{
    snprintf(buffer, bytes, "%s", name);
    for (char *c = buffer; *c; c++)
        if (*c == '_') *c = '-';
    return buffer;
}

/* ---- one value ---- */

/* Where a value comes from: the text of a flag, or if that is NULL a JSON value. */
typedef struct source {
    const char *text;
    const json_t *json;
} source;

static bool is_utf8(const char *text)
{
    utf8proc_int32_t code_point;
    utf8proc_ssize_t length;
    for (const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text; *at; at += length)
        if ((length = utf8proc_iterate(at, -1, &code_point)) <= 0) return false;
    return true;
}

static peft_status assign(const peft_option *option, void *values, source from, peft_error *error)
{
    void *field = field_of(option, values);
    if (!from.text) return peft_option_kind_of(option)->from_json(option, field, from.json, error);
    /* Settings end in JSON files, which hold nothing else. */
    if (!is_utf8(from.text)) return peft_fail(error, PEFT_ERR_ARGUMENT, "the value is not valid UTF-8");
    return peft_option_kind_of(option)->from_text(option, field, from.text, error);
}

/* The setting as the user wrote it: a flag or a key. */
static const char *spelling(const char *name, source from, char *buffer, size_t bytes)
{
    if (!from.text || bytes < 3) return name;
    memcpy(buffer, "--", 3);
    peft_option_flag(name, buffer + 2, bytes - 2);
    return buffer;
}

static peft_status unknown(const peft_option_set *sets, size_t count, const char *name, source from, peft_error *error)
{
    char wrong[NAME_BYTES], right[NAME_BYTES];
    const char *nearest = peft_option_sets_nearest(sets, count, name);
    const char *shown = spelling(name, from, wrong, sizeof wrong);
    if (!nearest) return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: there is no such setting", shown);
    return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: there is no such setting; did you mean %s?", shown,
                     spelling(nearest, from, right, sizeof right));
}

static peft_status assign_in_sets(const peft_option_set *sets, size_t count, const char *name, source from,
                                  peft_error *error)
{
    char shown[NAME_BYTES];
    bool known = false;
    for (size_t i = 0; i < count; i++) {
        const peft_option *option = peft_options_find(sets[i].table, name);
        peft_status status = option ? assign(option, sets[i].values, from, error) : PEFT_OK;
        if (status != PEFT_OK) return peft_fail_in(error, status, spelling(name, from, shown, sizeof shown));
        known = known || option;
    }
    return known ? PEFT_OK : unknown(sets, count, name, from, error);
}

/* ---- tables ---- */

const peft_option *peft_options_find(const peft_option *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0) return table;
    return NULL;
}

void peft_options_free(const peft_option *table, void *values)
{
    for (; table->name; table++) peft_option_kind_of(table)->clear(field_of(table, values));
}

peft_status peft_options_init(const peft_option *table, void *values, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (const peft_option *option = table; option->name; option++)
        memset(field_of(option, values), 0, peft_option_kind_of(option)->bytes);
    for (const peft_option *option = table; option->name && status == PEFT_OK; option++)
        if (option->initial) status = peft_options_set_text(table, values, option->name, option->initial, error);
    if (status != PEFT_OK) peft_options_free(table, values);
    return status;
}

peft_status peft_options_set_text(const peft_option *table, void *values, const char *name, const char *text,
                                  peft_error *error)
{
    return peft_option_sets_set_text(&(peft_option_set){table, values}, 1, name, text, error);
}

peft_status peft_options_set_json(const peft_option *table, void *values, const char *name, const json_t *value,
                                  peft_error *error)
{
    return peft_option_sets_set_json(&(peft_option_set){table, values}, 1, name, value, error);
}

static bool add_fields(json_t *object, const peft_option *table, const void *values)
{
    for (; table->name; table++)
        if (json_object_set_new(object, table->name,
                                peft_option_kind_of(table)->to_json(field_to_read(table, values))) != 0)
            return false;
    return true;
}

json_t *peft_options_to_json(const peft_option *table, const void *values)
{
    json_t *object = json_object();
    if (object && add_fields(object, table, values)) return object;
    json_decref(object);
    return NULL;
}

/* ---- several tables ---- */

peft_status peft_option_sets_set_text(const peft_option_set *sets, size_t count, const char *name, const char *text,
                                      peft_error *error)
{
    return assign_in_sets(sets, count, name, (source){.text = text}, error);
}

peft_status peft_option_sets_set_json(const peft_option_set *sets, size_t count, const char *name, const json_t *value,
                                      peft_error *error)
{
    return assign_in_sets(sets, count, name, (source){.json = value ? value : json_null()}, error);
}

json_t *peft_option_sets_to_json(const peft_option_set *sets, size_t count)
{
    json_t *object = json_object();
    bool complete = object != NULL;
    for (size_t i = 0; i < count && complete; i++) complete = add_fields(object, sets[i].table, sets[i].values);
    if (complete) return object;
    json_decref(object);
    return NULL;
}

const peft_option *peft_option_sets_find(const peft_option_set *sets, size_t count, const char *name,
                                         const peft_option_set **owner)
{
    for (size_t i = 0; i < count; i++) {
        const peft_option *option = peft_options_find(sets[i].table, name);
        if (!option) continue;
        if (owner) *owner = &sets[i];
        return option;
    }
    return NULL;
}

static const char *nearest_in(const peft_option *table, const char *name)
{
    size_t count = 0;
    while (table[count].name) count++;
    return peft_nearest(name, &(peft_names){&table->name, count, sizeof *table});
}

static const char *called_elsewhere(const peft_option *table, const char *name)
{
    for (; table->name; table++)
        if (table->elsewhere && strcmp(table->elsewhere, name) == 0) return table->name;
    return NULL;
}

const char *peft_option_sets_nearest(const peft_option_set *sets, size_t count, const char *name)
{
    const char *best = NULL;
    for (size_t i = 0; i < count; i++)
        if ((best = called_elsewhere(sets[i].table, name))) return best;
    for (size_t i = 0; i < count; i++) {
        const char *finalists[] = {best, nearest_in(sets[i].table, name)};
        best = peft_nearest(name, &(peft_names){finalists, 2, sizeof *finalists});
    }
    return best;
}
