#include "peft/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"

/* Fields of every peft_type, under their names in the file. */
static const peft_option common_table[] = {
    {.name = "auto_mapping", .type = PEFT_OPTION_JSON, .offset = offsetof(peft_adapter_config, auto_mapping)},
    {.name = "base_model_name_or_path",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(peft_adapter_config, base_model_name_or_path)},
    {.name = "inference_mode", .type = PEFT_OPTION_BOOL, .offset = offsetof(peft_adapter_config, inference_mode)},
    {.name = "peft_version", .type = PEFT_OPTION_STRING, .offset = offsetof(peft_adapter_config, peft_version)},
    {.name = "revision", .type = PEFT_OPTION_STRING, .offset = offsetof(peft_adapter_config, revision)},
    {.name = "task_type", .type = PEFT_OPTION_STRING, .offset = offsetof(peft_adapter_config, task_type)},
    {0}};

/* The one setting of the targets that is the reader's own and no field. */
static const char not_a_field[] = "allow_unmatched";

/* ---- names and values of options in the file ---- */

static const peft_json_name *name_of_option(const peft_variant *variant, const char *option)
{
    for (const peft_json_name *n = variant->json_names; n && n->option; n++)
        if (strcmp(n->option, option) == 0) return n;
    return NULL;
}

/* NULL: no field of the file. */
static const char *key_of_option(const peft_variant *variant, const char *option)
{
    const peft_json_name *name = name_of_option(variant, option);
    return name ? name->json : option;
}

static const peft_option *option_of_key(const peft_variant *variant, const char *key)
{
    for (const peft_option *o = variant->options; o->name; o++) {
        const char *own_key = key_of_option(variant, o->name);
        if (own_key && strcmp(own_key, key) == 0) return o;
    }
    return NULL;
}

static const peft_json_field *field_of_key(const peft_variant *variant, const char *key)
{
    for (const peft_json_field *f = variant->json_fields; f && f->json; f++)
        if (strcmp(f->json, key) == 0) return f;
    return NULL;
}

/* A literal of a table: "true", "{}", "\"gaussian\"". */
static json_t *literal(const char *text)
{
    return json_loads(text, JSON_DECODE_ANY, NULL);
}

static peft_status parse_literal(const char *text, json_t **value, peft_error *error)
{
    *value = literal(text);
    return *value ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
}

static peft_status equals_literal(const json_t *value, const char *text, bool *equal, peft_error *error)
{
    json_t *other;
    peft_status status = parse_literal(text, &other, error);
    *equal = json_equal(value, other);
    json_decref(other);
    return status;
}

/* null, false, {} and [] say that something is not used. */
static bool is_nothing(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) || (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

/* ---- reading ---- */

typedef struct reader {
    peft_adapter_config *config;
    const peft_load_options *options;
    const char *path;
} reader;

peft_status peft_note(const peft_load_options *options, peft_error *error, const char *format, ...)
{
    peft_error note = {0};
    va_list arguments;
    va_start(arguments, format);
    peft_fail_va(&note, PEFT_ERR_UNSUPPORTED, format, arguments);
    va_end(arguments);
    if (options && options->strict) return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s", note.message);
    if (options && options->notes && json_array_append_new(options->notes, json_string(note.message)))
        return peft_fail(error, PEFT_ERR_MEMORY, "out of memory for a note: %s", note.message);
    return PEFT_OK;
}

static peft_status read_option(const reader *r, const peft_option *option, const json_t *value, peft_error *error)
{
    const peft_variant *variant = r->config->variant;
    const peft_json_name *name = name_of_option(variant, option->name);
    if (!name || !name->values)
        return peft_options_set_json(variant->options, r->config->options, option->name, value, error);
    for (const struct peft_json_value *v = name->values; v->json; v++) {
        bool equal;
        peft_status status = equals_literal(value, v->json, &equal, error);
        if (status) return status;
        if (equal) return peft_options_set_text(variant->options, r->config->options, option->name, v->text, error);
    }
    char text[PEFT_JSON_TEXT];
    if (name->advice)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s is not offered here: %s", peft_json_text(value, text),
                         name->advice);
    return peft_note(r->options, error,
                     "%s: %s: %s is not offered here; the adapter is right only if the base model it was trained on "
                     "had not been changed by it",
                     r->path, name->json, peft_json_text(value, text));
}

static peft_status check_field(const reader *r, const peft_json_field *field, const json_t *value, peft_error *error)
{
    json_t *initial;
    char text[PEFT_JSON_TEXT];
    peft_status status = parse_literal(field->initial, &initial, error);
    if (status) return status;
    bool same = json_equal(value, initial) || (is_nothing(value) && is_nothing(initial));
    json_decref(initial);
    if (same || field->rule == PEFT_FIELD_IGNORE) return PEFT_OK;
    if (field->rule == PEFT_FIELD_NOTE)
        return peft_note(r->options, error, "%s: %s: means nothing on linear layers, and is ignored: %s", r->path,
                         field->json, peft_json_text(value, text));
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "is not offered here: expected %s, found %s", field->initial,
                     peft_json_text(value, text));
}

static peft_status read_unknown(const reader *r, const char *key, const json_t *value, peft_error *error)
{
    char text[PEFT_JSON_TEXT];
    if (is_nothing(value)) return PEFT_OK;
    return peft_note(r->options, error, "%s: %s: unknown, and ignored: %s", r->path, key, peft_json_text(value, text));
}

static peft_status read_variant_field(const reader *r, const char *key, const json_t *value, peft_error *error)
{
    const peft_variant *variant = r->config->variant;
    if (variant->peft_flag && strcmp(key, variant->peft_flag) == 0) return PEFT_OK;
    const peft_option *option = option_of_key(variant, key);
    if (option) return read_option(r, option, value, error);
    const peft_json_field *field = field_of_key(variant, key);
    return field ? check_field(r, field, value, error) : read_unknown(r, key, value, error);
}

static peft_status read_field(const reader *r, const char *key, const json_t *value, peft_error *error)
{
    if (strcmp(key, "peft_type") == 0) return PEFT_OK;
    if (peft_variant_lacks(r->config->variant, key)) return read_unknown(r, key, value, error);
    if (peft_options_find(common_table, key) && json_is_null(value)) return PEFT_OK;
    if (peft_options_find(common_table, key)) return peft_options_set_json(common_table, r->config, key, value, error);
    if (strcmp(key, not_a_field) != 0 && peft_options_find(peft_target_option_table, key))
        return peft_options_set_json(peft_target_option_table, &r->config->targets, key, value, error);
    return r->config->variant ? read_variant_field(r, key, value, error) : read_unknown(r, key, value, error);
}

peft_status peft_fail_in_file(peft_error *error, peft_status status, const char *where)
{
    if (status == PEFT_ERR_ARGUMENT) {
        status = PEFT_ERR_FORMAT;
        if (error) error->status = status;
    }
    return peft_fail_in(error, status, where);
}

static peft_status fail_field(const reader *r, const char *key, peft_status status, peft_error *error)
{
    char where[PEFT_MESSAGE_BYTES];
    snprintf(where, sizeof where, "%s: %s", r->path, key);
    return peft_fail_in_file(error, status, where);
}

static peft_status read_fields(const reader *r, json_t *root, peft_error *error)
{
    for (void *i = json_object_iter(root); i; i = json_object_iter_next(root, i)) {
        const char *key = json_object_iter_key(i);
        peft_status status = read_field(r, key, json_object_iter_value(i), error);
        if (status) return fail_field(r, key, status, error);
    }
    return PEFT_OK;
}

/* What PEFT assumes for missing keys, where that is not the option's own default. */
static peft_status set_initials(const reader *r, peft_error *error)
{
    const peft_variant *variant = r->config->variant;
    peft_status status = PEFT_OK;
    for (const peft_json_name *n = variant ? variant->json_names : NULL; n && n->option && status == PEFT_OK; n++) {
        if (!n->initial) continue;
        json_t *value;
        status = parse_literal(n->initial, &value, error);
        if (status == PEFT_OK)
            status = peft_options_set_json(variant->options, r->config->options, n->option, value, error);
        json_decref(value);
    }
    return status;
}

/* ---- which variant ---- */

static bool has_type(const peft_variant *variant, const char *type)
{
    return strcmp(variant->peft_type, type) == 0;
}

static void list_types(char *text, size_t bytes)
{
    size_t at = (size_t)snprintf(text, bytes, PEFT_TYPE_HEAD);
    for (size_t i = 0; peft_variant_at(i) && at < bytes; i++)
        if (!peft_variant_at(i)->peft_flag)
            at += (size_t)snprintf(text + at, bytes - at, ", %s", peft_variant_at(i)->peft_type);
}

/* Of two whose flags are true, the one that has the other's flag as an option (DoRA with rsLoRA's scale). */
static bool goes_before(const peft_variant *variant, const peft_variant *other)
{
    return !other || !other->peft_flag || option_of_key(variant, other->peft_flag);
}

/* Of the variants of a type, the one whose flag is true, else the one without a flag. A second flag that is no option
 * of it is refused later, as a field that is not offered. */
static peft_status choose_variant(const reader *r, const json_t *root, const peft_variant **variant, peft_error *error)
{
    const char *type = NULL;
    *variant = NULL;
    peft_status status = peft_json_string(root, "peft_type", &type, r->path, error);
    if (status) return status;
    if (!type) return peft_fail(error, PEFT_ERR_FORMAT, "%s: peft_type: missing", r->path);
    for (size_t i = 0; peft_variant_at(i); i++) {
        const peft_variant *candidate = peft_variant_at(i);
        if (!has_type(candidate, type)) continue;
        bool flagged = candidate->peft_flag && json_is_true(json_object_get(root, candidate->peft_flag));
        if (flagged ? goes_before(candidate, *variant) : !*variant && !candidate->peft_flag) *variant = candidate;
    }
    if (*variant || strcmp(type, PEFT_TYPE_HEAD) == 0) return PEFT_OK;
    char known[256];
    list_types(known, sizeof known);
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: peft_type: expected one of %s, found \"%s\"", r->path, known,
                     type);
}

static peft_status read_root(const reader *r, json_t *root, peft_error *error)
{
    const peft_variant *variant;
    if (!json_is_object(root)) return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an object", r->path);
    peft_status status = choose_variant(r, root, &variant, error);
    if (status == PEFT_OK) status = peft_adapter_config_init(r->config, variant, error);
    if (status != PEFT_OK) return status;
    status = set_initials(r, error);
    if (status == PEFT_OK) status = read_fields(r, root, error);
    if (status != PEFT_OK) peft_adapter_config_free(r->config);
    return status;
}

peft_status peft_adapter_config_load(peft_adapter_config *config, const char *path, const peft_load_options *options,
                                     peft_error *error)
{
    json_t *root;
    *config = (peft_adapter_config){0};
    peft_status status = peft_json_load(path, &root, error);
    if (status) return status;
    status = read_root(&(reader){config, options, path}, root, error);
    json_decref(root);
    return status;
}

peft_status peft_adapter_config_init(peft_adapter_config *config, const peft_variant *variant, peft_error *error)
{
    *config = (peft_adapter_config){.variant = variant};
    peft_status status = peft_options_init(common_table, config, error);
    if (status == PEFT_OK) status = peft_options_init(peft_target_option_table, &config->targets, error);
    if (status == PEFT_OK && variant) {
        config->options = calloc(1, variant->options_bytes);
        status = config->options ? peft_variant_options_init(variant, config->options, error)
                                 : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", variant->name);
    }
    if (status != PEFT_OK) peft_adapter_config_free(config);
    return status;
}

void peft_adapter_config_free(peft_adapter_config *config)
{
    peft_options_free(common_table, config);
    peft_options_free(peft_target_option_table, &config->targets);
    if (config->options) peft_options_free(config->variant->options, config->options);
    free(config->options);
    *config = (peft_adapter_config){0};
}

/* ---- writing ---- */

static int compare_strings(const void *a, const void *b)
{
    return strcmp(json_string_value(*(json_t *const *)a), json_string_value(*(json_t *const *)b));
}

static bool all_strings(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!json_is_string(json_array_get(list, i))) return false;
    return json_is_array(list);
}

/* Lists of names are sets to PEFT, so their order means nothing and ours is fixed. Takes `value`. */
static json_t *sorted(json_t *value)
{
    size_t count = json_array_size(value);
    if (!all_strings(value)) return value;
    json_t *list = json_array(), **items = malloc((count + 1) * sizeof *items);
    bool complete = list && items;
    for (size_t i = 0; complete && i < count; i++) items[i] = json_array_get(value, i);
    if (complete) qsort(items, count, sizeof *items, compare_strings);
    for (size_t i = 0; complete && i < count; i++) complete = json_array_append(list, items[i]) == 0;
    free(items);
    json_decref(value);
    if (complete) return list;
    json_decref(list);
    return NULL;
}

/* Whole numbers without ".0": readers that want an integer take them, and those that want a float too. */
static json_t *shortest(json_t *value)
{
    double number = json_number_value(value);
    if (!json_is_real(value) || number != floor(number) || fabs(number) > 1e15) return value;
    json_decref(value);
    return json_integer((json_int_t)number);
}

static bool put(json_t *root, const char *key, json_t *value)
{
    return json_object_set_new(root, key, value) == 0;
}

static bool put_table(json_t *root, const peft_variant *variant, const peft_option *table, const void *values)
{
    json_t *fields = peft_options_to_json(table, values);
    bool complete = fields != NULL;
    for (; complete && table->name; table++)
        if (strcmp(table->name, not_a_field) != 0 && !peft_variant_lacks(variant, table->name))
            complete = put(root, table->name, sorted(json_incref(json_object_get(fields, table->name))));
    json_decref(fields);
    return complete;
}

/* The value of an option as the file has it. `value` is borrowed. */
static json_t *to_file(const peft_json_name *name, json_t *value)
{
    if (name && name->initial && json_is_null(value)) return literal(name->initial);
    for (const struct peft_json_value *v = name ? name->values : NULL; v && v->json; v++)
        if (json_is_string(value) && strcmp(json_string_value(value), v->text) == 0) return literal(v->json);
    return shortest(json_incref(value));
}

static bool put_options(json_t *root, const peft_variant *variant, const void *options)
{
    json_t *fields = peft_options_to_json(variant->options, options);
    bool complete = fields != NULL;
    for (const peft_option *o = variant->options; complete && o->name; o++) {
        const char *key = key_of_option(variant, o->name);
        if (key) complete = put(root, key, to_file(name_of_option(variant, o->name), json_object_get(fields, o->name)));
    }
    json_decref(fields);
    return complete;
}

static bool put_variant(json_t *root, const peft_variant *variant, const void *options)
{
    bool complete = put(root, "peft_type", json_string(variant->peft_type));
    for (const peft_json_field *f = variant->json_fields; complete && f && f->json; f++)
        complete = put(root, f->json, literal(f->initial));
    if (complete && variant->write_fields) complete = variant->write_fields(options, root);
    if (complete && variant->peft_flag) complete = put(root, variant->peft_flag, json_true());
    return complete && put_options(root, variant, options);
}

peft_status peft_adapter_config_save(const peft_adapter_config *config, const char *path, peft_error *error)
{
    json_t *root = json_object();
    bool complete = root && put_table(root, config->variant, common_table, config) &&
                    put_table(root, config->variant, peft_target_option_table, &config->targets);
    if (complete)
        complete = config->variant ? put_variant(root, config->variant, config->options)
                                   : put(root, "peft_type", json_string(PEFT_TYPE_HEAD));
    peft_status status = complete ? peft_json_save(path, root, PEFT_JSON_SORTED, error)
                                  : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    json_decref(root);
    return status;
}
