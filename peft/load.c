#include "peft/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "peft/adapter_folder.h"
#include "peft/adapter_read.h"
#include "peft/inject.h"

/* ---- names of the classes ---- */

/* Reads folder/name where it is there; *root is NULL where not. */
static peft_status load_optional(const char *folder, const char *name, json_t **root, char **path, peft_error *error)
{
    *root = NULL;
    peft_status status = peft_path_join(folder, name, path, error);
    return status == PEFT_OK && peft_file_exists(*path) ? peft_json_load(*path, root, error) : status;
}

static peft_status set_name(peft_loaded *l, int64_t index, const char *name, peft_error *error)
{
    l->label_names[index] = strdup(name);
    return l->label_names[index] ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "names of labels: out of memory");
}

/* "label_names": ["entailment", "not_entailment"] of run.json */
static peft_status names_of_run(peft_loaded *l, const json_t *run, const char *path, peft_error *error)
{
    json_t *names = NULL;
    peft_status status = peft_json_array(run, "label_names", &names, path, error);
    if (status != PEFT_OK || !names) return status;
    if ((int64_t)json_array_size(names) != l->num_labels)
        return peft_fail(error, PEFT_ERR_FORMAT,
                         "%s: label_names: expected %" PRId64 ", one for each row of the head, found %zu", path,
                         l->num_labels, json_array_size(names));
    for (int64_t k = 0; status == PEFT_OK && k < l->num_labels; k++) {
        const json_t *name = json_array_get(names, (size_t)k);
        char text[PEFT_JSON_TEXT];
        status = json_is_string(name) ? set_name(l, k, json_string_value(name), error)
                                      : peft_fail(error, PEFT_ERR_FORMAT, "%s: label_names: expected texts, found %s",
                                                  path, peft_json_text(name, text));
    }
    l->has_names = status == PEFT_OK;
    return status;
}

/* "id2label": {"0": "entailment", "1": "not_entailment"} of config.json; transformers writes LABEL_0, ... where nobody
 * has named the classes. */
static peft_status names_of_config(peft_loaded *l, const json_t *config, const char *path, peft_error *error)
{
    json_t *names = NULL;
    peft_status status = peft_json_object(config, "id2label", &names, path, error);
    for (int64_t k = 0; status == PEFT_OK && names && k < l->num_labels; k++) {
        char id[24], standard[32];
        const char *name = NULL;
        snprintf(id, sizeof id, "%" PRId64, k);
        snprintf(standard, sizeof standard, "LABEL_%" PRId64, k);
        status = peft_json_string(names, id, &name, path, error);
        if (status == PEFT_OK && name) status = set_name(l, k, name, error);
        if (name && strcmp(name, standard) != 0) l->has_names = true;
    }
    return status;
}

static peft_status fill_gaps(peft_loaded *l, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (int64_t k = 0; status == PEFT_OK && k < l->num_labels; k++) {
        char standard[32];
        snprintf(standard, sizeof standard, "LABEL_%" PRId64, k);
        if (!l->label_names[k]) status = set_name(l, k, standard, error);
    }
    return status;
}

typedef struct name_source {
    const char *folder, *file;
    peft_status (*take)(peft_loaded *l, const json_t *root, const char *path, peft_error *error);
} name_source;

static peft_status name_labels(peft_loaded *l, const name_source *source, peft_error *error)
{
    l->label_names = calloc((size_t)l->num_labels, sizeof *l->label_names);
    if (!l->label_names) return peft_fail(error, PEFT_ERR_MEMORY, "names of labels: out of memory");
    json_t *root = NULL;
    char *path = NULL;
    peft_status status = load_optional(source->folder, source->file, &root, &path, error);
    if (status == PEFT_OK && root) status = source->take(l, root, path, error);
    json_decref(root);
    free(path);
    return status == PEFT_OK ? fill_gaps(l, error) : status;
}

static peft_status describe_head(peft_loaded *l, const char *model, const char *run, peft_error *error)
{
    const name_source of_run = {run, "run.json", names_of_run}, of_config = {model, "config.json", names_of_config};
    l->num_labels = peft_model_num_labels(l->model);
    l->regression = l->num_labels == 1;
    return l->regression ? PEFT_OK : name_labels(l, run ? &of_run : &of_config, error);
}

/* ---- opening ---- */

peft_status peft_load_tokenizer(peft_tokenizer **tokenizer, const peft_model *model, peft_error *error)
{
    peft_status status = peft_tokenizer_open(tokenizer, peft_model_dir(model), error);
    if (status != PEFT_OK || peft_tokenizer_vocab_size(*tokenizer) <= peft_model_vocab_size(model)) return status;
    status = peft_fail(error, PEFT_ERR_FORMAT, "%s: the tokenizer has ids up to %d, the model %" PRId64 " embeddings",
                       peft_model_dir(model), peft_tokenizer_vocab_size(*tokenizer) - 1, peft_model_vocab_size(model));
    peft_tokenizer_close(*tokenizer);
    *tokenizer = NULL;
    return status;
}

static peft_status open_part(peft_loaded *l, const char *model, peft_model_part part, int64_t labels, peft_error *error)
{
    const peft_model_options options = {.num_labels = labels, .regression = labels == 1, .part = part};
    peft_model_close(l->model);
    l->model = NULL;
    return peft_model_open(&l->model, model, &options, error);
}

/* An adapter may sit on layers of the head, so with one the head is opened whatever it is for. */
static peft_status open_model(peft_loaded *l, const char *model, const char *adapter, peft_head_use head,
                              int64_t adapter_labels, peft_error *error)
{
    peft_model_part part = head == PEFT_WITHOUT_HEAD && !adapter ? PEFT_MODEL_HIDDEN : PEFT_MODEL_WITH_HEAD;
    peft_status status = open_part(l, model, part, adapter_labels, error);
    if (status != PEFT_OK || head == PEFT_WITHOUT_HEAD || adapter_labels || peft_model_has_trained_head(l->model))
        return status;
    if (head == PEFT_WITH_ANY_HEAD) return open_part(l, model, PEFT_MODEL_ENCODER, 0, error);
    return peft_fail(error, PEFT_ERR_ARGUMENT,
                     "%s has no trained head (%s)%s%s; give an adapter that was trained on a task", model,
                     peft_model_head(l->model), adapter ? ", nor has " : "", adapter ? adapter : "");
}

/* The notes of model and tokenizer, kept as those of the adapter are. */
typedef struct note_taker {
    const peft_load_options *options;
    peft_status status;
    peft_error *error;
} note_taker;

static void take_note(void *argument, const char *text)
{
    note_taker *t = argument;
    if (t->status == PEFT_OK) t->status = peft_note(t->options, t->error, "%s", text);
}

static peft_status note_model(const peft_loaded *l, peft_head_use head, const peft_load_options *options,
                              peft_error *error)
{
    note_taker taker = {options, PEFT_OK, error};
    peft_model_notes(l->model, head != PEFT_WITHOUT_HEAD, take_note, &taker);
    return taker.status;
}

static peft_status open_tokenizer(peft_loaded *l, const peft_load_options *options, peft_error *error)
{
    note_taker taker = {options, peft_load_tokenizer(&l->tokenizer, l->model, error), error};
    if (taker.status == PEFT_OK) peft_tokenizer_notes(l->tokenizer, take_note, &taker);
    return taker.status;
}

static peft_status load(peft_loaded *l, const char *model, const char *adapter, peft_head_use head,
                        const peft_load_options *options, peft_error *error)
{
    int64_t adapter_labels = 0;
    peft_status status = adapter ? peft_adapter_head_labels(adapter, &adapter_labels, error) : PEFT_OK;
    if (status == PEFT_OK) status = open_model(l, model, adapter, head, adapter_labels, error);
    if (status == PEFT_OK && adapter) status = peft_adapter_load(l->model, adapter, options, &l->adapters, NULL, error);
    if (status == PEFT_OK) status = note_model(l, head, options, error);
    if (status == PEFT_OK) status = open_tokenizer(l, options, error);
    if (status == PEFT_OK && head != PEFT_WITHOUT_HEAD && peft_has_head(l->model))
        status = describe_head(l, model, adapter_labels ? adapter : NULL, error);
    return status;
}

peft_status peft_load(peft_loaded *loaded, const char *model, const char *adapter, peft_head_use head,
                      const peft_load_options *options, peft_error *error)
{
    *loaded = (peft_loaded){0};
    peft_status status = load(loaded, model, adapter, head, options, error);
    if (status != PEFT_OK) peft_loaded_close(loaded);
    return status;
}

void peft_loaded_close(peft_loaded *l)
{
    for (int64_t k = 0; l->label_names && k < l->num_labels; k++) free(l->label_names[k]);
    free(l->label_names);
    peft_tokenizer_close(l->tokenizer);
    if (l->adapters) peft_detach(l->model, l->adapters);
    peft_adapters_free(l->adapters);
    peft_model_close(l->model);
    *l = (peft_loaded){0};
}
