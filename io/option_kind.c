#include "io/option_kind.h"

#include "io/json.h"
#include "io/number.h"
#include "ops/nearest.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PHRASE_BYTES = 512 };

/* ---- words ---- */

static bool has_range(const peft_option *option)
{
    return option->min < 0.0 || option->min > 0.0 || option->max < 0.0 || option->max > 0.0;
}

static void join_choices(const char *const *choices, char *buffer, size_t bytes)
{
    size_t used = (size_t)snprintf(buffer, bytes, "one of ");
    for (size_t i = 0; choices[i] && used < bytes; i++)
        used += (size_t)snprintf(buffer + used, bytes - used, "%s%s", i ? ", " : "", choices[i]);
}

char *peft_option_limits(const peft_option *option, char *buffer, size_t bytes)
{
    double min = option->min, max = option->max;
    bool above_zero = min > 0.0 && min <= DBL_MIN, from = !above_zero && isfinite(min), to = isfinite(max);
    buffer[0] = '\0';
    if (option->choices)
        join_choices(option->choices, buffer, bytes);
    else if (!has_range(option))
        return buffer;
    else if (above_zero && to)
        snprintf(buffer, bytes, "above 0, at most %.15g", max);
    else if (above_zero)
        snprintf(buffer, bytes, "above 0");
    else if (from && to)
        snprintf(buffer, bytes, "from %.15g to %.15g", min, max);
    else if (from)
        snprintf(buffer, bytes, "at least %.15g", min);
    else if (to)
        snprintf(buffer, bytes, "at most %.15g", max);
    return buffer;
}

static peft_status unexpected(const peft_option *option, const char *found, peft_error *error)
{
    char limits[PHRASE_BYTES];
    const char *noun = option->choices ? "" : peft_option_kind_of(option)->noun;
    peft_option_limits(option, limits, sizeof limits);
    return peft_fail(error, PEFT_ERR_ARGUMENT, "expected %s%s%s, found %s", noun, *noun && *limits ? " " : "", limits,
                     found);
}

static peft_status unexpected_text(const peft_option *option, const char *text, peft_error *error)
{
    char found[PHRASE_BYTES];
    snprintf(found, sizeof found, "\"%s\"", text);
    return unexpected(option, found, error);
}

static peft_status unexpected_json(const peft_option *option, const json_t *value, peft_error *error)
{
    char found[PEFT_JSON_TEXT];
    return unexpected(option, peft_json_text(value, found), error);
}

static peft_status no_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
}

static void clear_nothing(void *field)
{
    (void)field;
}

/* ---- numbers ---- */

static bool in_range(const peft_option *option, double value)
{
    return !has_range(option) || (value >= option->min && value <= option->max);
}

static bool only(const char *text, const char *characters)
{
    return *text && text[strspn(text, characters)] == '\0';
}

static bool read_integer(const char *text, int64_t *value)
{
    char *end;
    if (!only(text, "0123456789+-")) return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static peft_status int_from_text(const peft_option *option, void *field, const char *text, peft_error *error)
{
    int64_t value;
    if (!read_integer(text, &value) || !in_range(option, (double)value)) return unexpected_text(option, text, error);
    *(int64_t *)field = value;
    return PEFT_OK;
}

static peft_status int_from_json(const peft_option *option, void *field, const json_t *value, peft_error *error)
{
    if (!json_is_integer(value) || !in_range(option, (double)json_integer_value(value)))
        return unexpected_json(option, value, error);
    *(int64_t *)field = json_integer_value(value);
    return PEFT_OK;
}

static json_t *int_to_json(const void *field)
{
    return json_integer(*(const int64_t *)field);
}

static peft_status float_from_text(const peft_option *option, void *field, const char *text, peft_error *error)
{
    double value;
    if (!peft_number_read(text, &value) || !isfinite(value) || !in_range(option, value))
        return unexpected_text(option, text, error);
    *(double *)field = value;
    return PEFT_OK;
}

static peft_status float_from_json(const peft_option *option, void *field, const json_t *value, peft_error *error)
{
    double number = json_number_value(value);
    if (!json_is_number(value) || !isfinite(number) || !in_range(option, number))
        return unexpected_json(option, value, error);
    *(double *)field = number;
    return PEFT_OK;
}

static json_t *float_to_json(const void *field)
{
    return json_real(*(const double *)field);
}

/* ---- booleans ---- */

static peft_status bool_from_text(const peft_option *option, void *field, const char *text, peft_error *error)
{
    bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0) return unexpected_text(option, text, error);
    *(bool *)field = yes;
    return PEFT_OK;
}

static peft_status bool_from_json(const peft_option *option, void *field, const json_t *value, peft_error *error)
{
    if (!json_is_boolean(value)) return unexpected_json(option, value, error);
    *(bool *)field = json_is_true(value);
    return PEFT_OK;
}

static json_t *bool_to_json(const void *field)
{
    return json_boolean(*(const bool *)field);
}

/* ---- strings ---- */

static void string_clear(void *field)
{
    char **string = field;
    free(*string);
    *string = NULL;
}

static size_t num_choices(const peft_option *option)
{
    size_t count = 0;
    while (option->choices && option->choices[count]) count++;
    return count;
}

bool peft_option_is_choice(const char *choice, const char *text)
{
    enum { DIGITS = 4 };
    const char *end = strrchr(choice, '_');
    if (!end || strcmp(end, "_N") != 0) return strcmp(choice, text) == 0;
    size_t stem = (size_t)(end + 1 - choice);
    return strncmp(choice, text, stem) == 0 && only(text + stem, "0123456789") && strlen(text + stem) <= DIGITS;
}

static bool is_choice(const peft_option *option, const char *text)
{
    for (size_t i = 0; i < num_choices(option); i++)
        if (peft_option_is_choice(option->choices[i], text)) return true;
    return option->choices == NULL;
}

static peft_status not_a_choice(const peft_option *option, const char *text, peft_error *error)
{
    char found[PHRASE_BYTES];
    const char *nearest = peft_nearest(text, &(peft_names){option->choices, num_choices(option), sizeof(char *)});
    if (!nearest) return unexpected_text(option, text, error);
    snprintf(found, sizeof found, "\"%s\"; did you mean \"%s\"?", text, nearest);
    return unexpected(option, found, error);
}

static peft_status string_from_text(const peft_option *option, void *field, const char *text, peft_error *error)
{
    if (!is_choice(option, text)) return not_a_choice(option, text, error);
    char *copy = strdup(text);
    if (!copy) return no_memory(error);
    string_clear(field);
    *(char **)field = copy;
    return PEFT_OK;
}

static peft_status string_from_json(const peft_option *option, void *field, const json_t *value, peft_error *error)
{
    if (peft_json_is_text(value)) return string_from_text(option, field, json_string_value(value), error);
    if (!json_is_null(value)) return unexpected_json(option, value, error);
    string_clear(field);
    return PEFT_OK;
}

static json_t *string_to_json(const void *field)
{
    const char *string = *(char *const *)field;
    return string ? json_string(string) : json_null();
}

/* ---- JSON ---- */

static void json_clear(void *field)
{
    json_t **value = field;
    json_decref(*value);
    *value = NULL;
}

/* *value is NULL where the text is not JSON. jansson gives no error code when an allocation has failed. */
static peft_status parse_json(const char *text, json_t **value, peft_error *error)
{
    json_error_t reason = {0};
    *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &reason);
    return *value || json_error_code(&reason) != json_error_unknown ? PEFT_OK : no_memory(error);
}

static peft_status append_piece(json_t *list, const char *text, peft_error *error)
{
    json_t *piece;
    peft_status status = parse_json(text, &piece, error);
    if (status != PEFT_OK) return status;
    if (!json_is_number(piece)) {
        json_decref(piece);
        piece = json_string(text);
    }
    return json_array_append_new(list, piece) == 0 ? PEFT_OK : no_memory(error);
}

/* Cuts `text` at its commas and appends the pieces to `list`. */
static peft_status append_pieces(json_t *list, char *text, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (char *piece; status == PEFT_OK && (piece = strsep(&text, ",")) != NULL;)
        status = *piece ? append_piece(list, piece, error)
                        : peft_fail(error, PEFT_ERR_ARGUMENT, "expected a list, found nothing beside a comma");
    return status;
}

static peft_status parse_list(const char *text, json_t **list, peft_error *error)
{
    char *copy = strdup(text);
    *list = json_array();
    peft_status status = copy && *list ? append_pieces(*list, copy, error) : no_memory(error);
    free(copy);
    if (status != PEFT_OK) json_clear(list);
    return status;
}

static peft_status parse_word(const char *text, json_t **word, peft_error *error)
{
    *word = json_string(text);
    return *word ? PEFT_OK : no_memory(error);
}

static bool is_list(const peft_option *option, const char *text)
{
    static const char in_names[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    return strchr(text, ',') || (option->names && text[strspn(text, in_names)] == '\0');
}

static peft_status json_from_text(const peft_option *option, void *field, const char *text, peft_error *error)
{
    json_t *value;
    if (!*text) return unexpected_text(option, text, error);
    peft_status status = parse_json(text, &value, error);
    if (status == PEFT_OK && !value) status = (is_list(option, text) ? parse_list : parse_word)(text, &value, error);
    if (status != PEFT_OK) return status;
    json_clear(field);
    *(json_t **)field = json_is_null(value) ? NULL : value;
    return PEFT_OK;
}

/* json_deep_copy drops what it has no memory for without a word, hence the comparison. */
static json_t *copy_json(const json_t *value)
{
    json_t *copy = json_deep_copy(value);
    if (copy && json_equal(copy, value)) return copy;
    json_decref(copy);
    return NULL;
}

static peft_status json_from_json(const peft_option *option, void *field, const json_t *value, peft_error *error)
{
    (void)option;
    json_t *copy = json_is_null(value) ? NULL : copy_json(value);
    if (!copy && !json_is_null(value)) return no_memory(error);
    json_clear(field);
    *(json_t **)field = copy;
    return PEFT_OK;
}

static json_t *json_to_json(const void *field)
{
    const json_t *value = *(json_t *const *)field;
    return value ? copy_json(value) : json_null();
}

/* ---- the types ---- */

static const peft_option_kind kinds[] = {
    [PEFT_OPTION_INT] = {"an integer", sizeof(int64_t), int_from_text, int_from_json, int_to_json, clear_nothing},
    [PEFT_OPTION_FLOAT] = {"a number", sizeof(double), float_from_text, float_from_json, float_to_json, clear_nothing},
    [PEFT_OPTION_BOOL] = {"true or false", sizeof(bool), bool_from_text, bool_from_json, bool_to_json, clear_nothing},
    [PEFT_OPTION_STRING] = {"a text", sizeof(char *), string_from_text, string_from_json, string_to_json, string_clear},
    [PEFT_OPTION_JSON] = {"a word, a list or JSON", sizeof(json_t *), json_from_text, json_from_json, json_to_json,
                          json_clear},
};

const peft_option_kind *peft_option_kind_of(const peft_option *option)
{
    return &kinds[option->type];
}
