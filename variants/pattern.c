#include "variants/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <math.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peft_pattern {
    pcre2_code *code;
    char *expression; /* as the user wrote it */
};

/* What is put around the user's expression. Python's re.match and re.fullmatch are anchored at the start. */
static const struct frame {
    const char *before, *after;
} frames[] = {
    [PEFT_PATTERN_FULL] = {"\\A(?:", ")\\z"},
    [PEFT_PATTERN_SUFFIX] = {"\\A(?:.*\\.)?(?:", ")\\z"},
    [PEFT_PATTERN_PREFIX] = {"\\A(?:", ")"},
};

enum { REASON_BYTES = 256 };

static peft_status fail_compile(const char *expression, size_t prefix, int code, size_t offset, peft_error *error)
{
    PCRE2_UCHAR reason[REASON_BYTES];
    if (code == PCRE2_ERROR_HEAP_FAILED)
        return peft_fail(error, PEFT_ERR_MEMORY, "pattern \"%s\": out of memory", expression);
    pcre2_get_error_message(code, reason, sizeof reason);
    size_t length = strlen(expression), at = offset > prefix ? offset - prefix : 0;
    return peft_fail(error, PEFT_ERR_ARGUMENT, "pattern \"%s\": at character %zu: %s", expression,
                     at < length ? at : length, (const char *)reason);
}

static peft_status compile(peft_pattern *p, const struct frame *frame, peft_error *error)
{
    size_t bytes = strlen(frame->before) + strlen(p->expression) + strlen(frame->after) + 1;
    char *framed = malloc(bytes);
    if (!framed) return peft_fail(error, PEFT_ERR_MEMORY, "pattern \"%s\": out of memory", p->expression);
    snprintf(framed, bytes, "%s%s%s", frame->before, p->expression, frame->after);
    int code;
    PCRE2_SIZE offset;
    p->code = pcre2_compile((PCRE2_SPTR)framed, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &offset, NULL);
    free(framed);
    return p->code ? PEFT_OK : fail_compile(p->expression, strlen(frame->before), code, offset, error);
}

/* "a)(b" would be fine inside of a frame, so the expression has to be one on its own. */
static peft_status check_alone(peft_pattern *p, peft_error *error)
{
    static const struct frame none = {"", ""};
    peft_status status = compile(p, &none, error);
    pcre2_code_free(p->code);
    p->code = NULL;
    return status;
}

peft_status peft_pattern_compile(peft_pattern **pattern, peft_pattern_kind kind, const char *expression,
                                 peft_error *error)
{
    *pattern = NULL;
    peft_pattern *p = calloc(1, sizeof *p);
    if (p) p->expression = strdup(expression);
    if (!p || !p->expression) {
        free(p);
        return peft_fail(error, PEFT_ERR_MEMORY, "pattern \"%s\": out of memory", expression);
    }
    peft_status status = check_alone(p, error);
    if (status == PEFT_OK) status = compile(p, &frames[kind], error);
    if (status == PEFT_OK)
        *pattern = p;
    else
        peft_pattern_free(p);
    return status;
}

void peft_pattern_free(peft_pattern *pattern)
{
    if (!pattern) return;
    pcre2_code_free(pattern->code);
    free(pattern->expression);
    free(pattern);
}

/* Calls of pcre2_match: the number of groups that were set, or one of PCRE2's negative codes. */
static peft_status check_match(const peft_pattern *p, const char *name, int result, peft_error *error)
{
    if (result >= 0 || result == PCRE2_ERROR_NOMATCH) return PEFT_OK;
    if (result == PCRE2_ERROR_NOMEMORY)
        return peft_fail(error, PEFT_ERR_MEMORY, "pattern \"%s\": out of memory", p->expression);
    PCRE2_UCHAR reason[REASON_BYTES];
    pcre2_get_error_message(result, reason, sizeof reason);
    return peft_fail(error, PEFT_ERR_ARGUMENT, "pattern \"%s\": given up on \"%s\": %s", p->expression, name,
                     (const char *)reason);
}

static peft_status run(const peft_pattern *p, const char *name, int *result, int64_t *number, peft_error *error)
{
    pcre2_match_data *groups = pcre2_match_data_create_from_pattern(p->code, NULL);
    if (!groups) return peft_fail(error, PEFT_ERR_MEMORY, "pattern \"%s\": out of memory", p->expression);
    *result = pcre2_match(p->code, (PCRE2_SPTR)name, PCRE2_ZERO_TERMINATED, 0, 0, groups, NULL);
    if (number && *result > 1) *number = strtoll(name + pcre2_get_ovector_pointer(groups)[2], NULL, 10);
    pcre2_match_data_free(groups);
    return check_match(p, name, *result, error);
}

peft_status peft_pattern_match(const peft_pattern *pattern, const char *name, bool *matches, peft_error *error)
{
    int result = 0;
    peft_status status = run(pattern, name, &result, NULL, error);
    *matches = status == PEFT_OK && result >= 0;
    return status;
}

peft_status peft_pattern_number(const peft_pattern *pattern, const char *name, int64_t *number, peft_error *error)
{
    int result;
    *number = -1;
    return run(pattern, name, &result, number, error);
}

/* ---- maps ---- */

peft_status peft_pattern_map_open(peft_pattern_map *map, const json_t *object, peft_error *error)
{
    size_t size = json_object_size(object);
    *map = (peft_pattern_map){.entries = calloc(size + 1, sizeof *map->entries)};
    if (!map->entries) return peft_fail(error, PEFT_ERR_MEMORY, "patterns: out of memory for %zu", size);
    json_t *from = (json_t *)(uintptr_t)object; /* iterating changes nothing, but jansson's iterators are not const */
    peft_status status = PEFT_OK;
    for (void *i = json_object_iter(from); i && status == PEFT_OK; i = json_object_iter_next(from, i)) {
        struct peft_pattern_entry *entry = &map->entries[map->count++];
        entry->key = json_object_iter_key(i);
        entry->value = json_object_iter_value(i);
        status = peft_pattern_compile(&entry->pattern, PEFT_PATTERN_SUFFIX, entry->key, error);
    }
    if (status != PEFT_OK) peft_pattern_map_close(map);
    return status;
}

void peft_pattern_map_close(peft_pattern_map *map)
{
    for (size_t n = 0; n < map->count; n++) peft_pattern_free(map->entries[n].pattern);
    free(map->entries);
    *map = (peft_pattern_map){0};
}

peft_status peft_pattern_map_find(peft_pattern_map *map, const char *name, const json_t **value, peft_error *error)
{
    *value = NULL;
    for (size_t n = 0; n < map->count; n++) {
        struct peft_pattern_entry *entry = &map->entries[n];
        bool matches;
        peft_status status = peft_pattern_match(entry->pattern, name, &matches, error);
        if (status) return status;
        entry->matched = entry->matched || matches;
        if (matches && !*value) *value = entry->value;
    }
    return PEFT_OK;
}

json_t *peft_pattern_number_json(double number)
{
    const double largest = 1e15; /* of those that both ways of writing tell apart */
    return number == floor(number) && fabs(number) < largest ? json_integer((json_int_t)number) : json_real(number);
}

bool peft_pattern_put(json_t *object, const char *name, double number)
{
    char *text = malloc(2 * strlen(name) + 2), *end = text;
    if (!text) return false;
    *end++ = '^';
    for (const char *c = name; *c; c++) {
        if (ispunct((unsigned char)*c) && *c != '_') *end++ = '\\';
        *end++ = *c;
    }
    *end = '\0';
    bool put = json_object_set_new(object, text, peft_pattern_number_json(number)) == 0;
    free(text);
    return put;
}
