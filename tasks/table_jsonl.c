/* A JSON object a line, through jansson. */
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/json_decode.h"
#include "tasks/table_reader.h"

/* "[0.5, -1]", as it is read back to the same numbers. */
static peft_status list_cell(peft_table_reader *r, size_t column, const json_t *list)
{
    char *text = json_dumps(list, JSON_REAL_PRECISION(17));
    if (!text) return peft_table_fail_memory(r);
    peft_status status = peft_table_set_cell(r, column, text, strlen(text));
    free(text);
    return status;
}

static peft_status json_cell(peft_table_reader *r, size_t column, const json_t *value)
{
    if (json_is_array(value) && r->request->columns[column].lists) return list_cell(r, column, value);
    char number[64];
    const char *text = json_string_value(value);
    size_t bytes = json_string_length(value);
    if (!text && (json_is_number(value) || json_is_boolean(value))) {
        text = number;
        bytes = json_dumpb(value, number, sizeof number, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    }
    if (!text || peft_json_beyond_real(value)) {
        char found[PEFT_JSON_TEXT];
        return peft_table_fail_at(r, r->line, "\"%s\": expected a string, number, true or false, found %s",
                                  r->request->columns[column].name, peft_json_text(value, found));
    }
    return peft_table_set_cell(r, column, text, bytes);
}

static peft_status json_row(peft_table_reader *r, json_t *object)
{
    for (size_t i = 0; i < PEFT_TABLE_MAX_COLUMNS; i++) {
        const char *name = r->request->columns[i].name;
        const json_t *value = name ? json_object_get(object, name) : NULL;
        bool expected = r->position[i] != PEFT_TABLE_ABSENT;
        if (expected != (value != NULL))
            return peft_table_fail_at(r, r->line, "\"%s\" is %s here, unlike in the first object", name,
                                      value ? "there" : "not");
        if (value && json_cell(r, i, value) != PEFT_OK) return r->status;
    }
    r->row_line = r->line;
    return peft_table_add_row(r);
}

/* The keys of the first object are the header. */
static peft_status json_header(peft_table_reader *r, json_t *object)
{
    const char *key;
    json_t *value;
    r->row_line = r->line;
    json_object_foreach(object, key, value)
    {
        if (peft_table_add_name(r, key, strlen(key)) != PEFT_OK) return r->status;
    }
    return peft_table_end_header(r);
}

static bool is_blank(const char *line, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return false;
    return true;
}

static peft_status json_line(peft_table_reader *r, const char *line, size_t bytes)
{
    if (is_blank(line, bytes)) return PEFT_OK;
    json_error_t reason;
    json_t *object = peft_json_decode(line, bytes, &reason);
    if (!object)
        return peft_json_out_of_memory(&reason)
                   ? peft_table_fail_memory(r)
                   : peft_table_fail_at(r, r->line, "character %d: %s", reason.column, reason.text);
    if (!json_is_object(object))
        peft_table_fail_at(r, r->line, "expected a JSON object, found a list");
    else if (r->has_names || json_header(r, object) == PEFT_OK)
        json_row(r, object);
    json_decref(object);
    return r->status;
}

const peft_table_format peft_table_jsonl = {.extension = ".jsonl", .line = json_line};
