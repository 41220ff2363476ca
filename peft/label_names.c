#include "peft/label_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"

enum { NAME_BYTES = 32 };

static const char *standard_name(int64_t index, char text[NAME_BYTES])
{
    snprintf(text, NAME_BYTES, "LABEL_%" PRId64, index);
    return text;
}

static peft_status fail_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "names of labels: out of memory");
}

/* Reads folder/name where it is there; *root is NULL where not. */
static peft_status load_optional(const char *folder, const char *name, json_t **root, char **path, peft_error *error)
{
    *root = NULL;
    peft_status status = peft_path_join(folder, name, path, error);
    return status == PEFT_OK && peft_file_exists(*path) ? peft_json_load(*path, root, error) : status;
}

static peft_status allocate(peft_label_names *n, int64_t count, peft_error *error)
{
    n->count = count;
    n->names = calloc((size_t)count + 1, sizeof *n->names);
    return n->names ? PEFT_OK : fail_memory(error);
}

static peft_status set_name(peft_label_names *n, int64_t index, const char *name, peft_names_source source,
                            peft_error *error)
{
    char standard[NAME_BYTES];
    if (strcmp(name, standard_name(index, standard)) != 0) n->source = source;
    n->names[index] = strdup(name);
    return n->names[index] ? PEFT_OK : fail_memory(error);
}

/* A text, or a number as its text: some write {"0": 0, "1": 1}. */
static peft_status set_value(peft_label_names *n, int64_t index, const json_t *value, peft_names_source source,
                             const char *where, peft_error *error)
{
    char text[PEFT_JSON_TEXT], standard[NAME_BYTES];
    if (!value || json_is_null(value)) return set_name(n, index, standard_name(index, standard), source, error);
    if (peft_json_is_text(value)) return set_name(n, index, json_string_value(value), source, error);
    if (source == PEFT_NAMES_OF_MODEL && (json_is_number(value) || json_is_boolean(value)))
        return set_name(n, index, peft_json_text(value, text), source, error);
    return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected texts, found %s", where, peft_json_text(value, text));
}

/* "label_names": ["entailment", "not_entailment"] */
static peft_status take_run(peft_label_names *n, const json_t *run, int64_t count, const char *path, peft_error *error)
{
    json_t *list = NULL;
    char where[PEFT_MESSAGE_BYTES / 2];
    snprintf(where, sizeof where, "%s: label_names", path);
    peft_status status = peft_json_array(run, "label_names", &list, path, error);
    if (status != PEFT_OK || !list) return status;
    if ((int64_t)json_array_size(list) != count)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected %" PRId64 ", one for each row of the head, found %zu",
                         where, count, json_array_size(list));
    status = allocate(n, count, error);
    for (int64_t k = 0; status == PEFT_OK && k < count; k++)
        status = set_value(n, k, json_array_get(list, (size_t)k), PEFT_NAMES_OF_RUN, where, error);
    return status;
}

/* Names that two classes share tell nothing, and no JSON object of classes could hold them. */
static peft_status drop_shared_names(peft_label_names *n, peft_error *error)
{
    char standard[NAME_BYTES];
    json_t *set = json_object();
    bool complete = set != NULL;
    for (int64_t k = 0; complete && k < n->count; k++)
        complete = json_object_set_new(set, n->names[k], json_null()) == 0;
    bool differ = (int64_t)json_object_size(set) == n->count;
    json_decref(set);
    if (!complete) return fail_memory(error);
    if (!differ) n->source = PEFT_NAMES_NONE;
    peft_status status = PEFT_OK;
    for (int64_t k = 0; status == PEFT_OK && !differ && k < n->count; k++) {
        free(n->names[k]);
        status = set_name(n, k, standard_name(k, standard), PEFT_NAMES_NONE, error);
    }
    return status;
}

/* "id2label": {"0": "entailment", "1": "not_entailment"}; transformers writes LABEL_0, ... where nobody has named the
 * classes. */
static peft_status take_model(peft_label_names *n, const json_t *config, int64_t count, const char *path,
                              peft_error *error)
{
    const json_t *names = json_object_get(config, "id2label");
    char where[PEFT_MESSAGE_BYTES / 2], found[PEFT_JSON_TEXT];
    snprintf(where, sizeof where, "%s: id2label", path);
    if (!names || json_is_null(names)) return PEFT_OK;
    if (!json_is_object(names) && !json_is_array(names))
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an object or a list, found %s", where,
                         peft_json_text(names, found));
    int64_t size = (int64_t)(json_is_array(names) ? json_array_size(names) : json_object_size(names));
    if (count != 0 && size != count) return PEFT_OK;
    peft_status status = allocate(n, size, error);
    for (int64_t k = 0; status == PEFT_OK && k < size; k++) {
        char id[NAME_BYTES];
        snprintf(id, sizeof id, "%" PRId64, k);
        const json_t *value = json_is_array(names) ? json_array_get(names, (size_t)k) : json_object_get(names, id);
        status = set_value(n, k, value, PEFT_NAMES_OF_MODEL, where, error);
    }
    return status == PEFT_OK ? drop_shared_names(n, error) : status;
}

typedef peft_status taker(peft_label_names *n, const json_t *root, int64_t count, const char *path, peft_error *error);

static peft_status read(peft_label_names *n, const char *folder, const char *file, taker *take, int64_t count,
                        peft_error *error)
{
    json_t *root = NULL;
    char *path = NULL;
    *n = (peft_label_names){0};
    peft_status status = load_optional(folder, file, &root, &path, error);
    if (status == PEFT_OK && root) status = take(n, root, count, path, error);
    json_decref(root);
    free(path);
    if (status != PEFT_OK) peft_label_names_free(n);
    return status;
}

peft_status peft_label_names_of_run(peft_label_names *names, const char *folder, int64_t count, peft_error *error)
{
    return read(names, folder, "run.json", take_run, count, error);
}

peft_status peft_label_names_of_model(peft_label_names *names, const char *folder, int64_t count, peft_error *error)
{
    return read(names, folder, "config.json", take_model, count, error);
}

peft_class_names peft_label_names_for_data(const peft_label_names *names)
{
    bool real = names->source != PEFT_NAMES_NONE;
    return (peft_class_names){real ? (const char *const *)names->names : NULL, (size_t)names->count};
}

void peft_label_names_free(peft_label_names *names)
{
    for (int64_t k = 0; names->names && k < names->count; k++) free(names->names[k]);
    free(names->names);
    *names = (peft_label_names){0};
}

/* ---- the rest of run.json ---- */

static const char *const quotings[] = {
    [PEFT_QUOTED] = "quoted", [PEFT_UNQUOTED] = "unquoted", [PEFT_QUOTED_CSV] = "quoted csv"};
enum { NUM_QUOTINGS = sizeof quotings / sizeof quotings[0] };

const char *peft_quoting_name(peft_quoting quoting)
{
    return quotings[quoting];
}

/* Runs of older versions say nothing, and read own .tsv files without quotes. */
static peft_status take_record(peft_run_record *record, const json_t *run, const char *path, peft_error *error)
{
    const char *quoting = NULL, *task = NULL, *positive = NULL;
    peft_status status = peft_json_string(run, "quoting", &quoting, path, error);
    if (status == PEFT_OK) status = peft_json_string(run, "task", &task, path, error);
    if (status == PEFT_OK) status = peft_json_string(run, "positive_class", &positive, path, error);
    if (status != PEFT_OK) return status;
    if (!quoting && task && strcmp(task, "own") == 0) record->quoting = PEFT_QUOTED_CSV;
    for (int k = 0; quoting && k < NUM_QUOTINGS; k++)
        if (strcmp(quoting, quotings[k]) == 0) record->quoting = (peft_quoting)k;
    if (positive && !(record->positive_class = strdup(positive))) return fail_memory(error);
    return PEFT_OK;
}

peft_status peft_run_record_load(peft_run_record *record, const char *folder, peft_error *error)
{
    json_t *root = NULL;
    char *path = NULL;
    *record = (peft_run_record){.quoting = PEFT_QUOTED};
    peft_status status = load_optional(folder, "run.json", &root, &path, error);
    if (status == PEFT_OK && root) status = take_record(record, root, path, error);
    json_decref(root);
    free(path);
    return status;
}
