/* peft/adapter_load.c - reading the folder of adapter_folder.h. Everything is checked before anything is changed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/name_list.h"
#include "peft/adapter_file.h"
#include "peft/adapter_folder.h"
#include "peft/adapter_layers.h"
#include "peft/adapter_settings.h"
#include "peft/adapter_tensors.h"
#include "peft/inject.h"
#include "peft/provenance.h"
#include "variants/module_name.h"

typedef struct loading {
    peft_model *model;
    const peft_load_options *options;
    const peft_adapter_config *config;
    peft_safetensors *file;
    peft_file_layers layers;
    peft_adapters *adapters;
    peft_adapter_tensors tensors;
    peft_adapter_tensor **places; /* for each tensor of the file; NULL: none */
    bool *left_out;               /* those that need none */
    bool lacks_biases;
} loading;

/* ---- names ---- */

/* Of a module that is trained in full PEFT keeps what it was before, and sometimes its bias under a second name; both
 * get into files with bias "all". */
static const char before_training[] = ".original_module.", wrapper[] = ".modules_to_save.";

/* "base_model.model.X" as "base_model.model.bert.X", and without the wrapper's name, behind which that of the adapter
 * may stand: memory of its own. */
static char *full_name(const char *key, const char *prefix, bool with_adapter)
{
    const size_t common = strlen(PEFT_MODEL_PREFIX);
    size_t bytes = strlen(key) + strlen(prefix) + 1;
    char *name = malloc(bytes);
    if (!name) return NULL;
    bool of_model = strncmp(key, PEFT_MODEL_PREFIX, common) == 0;
    snprintf(name, bytes, "%s%s%s", of_model ? PEFT_MODEL_PREFIX : "", of_model ? prefix : "",
             of_model ? key + common : key);
    char *at = strstr(name, wrapper), *rest = at ? at + strlen(wrapper) - 1 : NULL; /* at a dot */
    if (rest && with_adapter) rest = strchr(rest + 1, '.');
    if (rest) memmove(at, rest, strlen(rest) + 1);
    return name;
}

static peft_status find_place(const loading *l, const char *key, const char *prefix, peft_adapter_tensor **place,
                              peft_error *error)
{
    *place = peft_adapter_tensors_find(&l->tensors, key);
    for (int with_adapter = 0; with_adapter < 2 && !*place; with_adapter++) {
        char *name = full_name(key, prefix, with_adapter);
        if (!name) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", key);
        *place = peft_adapter_tensors_find(&l->tensors, name);
        free(name);
    }
    return PEFT_OK;
}

/* A model opened for its hidden states alone takes adapters that were trained with a head, and one without a pooler
 * those that were trained with one: transformers draws it where a file has none. */
static bool is_of_missing_part(const loading *l, const char *key)
{
    const size_t common = strlen(PEFT_MODEL_PREFIX);
    if (strncmp(key, PEFT_MODEL_PREFIX, common) != 0) return false;
    return peft_model_is_of_missing_part(l->model, key + common) ||
           (!peft_has_head(l->model) && peft_is_saved_weight(&l->config->targets, key + common, NULL));
}

static peft_status place_tensor(loading *l, size_t index, const char *prefix, size_t *unknown, peft_error *error)
{
    const char *key = peft_safetensors_at(l->file, index)->name;
    peft_adapter_tensor *place;
    peft_status status = find_place(l, key, prefix, &place, error);
    if (status) return status;
    bool second = place && place->filled; /* of two names for one place */
    l->places[index] = second ? NULL : place;
    l->left_out[index] =
        strstr(key, before_training) || (second && strstr(key, wrapper)) || (!place && is_of_missing_part(l, key));
    if (place) place->filled = true;
    *unknown += !l->places[index] && !l->left_out[index];
    return PEFT_OK;
}

/* Finds a place for each tensor of the file, by the plain names first; *unknown counts those that have none and need
 * one. */
static peft_status find_places(loading *l, const char *prefix, size_t *unknown, peft_error *error)
{
    peft_status status = PEFT_OK;
    *unknown = 0;
    for (size_t i = 0; i < l->tensors.count; i++) l->tensors.items[i].filled = false;
    for (int wrapped = 0; wrapped < 2; wrapped++)
        for (size_t i = 0; i < peft_safetensors_count(l->file) && status == PEFT_OK; i++)
            if (!strstr(peft_safetensors_at(l->file, i)->name, wrapper) == !wrapped)
                status = place_tensor(l, i, prefix, unknown, error);
    return status;
}

static peft_status match_names(loading *l, peft_error *error)
{
    size_t unknown, unknown_with;
    peft_status status = find_places(l, "", &unknown, error);
    if (status != PEFT_OK || unknown == 0) return status;
    const char *prefix = peft_model_prefix(l->model);
    status = find_places(l, prefix, &unknown_with, error);
    if (status == PEFT_OK && unknown_with == 0)
        status = peft_note(l->options, error, "%s: its modules lack \"%s\", which was put before them",
                           peft_safetensors_path(l->file), prefix);
    else if (status == PEFT_OK)
        status = find_places(l, "", &unknown, error);
    return status;
}

/* ---- checks ---- */

/* Biases of adapted layers that a file of PEFT 0.6 to 0.19 lacks altogether, which is no fault of it; nor is it where
 * the adapter's own model has no head or pooler to take biases from. */
static bool may_lack_bias(const loading *l, const char *weight)
{
    return l->lacks_biases || peft_model_is_of_head(l->model, weight);
}

static bool is_required(const loading *l, const peft_adapter_tensor *t)
{
    if (!t->weight) return true;
    const peft_target_options without_biases = {.modules_to_save = l->config->targets.modules_to_save};
    if (peft_is_saved_weight(&without_biases, t->weight->name, NULL)) return true;
    return peft_is_saved_weight(&l->config->targets, t->weight->name, l->adapters) &&
           !may_lack_bias(l, t->weight->name);
}

static bool has_key_of_bias(const loading *l)
{
    for (size_t i = 0; i < l->tensors.count; i++) {
        const peft_adapter_tensor *t = &l->tensors.items[i];
        if (t->weight && t->filled && is_required(l, t) && peft_module_ends_with(t->weight->name, "bias") &&
            peft_module_layer(t->weight->name) >= 0)
            return true;
    }
    return false;
}

static peft_status look_for_biases(loading *l, peft_error *error)
{
    const char *bias = l->config->targets.bias;
    if (!bias || strcmp(bias, "none") == 0 || has_key_of_bias(l)) return PEFT_OK;
    l->lacks_biases = true;
    return peft_note(l->options, error,
                     "%s: has none of the biases that bias \"%s\" trains (PEFT up to 0.19 did not save them); those of "
                     "the model are used",
                     peft_safetensors_path(l->file), bias);
}

static peft_status check_complete(const loading *l, peft_error *error)
{
    peft_name_list missing = {.room = PEFT_MESSAGE_BYTES / 3}, unexpected = missing;
    size_t count = peft_safetensors_count(l->file);
    for (size_t i = 0; i < l->tensors.count; i++)
        if (!l->tensors.items[i].filled && is_required(l, &l->tensors.items[i]))
            peft_name_list_add(&missing, l->tensors.items[i].key);
    for (size_t i = 0; i < count; i++) {
        const char *key = peft_safetensors_at(l->file, i)->name;
        if (!l->places[i] && !l->left_out[i]) peft_name_list_add(&unexpected, key);
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

static peft_status check_tensor(const peft_file_tensor *tensor, const peft_adapter_tensor *place, peft_error *error)
{
    char expected[PEFT_SHAPE_TEXT], found[PEFT_SHAPE_TEXT];
    if (!peft_shape_equal(&tensor->shape, &place->shape))
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: %s: expected %s, found %s", tensor->path, tensor->name,
                         peft_shape_text(&place->shape, expected), peft_shape_text(&tensor->shape, found));
    size_t count = (size_t)peft_shape_count(&place->shape);
    float *values = malloc((count + 1) * sizeof *values);
    if (!values) return peft_fail(error, PEFT_ERR_MEMORY, "%s: %s: out of memory", tensor->path, tensor->name);
    peft_status status = peft_file_tensor_read_finite(tensor, values, error);
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

static peft_status note_left_out(const loading *l, const char *key, peft_error *error)
{
    if (!is_of_missing_part(l, key) || (l->options && l->options->hidden_only)) return PEFT_OK;
    return peft_note(l->options, error, "%s: %s: left out, since the model %s", peft_safetensors_path(l->file), key,
                     peft_has_head(l->model) ? "has no pooler" : "was opened without its head");
}

static peft_status check_all(loading *l, peft_error *error)
{
    peft_status status = look_for_biases(l, error);
    if (status == PEFT_OK) status = check_complete(l, error);
    for (size_t i = 0; i < peft_safetensors_count(l->file) && status == PEFT_OK; i++) {
        const peft_file_tensor *tensor = peft_safetensors_at(l->file, i);
        const peft_adapter_tensor *place = l->places[i];
        status = place ? check_tensor(tensor, place, error) : note_left_out(l, tensor->name, error);
        if (place && status == PEFT_OK) status = note_unasked(l, tensor, place, error);
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
        status = peft_file_tensor_read_f32(peft_safetensors_at(l->file, i), peft_adapter_tensor_data(place), error);
        if (place->weight) peft_model_set_given(l->model, place->weight);
    }
    return status;
}

/* ---- the order of things ---- */

/* Everything that can be said without memory for the adapter. */
static peft_status check(loading *l, peft_error *error)
{
    peft_status status = peft_adapter_tensors_list(&l->tensors, l->model, l->adapters, error);
    if (status != PEFT_OK) return status;
    l->places = calloc(peft_safetensors_count(l->file) + 1, sizeof *l->places);
    l->left_out = calloc(peft_safetensors_count(l->file) + 1, sizeof *l->left_out);
    if (!l->places || !l->left_out)
        return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", peft_safetensors_path(l->file));
    status = match_names(l, error);
    return status == PEFT_OK ? check_all(l, error) : status;
}

/* Adapts nothing but parts that the model was opened without. */
static bool is_of_head_alone(const loading *l)
{
    size_t count = peft_safetensors_count(l->file);
    bool alone = l->layers.count == 0 && count > 0;
    for (size_t i = 0; i < count && alone; i++) alone = is_of_missing_part(l, peft_safetensors_at(l->file, i)->name);
    return alone;
}

static peft_status describe(loading *l, const char *folder, peft_error *error)
{
    json_t *report = NULL;
    const peft_adapter_config *c = l->config;
    peft_status status = peft_file_layers_find(&l->layers, l->file, l->model, &c->targets, &report, error);
    if (status == PEFT_OK && !is_of_head_alone(l))
        status = peft_adapters_describe(&l->adapters, c->variant, c->options, l->layers.layers, l->layers.count,
                                        &(peft_file_shapes){peft_file_layers_fit, &l->layers}, error);
    const peft_settings_case settings = {folder, c, l->adapters, l->model, report, l->layers.unselected};
    status =
        status == PEFT_OK ? peft_note_settings(&settings, l->options, error) : peft_fail_in_file(error, status, folder);
    json_decref(report);
    return status;
}

static peft_status make(loading *l, peft_error *error)
{
    peft_status status = peft_adapters_allocate(l->adapters, 0, error);
    if (status == PEFT_OK) status = peft_init_from_base(l->model, l->adapters, 0, error);
    return status == PEFT_OK ? peft_attach(l->model, l->adapters, error) : status;
}

static peft_status load(loading *l, const char *folder, peft_error *error)
{
    peft_status status = peft_adapter_file_open(&l->file, folder, error);
    if (status == PEFT_OK && l->config->variant) status = describe(l, folder, error);
    if (status == PEFT_OK) status = check(l, error);
    if (status == PEFT_OK && l->adapters)
        status = peft_base_check(l->model, l->adapters, l->file, folder, l->options, error);
    if (status == PEFT_OK) status = peft_config_check(folder, l->options, error);
    if (status == PEFT_OK && l->adapters) status = make(l, error);
    if (status == PEFT_OK) status = fill(l, error);
    if (status != PEFT_OK) {
        peft_detach(l->model, l->adapters);
        peft_adapters_free(l->adapters);
        l->adapters = NULL;
    }
    free(l->places);
    free(l->left_out);
    peft_adapter_tensors_free(&l->tensors);
    peft_file_layers_free(&l->layers);
    peft_safetensors_close(l->file);
    return status;
}

peft_status peft_adapter_load(peft_model *model, const char *folder, const peft_load_options *options,
                              peft_adapters **adapters, peft_adapter_config *config, peft_error *error)
{
    peft_adapter_config own;
    *adapters = NULL;
    if (config) *config = (peft_adapter_config){0};
    peft_status status = peft_adapter_config_open(&own, folder, options, error);
    if (status) return status;
    loading l = {.model = model, .options = options, .config = &own};
    status = load(&l, folder, error);
    *adapters = l.adapters;
    if (status == PEFT_OK && config)
        *config = own;
    else
        peft_adapter_config_free(&own);
    return status;
}
