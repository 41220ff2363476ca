/* peft/adapter_load.c - reading the folder of adapter_folder.h. Everything is checked before anything is changed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/safetensors.h"
#include "peft/adapter_folder.h"
#include "peft/adapter_tensors.h"
#include "peft/inject.h"
#include "variants/module_name.h"

typedef struct loading {
    peft_model *model;
    const peft_load_options *options;
    const peft_adapter_config *config;
    peft_adapters *adapters;
    const peft_safetensors *file;
    peft_adapter_tensors tensors;
    peft_adapter_tensor **places; /* for each tensor of the file; NULL: left out */
} loading;

/* ---- names ---- */

/* "base_model.model.X" as "base_model.model.bert.X". */
static peft_status find_with_prefix(const loading *l, const char *key, const char *prefix, peft_adapter_tensor **place,
                                    peft_error *error)
{
    const size_t common = strlen(PEFT_MODEL_PREFIX);
    *place = peft_adapter_tensors_find(&l->tensors, key);
    if (*place || !*prefix || strncmp(key, PEFT_MODEL_PREFIX, common) != 0) return PEFT_OK;
    size_t bytes = strlen(key) + strlen(prefix) + 1;
    char *longer = malloc(bytes);
    if (!longer) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", key);
    snprintf(longer, bytes, "%s%s%s", PEFT_MODEL_PREFIX, prefix, key + common);
    *place = peft_adapter_tensors_find(&l->tensors, longer);
    free(longer);
    return PEFT_OK;
}

/* The first part of the encoder's names, which files of bare encoders leave out. */
static char *encoder_prefix(peft_model *model)
{
    int64_t count;
    const peft_linear_layer *linears = peft_model_linears(model, &count);
    const char *first = count ? linears[0].module : "", *dot = strchr(first, '.');
    return strndup(first, dot ? (size_t)(dot - first) + 1 : 0);
}

/* A model opened for its hidden states alone takes adapters that were trained with a head. */
static bool may_leave_out(const loading *l, const char *key)
{
    const size_t common = strlen(PEFT_MODEL_PREFIX);
    if (peft_has_head(l->model) || strncmp(key, PEFT_MODEL_PREFIX, common) != 0) return false;
    return peft_module_lies_in(key + common, peft_model_head(l->model)) ||
           peft_is_saved_weight(&l->config->targets, key + common, NULL);
}

/* Finds a place for each tensor of the file; *unknown counts those that have none. */
static peft_status find_places(loading *l, const char *prefix, size_t *unknown, peft_error *error)
{
    *unknown = 0;
    for (size_t i = 0; i < l->tensors.count; i++) l->tensors.items[i].filled = false;
    for (size_t i = 0; i < peft_safetensors_count(l->file); i++) {
        const char *key = peft_safetensors_at(l->file, i)->name;
        peft_status status = find_with_prefix(l, key, prefix, &l->places[i], error);
        if (status) return status;
        if (l->places[i] && l->places[i]->filled) l->places[i] = NULL; /* two names for one place */
        if (l->places[i]) l->places[i]->filled = true;
        *unknown += !l->places[i] && !may_leave_out(l, key);
    }
    return PEFT_OK;
}

static peft_status match_names(loading *l, peft_error *error)
{
    size_t unknown, unknown_with;
    peft_status status = find_places(l, "", &unknown, error);
    if (status != PEFT_OK || unknown == 0) return status;
    char *prefix = encoder_prefix(l->model);
    if (!prefix) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", peft_safetensors_path(l->file));
    status = find_places(l, prefix, &unknown_with, error);
    if (status == PEFT_OK && unknown_with == 0)
        status = peft_note(l->options, error, "%s: its modules lack \"%s\", which was put before them",
                           peft_safetensors_path(l->file), prefix);
    else if (status == PEFT_OK)
        status = find_places(l, "", &unknown, error);
    free(prefix);
    return status;
}

/* ---- checks ---- */

typedef struct name_list {
    char text[PEFT_MESSAGE_BYTES / 3];
    size_t used, count;
} name_list;

static void add_name(name_list *list, const char *name)
{
    size_t room = sizeof list->text - list->used;
    int length = snprintf(list->text + list->used, room, "%s%s", list->count++ ? ", " : "", name);
    list->used += (size_t)length < room ? (size_t)length : room - 1;
}

static bool is_required(const loading *l, const peft_adapter_tensor *t)
{
    return t->weight ? peft_is_saved_weight(&l->config->targets, t->weight->name, l->adapters) : true;
}

static peft_status check_complete(const loading *l, peft_error *error)
{
    name_list missing = {.count = 0}, unexpected = {.count = 0};
    size_t count = peft_safetensors_count(l->file);
    for (size_t i = 0; i < l->tensors.count; i++)
        if (!l->tensors.items[i].filled && is_required(l, &l->tensors.items[i]))
            add_name(&missing, l->tensors.items[i].key);
    for (size_t i = 0; i < count; i++) {
        const char *key = peft_safetensors_at(l->file, i)->name;
        if (!l->places[i] && !may_leave_out(l, key)) add_name(&unexpected, key);
    }
    const char *path = peft_safetensors_path(l->file);
    if (count && unexpected.count == count)
        return peft_fail(error, PEFT_ERR_FORMAT,
                         "%s: none of its %zu tensors belongs to this %s model, which has %s: %s", path, count,
                         peft_model_type(l->model), missing.count ? missing.text : "no such modules", unexpected.text);
    if (missing.count || unexpected.count)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: tensors missing: %zu%s%s; unexpected: %zu%s%s", path,
                         missing.count, missing.count ? ": " : "", missing.text, unexpected.count,
                         unexpected.count ? ": " : "", unexpected.text);
    return PEFT_OK;
}

static peft_status check_values(const peft_file_tensor *tensor, float *values, size_t count, peft_error *error)
{
    peft_status status = peft_file_tensor_read_f32(tensor, values, error);
    for (size_t i = 0; i < count && status == PEFT_OK; i++)
        if (!isfinite(values[i]))
            status = peft_fail(error, PEFT_ERR_NUMERIC, "%s: %s: element %zu is %g", tensor->path, tensor->name, i,
                               (double)values[i]);
    return status;
}

static peft_status check_tensor(const peft_file_tensor *tensor, const peft_adapter_tensor *place, peft_error *error)
{
    char expected[PEFT_SHAPE_TEXT], found[PEFT_SHAPE_TEXT];
    if (!peft_shape_equal(&tensor->shape, &place->shape))
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: %s: expected %s, found %s", tensor->path, tensor->name,
                         peft_shape_text(&place->shape, expected), peft_shape_text(&tensor->shape, found));
    size_t count = (size_t)peft_shape_count(&place->shape);
    float *values = malloc((count + 1) * sizeof *values);
    if (!values) return peft_fail(error, PEFT_ERR_MEMORY, "%s: %s: out of memory", tensor->path, tensor->name);
    peft_status status = check_values(tensor, values, count, error);
    free(values);
    return status;
}

/* Weights that no setting asks for: PEFT stores embeddings in full where it finds that they were resized. */
static peft_status note_unasked(const loading *l, const peft_file_tensor *tensor, const peft_adapter_tensor *place,
                                peft_error *error)
{
    if (is_required(l, place) || peft_module_lies_in(place->weight->name, peft_model_head(l->model))) return PEFT_OK;
    return peft_note(l->options, error, "%s: %s: a full weight (%zu bytes) that is not in modules_to_save; it is used",
                     tensor->path, tensor->name, tensor->bytes);
}

static peft_status check_all(const loading *l, peft_error *error)
{
    peft_status status = check_complete(l, error);
    for (size_t i = 0; i < peft_safetensors_count(l->file) && status == PEFT_OK; i++) {
        const peft_file_tensor *tensor = peft_safetensors_at(l->file, i);
        const peft_adapter_tensor *place = l->places[i];
        if (!place) {
            status = peft_note(l->options, error, "%s: %s: left out, since the model was opened without its head",
                               tensor->path, tensor->name);
            continue;
        }
        status = check_tensor(tensor, place, error);
        if (status == PEFT_OK) status = note_unasked(l, tensor, place, error);
    }
    return status;
}

/* ---- taking over ---- */

static peft_status fill(const loading *l, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < peft_safetensors_count(l->file) && status == PEFT_OK; i++) {
        const peft_adapter_tensor *place = l->places[i];
        if (place && place->weight) status = peft_model_train(l->model, place->weight, error);
    }
    for (size_t i = 0; i < peft_safetensors_count(l->file) && status == PEFT_OK; i++) {
        const peft_adapter_tensor *place = l->places[i];
        if (!place) continue;
        float *data = place->weight ? place->weight->value : place->data;
        status = peft_file_tensor_read_f32(peft_safetensors_at(l->file, i), data, error);
    }
    return status;
}

static peft_status load_tensors(loading *l, const char *folder, peft_error *error)
{
    char *path = NULL;
    peft_safetensors *file = NULL;
    peft_status status = peft_adapter_tensors_list(&l->tensors, l->model, l->adapters, error);
    if (status == PEFT_OK) status = peft_path_join(folder, "adapter_model.safetensors", &path, error);
    if (status == PEFT_OK) status = peft_safetensors_open(path, &file, error);
    if (status == PEFT_OK) {
        l->file = file;
        l->places = calloc(peft_safetensors_count(file) + 1, sizeof *l->places);
        if (!l->places) status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    }
    if (status == PEFT_OK) status = match_names(l, error);
    if (status == PEFT_OK) status = check_all(l, error);
    if (status == PEFT_OK) status = fill(l, error);
    free(l->places);
    free(path);
    peft_safetensors_close(file);
    peft_adapter_tensors_free(&l->tensors);
    return status;
}

static peft_status load_config(peft_adapter_config *config, const char *folder, const peft_load_options *options,
                               peft_error *error)
{
    char *path;
    *config = (peft_adapter_config){0};
    peft_status status = peft_path_join(folder, "adapter_config.json", &path, error);
    if (status) return status;
    status = peft_adapter_config_load(config, path, options, error);
    if (status == PEFT_OK && options) config->targets.allow_unmatched = options->allow_unmatched;
    free(path);
    return status;
}

/* With allow_unmatched: what the settings name and the model lacks. */
static peft_status note_unmatched(const json_t *report, const char *folder, const peft_load_options *options,
                                  peft_error *error)
{
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < json_array_size(report) && status == PEFT_OK; i++) {
        const json_t *rule = json_array_get(report, i);
        const char *setting = json_string_value(json_object_get(rule, "setting"));
        if (json_array_size(json_object_get(rule, "modules")) || strcmp(setting, "modules_to_save") == 0) continue;
        status = peft_note(options, error, "%s: %s: \"%s\" matches no linear layer", folder, setting,
                           json_string_value(json_object_get(rule, "pattern")));
    }
    return status;
}

static peft_status load(peft_model *model, const char *folder, const peft_load_options *options,
                        const peft_adapter_config *config, peft_adapters **adapters, peft_error *error)
{
    json_t *report;
    peft_status status =
        peft_inject(model, config->variant, config->options, &config->targets, 0, adapters, &report, error);
    if (status) return peft_fail_in(error, status, folder);
    status = note_unmatched(report, folder, options, error);
    json_decref(report);
    if (status == PEFT_OK)
        status = load_tensors(&(loading){.model = model, .options = options, .config = config, .adapters = *adapters},
                              folder, error);
    if (status == PEFT_OK) return PEFT_OK;
    peft_detach(model, *adapters);
    peft_adapters_free(*adapters);
    *adapters = NULL;
    return status;
}

peft_status peft_adapter_load(peft_model *model, const char *folder, const peft_load_options *options,
                              peft_adapters **adapters, peft_adapter_config *config, peft_error *error)
{
    peft_adapter_config own;
    *adapters = NULL;
    if (config) *config = (peft_adapter_config){0};
    peft_status status = load_config(&own, folder, options, error);
    if (status) return status;
    status = load(model, folder, options, &own, adapters, error);
    if (status == PEFT_OK && config)
        *config = own;
    else
        peft_adapter_config_free(&own);
    return status;
}
