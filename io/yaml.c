#include "io/yaml.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "io/file.h"
#include "io/foreign.h"

typedef struct reader {
    yaml_parser_t parser;
    const char *text;
    size_t bytes;
    const char *where;
    locale_t c_locale;      /* numbers have a point, whatever the program's locale says */
    peft_yaml_lines *lines; /* NULL: nobody asks for them */
    peft_error *error;
} reader;

static peft_status fail_at(const reader *r, const yaml_event_t *event, const char *message)
{
    return peft_fail(r->error, PEFT_ERR_FORMAT, "%s:%zu: %s", r->where, event->start_mark.line + 1, message);
}

static peft_status fail_memory(const reader *r)
{
    return peft_fail(r->error, PEFT_ERR_MEMORY, "%s: out of memory", r->where);
}

/* ---- scalars ---- */

/* Words that are not strings, and what they are in JSON (NULL: nothing). */
static const struct {
    const char *text, *json;
} words[] = {
    {"", "null"},     {"~", "null"},    {"null", "null"},   {"Null", "null"},   {"NULL", "null"},   {"true", "true"},
    {"True", "true"}, {"TRUE", "true"}, {"false", "false"}, {"False", "false"}, {"FALSE", "false"}, {".inf", NULL},
    {".Inf", NULL},   {".INF", NULL},   {"+.inf", NULL},    {"+.Inf", NULL},    {"+.INF", NULL},    {"-.inf", NULL},
    {"-.Inf", NULL},  {"-.INF", NULL},  {".nan", NULL},     {".NaN", NULL},     {".NAN", NULL},
};

static const char *skip_sign(const char *text)
{
    return *text == '+' || *text == '-' ? text + 1 : text;
}

static const char *skip_digits(const char *text)
{
    return text + strspn(text, "0123456789");
}

/* The base of an integer (10, 8 for 0o17, 16 for 0x1f), or 0 if the text is none. */
static int integer_base(const char *text)
{
    static const struct {
        const char *prefix, *digits;
        int base;
    } bases[] = {{"0o", "01234567", 8}, {"0x", "0123456789abcdefABCDEF", 16}};
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        const char *digits = text + 2;
        if (strncmp(text, bases[i].prefix, 2) == 0 && *digits && !digits[strspn(digits, bases[i].digits)])
            return bases[i].base;
    }
    const char *digits = skip_sign(text), *end = skip_digits(digits);
    return end > digits && !*end ? 10 : 0;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_real(const char *text)
{
    const char *whole = skip_sign(text), *end = skip_digits(whole);
    bool has_digits = end > whole;
    if (*end == '.') {
        const char *fraction = end + 1;
        end = skip_digits(fraction);
        has_digits = has_digits || end > fraction;
    }
    if (!has_digits) return false;
    if (*end == 'e' || *end == 'E') {
        const char *exponent = skip_sign(end + 1);
        end = skip_digits(exponent);
        if (end == exponent) return false;
    }
    return !*end;
}

static peft_status read_integer(const reader *r, const yaml_event_t *event, const char *text, int base, json_t **value)
{
    errno = 0;
    long long number = strtoll(base == 10 ? text : text + 2, NULL, base);
    if (errno == ERANGE) return fail_at(r, event, "expected an integer of 64 bits, found a larger one");
    *value = json_integer(number);
    return *value ? PEFT_OK : fail_memory(r);
}

static peft_status read_real(const reader *r, const yaml_event_t *event, const char *text, json_t **value)
{
    double number = strtod_l(text, NULL, r->c_locale);
    if (!isfinite(number)) return fail_at(r, event, "expected a number of double precision, found a larger one");
    *value = json_real(number);
    return *value ? PEFT_OK : fail_memory(r);
}

static peft_status read_string(const reader *r, const char *text, json_t **value)
{
    *value = json_string(text);
    return *value ? PEFT_OK : fail_memory(r);
}

static peft_status refuse_properties(const reader *r, const yaml_event_t *event, const yaml_char_t *anchor,
                                     const yaml_char_t *tag)
{
    if (anchor) return fail_at(r, event, "anchors (&name) are not offered in a configuration");
    if (tag) return fail_at(r, event, "tags (!name) are not offered in a configuration");
    return PEFT_OK;
}

/* libyaml has checked that the text is UTF-8; a zero can still come from "\0" in quotes. */
static peft_status check_scalar(const reader *r, const yaml_event_t *event)
{
    if (strlen((const char *)event->data.scalar.value) != event->data.scalar.length)
        return fail_at(r, event, "a string may not hold the character \\0");
    return refuse_properties(r, event, event->data.scalar.anchor, event->data.scalar.tag);
}

static peft_status read_scalar(reader *r, const yaml_event_t *event, int depth, json_t **value)
{
    (void)depth;
    const char *text = (const char *)event->data.scalar.value;
    peft_status status = check_scalar(r, event);
    if (status) return status;
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return read_string(r, text, value);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i].text) != 0) continue;
        if (!words[i].json) return fail_at(r, event, "expected a finite number, found infinity or NaN");
        *value = json_loads(words[i].json, JSON_DECODE_ANY, NULL);
        return *value ? PEFT_OK : fail_memory(r);
    }
    int base = integer_base(text);
    if (base) return read_integer(r, event, text, base, value);
    return is_real(text) ? read_real(r, event, text, value) : read_string(r, text, value);
}

/* ---- events ---- */

/* Is there a tab between the start of this line (from 0) and its first other character? */
static bool indented_with_tab(const reader *r, size_t line)
{
    const char *at = r->text, *end = r->text + r->bytes;
    for (; line && at < end; line--) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline ? newline + 1 : end;
    }
    while (at < end && *at == ' ') at++;
    return at < end && *at == '\t';
}

static peft_status fail_syntax(const reader *r)
{
    const yaml_parser_t *parser = &r->parser;
    if (parser->error == YAML_MEMORY_ERROR) return fail_memory(r);
    if (parser->error == YAML_READER_ERROR)
        return peft_fail(r->error, PEFT_ERR_FORMAT, "%s: byte %zu: %s", r->where, parser->problem_offset,
                         parser->problem);
    size_t line = parser->problem_mark.line;
    if (indented_with_tab(r, line))
        return peft_fail(r->error, PEFT_ERR_FORMAT, "%s:%zu: indented with a tab; use spaces", r->where, line + 1);
    return peft_fail(r->error, PEFT_ERR_FORMAT, "%s:%zu: %s", r->where, line + 1, parser->problem);
}

static peft_status next_event(reader *r, yaml_event_t *event)
{
    return yaml_parser_parse(&r->parser, event) ? PEFT_OK : fail_syntax(r);
}

static peft_status note_line(const reader *r, const yaml_event_t *event, const json_t *container, size_t position)
{
    if (!r->lines || peft_yaml_lines_add(r->lines, container, position, event->start_mark.line + 1)) return PEFT_OK;
    return fail_memory(r);
}

/* ---- nodes ---- */

static peft_status read_node(reader *r, const yaml_event_t *event, int depth, json_t **value);

static peft_status add_item(reader *r, const yaml_event_t *event, int depth, json_t *list)
{
    json_t *item;
    peft_status status = note_line(r, event, list, json_array_size(list));
    if (status) return status;
    status = read_node(r, event, depth, &item);
    if (status) return status;
    return json_array_append_new(list, item) ? fail_memory(r) : PEFT_OK;
}

static peft_status add_value(reader *r, const char *key, int depth, json_t *object)
{
    yaml_event_t event;
    peft_status status = next_event(r, &event);
    if (status) return status;
    json_t *value;
    status = read_node(r, &event, depth, &value);
    yaml_event_delete(&event);
    if (status) return status;
    return json_object_set_new(object, key, value) ? fail_memory(r) : PEFT_OK;
}

static peft_status add_member(reader *r, const yaml_event_t *event, int depth, json_t *object)
{
    if (event->type != YAML_SCALAR_EVENT) return fail_at(r, event, "expected a key, found a list, object or alias");
    peft_status status = check_scalar(r, event);
    if (status) return status;
    const char *key = (const char *)event->data.scalar.value;
    if (json_object_get(object, key))
        return peft_fail(r->error, PEFT_ERR_FORMAT, "%s:%zu: the key \"%s\" comes twice", r->where,
                         event->start_mark.line + 1, key);
    status = note_line(r, event, object, json_object_size(object));
    return status ? status : add_value(r, key, depth, object);
}

typedef peft_status add_function(reader *r, const yaml_event_t *event, int depth, json_t *container);

/* Adds what follows to `container`, which it takes, until the event `end`. */
static peft_status read_container(reader *r, const yaml_event_t *start, yaml_event_type_t end, add_function *add,
                                  int depth, json_t *container, json_t **value)
{
    peft_status status = container ? PEFT_OK : fail_memory(r);
    if (depth == PEFT_YAML_MAX_DEPTH) status = fail_at(r, start, "lists and objects are nested too deeply");
    for (bool ended = false; status == PEFT_OK && !ended;) {
        yaml_event_t event;
        status = next_event(r, &event);
        if (status) break;
        ended = event.type == end;
        if (!ended) status = add(r, &event, depth + 1, container);
        yaml_event_delete(&event);
    }
    if (status)
        json_decref(container);
    else
        *value = container;
    return status;
}

static peft_status read_list(reader *r, const yaml_event_t *event, int depth, json_t **value)
{
    peft_status status = refuse_properties(r, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
    if (status) return status;
    return read_container(r, event, YAML_SEQUENCE_END_EVENT, add_item, depth, json_array(), value);
}

static peft_status read_object(reader *r, const yaml_event_t *event, int depth, json_t **value)
{
    peft_status status = refuse_properties(r, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
    if (status) return status;
    return read_container(r, event, YAML_MAPPING_END_EVENT, add_member, depth, json_object(), value);
}

static peft_status refuse_alias(reader *r, const yaml_event_t *event, int depth, json_t **value)
{
    (void)depth;
    (void)value;
    return fail_at(r, event, "aliases (*name) are not offered in a configuration");
}

static peft_status read_nothing(reader *r, const yaml_event_t *event, int depth, json_t **value)
{
    (void)r;
    (void)event;
    (void)depth;
    *value = json_null();
    return PEFT_OK;
}

/* What can stand where a value is expected; a stream without documents ends at once. */
static peft_status (*const node_readers[])(reader *, const yaml_event_t *, int, json_t **) = {
    [YAML_STREAM_END_EVENT] = read_nothing,   [YAML_ALIAS_EVENT] = refuse_alias,
    [YAML_SCALAR_EVENT] = read_scalar,        [YAML_SEQUENCE_START_EVENT] = read_list,
    [YAML_MAPPING_START_EVENT] = read_object,
};

static peft_status read_node(reader *r, const yaml_event_t *event, int depth, json_t **value)
{
    *value = NULL;
    return node_readers[event->type](r, event, depth, value);
}

/* ---- documents ---- */

/* Goes on to the first event that is not one of the frame around a document. */
static peft_status skip_frame(reader *r, yaml_event_t *event)
{
    peft_status status;
    while ((status = next_event(r, event)) == PEFT_OK) {
        if (event->type != YAML_STREAM_START_EVENT && event->type != YAML_DOCUMENT_START_EVENT &&
            event->type != YAML_DOCUMENT_END_EVENT)
            return PEFT_OK;
        yaml_event_delete(event);
    }
    return status;
}

static peft_status read_document(reader *r, json_t **root)
{
    yaml_event_t event;
    peft_status status = skip_frame(r, &event);
    if (status) return status;
    bool empty = event.type == YAML_STREAM_END_EVENT;
    status = read_node(r, &event, 0, root);
    yaml_event_delete(&event);
    if (status || empty) return status;
    status = skip_frame(r, &event);
    if (status) return status;
    if (event.type != YAML_STREAM_END_EVENT) status = fail_at(r, &event, "expected one document, found a second");
    yaml_event_delete(&event);
    return status;
}

static peft_status parse(const char *text, size_t bytes, const char *where, json_t **root, peft_yaml_lines *lines,
                         peft_error *error)
{
    *root = NULL;
    if (bytes > PEFT_YAML_MAX_BYTES)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected YAML of at most %d bytes, found %zu", where,
                         PEFT_YAML_MAX_BYTES, bytes);
    reader r = {.text = text, .bytes = bytes, .where = where, .lines = lines, .error = error};
    r.c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!r.c_locale || !yaml_parser_initialize(&r.parser)) {
        if (r.c_locale) freelocale(r.c_locale);
        return fail_memory(&r);
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, bytes);
    peft_status status = read_document(&r, root);
    yaml_parser_delete(&r.parser);
    freelocale(r.c_locale);
    if (status) {
        json_decref(*root);
        *root = NULL;
    }
    return status;
}

peft_status peft_yaml_parse(const char *text, size_t bytes, const char *where, json_t **root, peft_error *error)
{
    return parse(text, bytes, where, root, NULL, error);
}

static peft_status load(const char *path, json_t **root, peft_yaml_lines *lines, peft_error *error)
{
    *root = NULL;
    peft_mapped_file file;
    peft_status status = peft_file_map(path, &file, error);
    if (status) return status;
    status = parse(file.data, file.bytes, path, root, lines, error);
    if (status) status = peft_fail_foreign(error, status, path, file.data, file.bytes);
    peft_file_unmap(&file);
    return status;
}

peft_status peft_yaml_load(const char *path, json_t **root, peft_error *error)
{
    return load(path, root, NULL, error);
}

peft_status peft_yaml_load_lines(const char *path, json_t **root, peft_yaml_lines *lines, peft_error *error)
{
    *lines = (peft_yaml_lines){0};
    peft_status status = load(path, root, lines, error);
    if (status) peft_yaml_lines_free(lines);
    return status;
}
