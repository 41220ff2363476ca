#include "io/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/foreign.h"
#include "io/json_decode.h"

/* ---- reading ---- */

peft_status peft_json_parse(const char *text, size_t bytes, const char *where, json_t **root, peft_error *error)
{
    *root = NULL;
    if (bytes > PEFT_JSON_MAX_BYTES)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected a JSON document of at most %d bytes, found %zu", where,
                         PEFT_JSON_MAX_BYTES, bytes);
    json_error_t failure;
    *root = peft_json_decode(text, bytes, &failure);
    if (*root) return PEFT_OK;
    if (peft_json_out_of_memory(&failure)) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", where);
    return peft_fail(error, PEFT_ERR_FORMAT, "%s:%d:%d: %s", where, failure.line, failure.column, failure.text);
}

peft_status peft_json_load(const char *path, json_t **root, peft_error *error)
{
    *root = NULL;
    peft_mapped_file file;
    peft_status status = peft_file_map(path, &file, error);
    if (status) return status;
    status = peft_json_parse(file.data, file.bytes, path, root, error);
    if (status) status = peft_fail_foreign(error, status, path, file.data, file.bytes);
    peft_file_unmap(&file);
    return status;
}

/* ---- writing ---- */

typedef struct output {
    peft_writer *writer;
    peft_json_order order;
    const char *path;
    peft_error *error;
    peft_status status; /* of the first write that failed */
} output;

static int write_text(const char *text, size_t bytes, void *context)
{
    output *out = context;
    if (out->status == PEFT_OK) out->status = peft_writer_write(out->writer, text, bytes, out->error);
    return out->status == PEFT_OK ? 0 : -1;
}

static void fail_memory(output *out)
{
    if (out->status == PEFT_OK) out->status = peft_fail(out->error, PEFT_ERR_MEMORY, "%s: out of memory", out->path);
}

/* 15 digits if they read back as the same number, else 16, else 17: 0.1 rather than 0.10000000000000001. */
static size_t real_digits(const json_t *real)
{
    size_t digits = 15;
    for (bool same = false; digits < 17; digits++) {
        char text[64];
        size_t bytes = json_dumpb(real, text, sizeof text, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
        json_t *again = json_loadb(text, bytes, JSON_DECODE_ANY, NULL);
        same = json_equal(real, again);
        json_decref(again);
        if (same) break;
    }
    return digits;
}

static void write_leaf(output *out, const json_t *value)
{
    const char *beyond = peft_json_beyond_real(value);
    if (beyond) {
        write_text(beyond, strlen(beyond), out);
        return;
    }
    size_t digits = json_is_real(value) ? real_digits(value) : 0;
    if (json_dump_callback(value, write_text, out, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits))) fail_memory(out);
}

static void write_line_start(output *out, int depth)
{
    write_text("\n", 1, out);
    while (depth-- > 0) write_text("  ", 2, out);
}

static void write_value(output *out, json_t *value, int depth);

static void write_array(output *out, json_t *array, int depth)
{
    write_text("[", 1, out);
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i) write_text(",", 1, out);
        write_line_start(out, depth + 1);
        write_value(out, json_array_get(array, i), depth + 1);
    }
    write_line_start(out, depth);
    write_text("]", 1, out);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_member(output *out, json_t *object, const char *key, int depth)
{
    json_t *name = json_string(key);
    if (!name) {
        fail_memory(out);
        return;
    }
    write_leaf(out, name);
    write_text(": ", 2, out);
    write_value(out, json_object_get(object, key), depth);
    json_decref(name);
}

static void write_object(output *out, json_t *object, int depth)
{
    size_t count = 0;
    const char **keys = malloc(json_object_size(object) * sizeof *keys);
    if (!keys) {
        fail_memory(out);
        return;
    }
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i))
        keys[count++] = json_object_iter_key(i);
    if (out->order == PEFT_JSON_SORTED) qsort(keys, count, sizeof *keys, compare_keys);

    write_text("{", 1, out);
    for (size_t i = 0; i < count; i++) {
        if (i) write_text(",", 1, out);
        write_line_start(out, depth + 1);
        write_member(out, object, keys[i], depth + 1);
    }
    write_line_start(out, depth);
    write_text("}", 1, out);
    free(keys);
}

static void write_value(output *out, json_t *value, int depth)
{
    if (json_object_size(value))
        write_object(out, value, depth);
    else if (json_array_size(value))
        write_array(out, value, depth);
    else
        write_leaf(out, value);
}

peft_status peft_json_save(const char *path, json_t *root, peft_json_order order, peft_error *error)
{
    output out = {.order = order, .path = path, .error = error};
    peft_status status = peft_writer_open(path, &out.writer, error);
    if (status) return status;
    write_value(&out, root, 0);
    write_text("\n", 1, &out);
    if (out.status == PEFT_OK) return peft_writer_commit(out.writer, error);
    peft_writer_discard(out.writer);
    return out.status;
}

/* ---- fields ---- */

bool peft_json_is_text(const json_t *value)
{
    return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value);
}

typedef struct short_text {
    char *text;
    size_t used;
    bool cut;
} short_text;

static int append_cut(const char *text, size_t bytes, void *context)
{
    short_text *out = context;
    size_t room = PEFT_JSON_TEXT - sizeof "..." - out->used;
    size_t taken = bytes < room ? bytes : room;
    memcpy(out->text + out->used, text, taken);
    out->used += taken;
    out->cut = out->cut || taken < bytes;
    return 0;
}

const char *peft_json_text(const json_t *value, char text[PEFT_JSON_TEXT])
{
    if (json_is_object(value)) {
        snprintf(text, PEFT_JSON_TEXT, "an object of %zu", json_object_size(value));
    } else if (json_is_array(value)) {
        snprintf(text, PEFT_JSON_TEXT, "a list of %zu", json_array_size(value));
    } else if (!value) {
        snprintf(text, PEFT_JSON_TEXT, "nothing");
    } else if (peft_json_beyond_real(value)) {
        snprintf(text, PEFT_JSON_TEXT, "%s", peft_json_beyond_real(value));
    } else {
        short_text out = {.text = text};
        json_dump_callback(value, append_cut, &out, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
        memcpy(text + out.used, out.cut ? "..." : "", out.cut ? sizeof "..." : 1);
    }
    return text;
}

const char *peft_json_difference(json_t *first, json_t *second)
{
    const char *key;
    json_t *value;
    json_object_foreach(first, key, value) if (!json_equal(value, json_object_get(second, key))) return key;
    json_object_foreach(second, key, value) if (!json_object_get(first, key)) return key;
    return NULL;
}

static peft_status fail_field(peft_error *error, const char *where, const char *key, const char *expected,
                              const json_t *found)
{
    char text[PEFT_JSON_TEXT];
    return peft_fail(error, PEFT_ERR_FORMAT, "%s: %s: expected %s, found %s", where, key, expected,
                     peft_json_text(found, text));
}

/* Leaves *value NULL where the key is absent or null. */
static peft_status find_field(const json_t *object, const char *key, json_t **value, const char *where,
                              peft_error *error)
{
    char text[PEFT_JSON_TEXT];
    *value = NULL;
    if (!json_is_object(object))
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an object with \"%s\", found %s", where, key,
                         peft_json_text(object, text));
    json_t *found = json_object_get(object, key);
    if (!json_is_null(found)) *value = found;
    return PEFT_OK;
}

peft_status peft_json_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *value,
                          const char *where, peft_error *error)
{
    json_t *found;
    peft_status status = find_field(object, key, &found, where, error);
    if (status || !found) return status;
    if (json_is_integer(found) && json_integer_value(found) >= min && json_integer_value(found) <= max) {
        *value = json_integer_value(found);
        return PEFT_OK;
    }
    char expected[96];
    snprintf(expected, sizeof expected, "an integer from %" PRId64 " to %" PRId64, min, max);
    return fail_field(error, where, key, expected, found);
}

peft_status peft_json_double(const json_t *object, const char *key, double min, double max, double *value,
                             const char *where, peft_error *error)
{
    json_t *found;
    peft_status status = find_field(object, key, &found, where, error);
    if (status || !found) return status;
    if (json_is_number(found) && json_number_value(found) >= min && json_number_value(found) <= max) {
        *value = json_number_value(found);
        return PEFT_OK;
    }
    char expected[96];
    snprintf(expected, sizeof expected, "a number from %g to %g", min, max);
    return fail_field(error, where, key, expected, found);
}

peft_status peft_json_bool(const json_t *object, const char *key, bool *value, const char *where, peft_error *error)
{
    json_t *found;
    peft_status status = find_field(object, key, &found, where, error);
    if (status || !found) return status;
    if (!json_is_boolean(found)) return fail_field(error, where, key, "true or false", found);
    *value = json_is_true(found);
    return PEFT_OK;
}

static peft_status find_typed(const json_t *object, const char *key, json_type type, const char *expected,
                              json_t **value, const char *where, peft_error *error)
{
    peft_status status = find_field(object, key, value, where, error);
    if (!*value || json_typeof(*value) == type) return status;
    const json_t *found = *value;
    *value = NULL;
    return fail_field(error, where, key, expected, found);
}

peft_status peft_json_string(const json_t *object, const char *key, const char **value, const char *where,
                             peft_error *error)
{
    json_t *found;
    peft_status status = find_typed(object, key, JSON_STRING, "a string", &found, where, error);
    if (!found) return status;
    if (!peft_json_is_text(found)) return fail_field(error, where, key, "a string without \\u0000", found);
    *value = json_string_value(found);
    return PEFT_OK;
}

peft_status peft_json_array(const json_t *object, const char *key, json_t **value, const char *where, peft_error *error)
{
    json_t *found;
    peft_status status = find_typed(object, key, JSON_ARRAY, "a list", &found, where, error);
    if (found) *value = found;
    return status;
}

peft_status peft_json_object(const json_t *object, const char *key, json_t **value, const char *where,
                             peft_error *error)
{
    json_t *found;
    peft_status status = find_typed(object, key, JSON_OBJECT, "an object", &found, where, error);
    if (found) *value = found;
    return status;
}
