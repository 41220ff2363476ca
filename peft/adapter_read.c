#include "peft/adapter_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peft/adapter_file.h"
#include "peft/adapter_layers.h"
#include "peft/adapter_settings.h"
#include "peft/adapter_tensors.h"
#include "peft/inject.h"
#include "peft/provenance.h"

typedef struct reading {
    peft_adapter_contents *contents;
    const char *folder;
    peft_value_spec specs[PEFT_MAX_VALUES]; /* of a layer of the variant with IN_FEATURES and OUT_FEATURES */
    int32_t num_specs;
    const peft_layer *given; /* [num_layers] those of the caller, or NULL */
    char **modules;          /* [num_layers] what the layers' names point to; NULL: into the model */
    peft_layer *layers;      /* [num_layers] */
    int64_t num_layers;
    peft_file_layers of_model; /* those of a model, where there is one */
    json_t *report;            /* what the settings match in it */
} reading;

/* ---- which layers ---- */

/* Sizes that nothing else in a shape has: they show which of its dimensions are those of the layer. They are no primes,
 * so that a variant which factors sizes (LoKr) does not keep them whole. */
enum { IN_FEATURES = 1000004, OUT_FEATURES = 1000034 };

/* The end of a tensor's name, ".VALUE", by either of the value's names: its length, or 0. */
static size_t end_of(const char *name, const char *value)
{
    size_t bytes = strlen(name), length = value ? strlen(value) + 1 : 0;
    bool ends =
        length && bytes > length && name[bytes - length] == '.' && strcmp(name + bytes - length + 1, value) == 0;
    return ends ? length : 0;
}

/* The module of "base_model.model.MODULE.VALUE" in *length bytes, and the value's spec; NULL: another tensor. */
static const peft_value_spec *split_name(const reading *r, const char *name, const char **module, size_t *length)
{
    const size_t prefix = strlen(PEFT_MODEL_PREFIX), bytes = strlen(name);
    if (strncmp(name, PEFT_MODEL_PREFIX, prefix) != 0) return NULL;
    for (int32_t k = 0; k < r->num_specs; k++) {
        size_t end = end_of(name, r->specs[k].name);
        if (!end) end = end_of(name, r->specs[k].other_name);
        if (!end || bytes <= prefix + end) continue;
        *module = name + prefix;
        *length = bytes - prefix - end;
        return &r->specs[k];
    }
    return NULL;
}

static peft_layer *layer_of(reading *r, const char *module, size_t length)
{
    for (int64_t k = 0; k < r->num_layers; k++)
        if (strncmp(r->modules[k], module, length) == 0 && !r->modules[k][length]) return &r->layers[k];
    char *copy = strndup(module, length);
    if (!copy) return NULL;
    r->modules[r->num_layers] = copy;
    r->layers[r->num_layers] = (peft_layer){.module = copy};
    return &r->layers[r->num_layers++];
}

static void take_sizes(peft_layer *layer, const peft_value_spec *spec, const peft_shape *shape)
{
    for (int32_t d = 0; d < shape->ndim && shape->ndim == spec->shape.ndim; d++) {
        if (spec->shape.size[d] == IN_FEATURES) layer->in_features = shape->size[d];
        if (spec->shape.size[d] == OUT_FEATURES) layer->out_features = shape->size[d];
    }
}

static int by_module(const void *a, const void *b)
{
    return strverscmp(((const peft_layer *)a)->module, ((const peft_layer *)b)->module);
}

static peft_status find_layers(reading *r, peft_error *error)
{
    const peft_safetensors *file = r->contents->file;
    size_t count = peft_safetensors_count(file);
    r->modules = calloc(count + 1, sizeof *r->modules);
    r->layers = calloc(count + 1, sizeof *r->layers);
    r->num_layers = 0;
    if (!r->modules || !r->layers) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", r->folder);
    for (size_t k = 0; k < count; k++) {
        const peft_file_tensor *tensor = peft_safetensors_at(file, k);
        const char *module;
        size_t length;
        const peft_value_spec *spec = split_name(r, tensor->name, &module, &length);
        if (!spec) continue;
        peft_layer *layer = layer_of(r, module, length);
        if (!layer) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", r->folder);
        take_sizes(layer, spec, &tensor->shape);
    }
    qsort(r->layers, (size_t)r->num_layers, sizeof *r->layers, by_module);
    for (int64_t k = 0; k < r->num_layers; k++)
        if (!r->layers[k].in_features || !r->layers[k].out_features)
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: module %s: tensors of one side of the adapter are missing",
                             peft_safetensors_path(file), r->layers[k].module);
    return r->num_layers ? PEFT_OK
                         : peft_fail(error, PEFT_ERR_FORMAT, "%s: no tensors of a %s adapter",
                                     peft_safetensors_path(file), r->contents->config.variant->name);
}

/* ---- values ---- */

static peft_status check_value(void *argument, const char *module, peft_value *value, peft_error *error)
{
    const peft_safetensors *file = argument;
    const peft_value_spec *spec = &value->spec;
    char expected[PEFT_SHAPE_TEXT], found[PEFT_SHAPE_TEXT];
    if (spec->kind == PEFT_VALUE_STATE) return PEFT_OK;
    const peft_file_tensor *tensor = peft_file_value(file, module, spec);
    if (!tensor)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: module %s: tensor %s: missing", peft_safetensors_path(file),
                         module, spec->name);
    if (!peft_shape_equal(&tensor->shape, &spec->shape))
        return peft_fail(error, PEFT_ERR_FORMAT,
                         "%s: tensor %s: expected %s, found %s; is the rank in adapter_config.json right?",
                         peft_safetensors_path(file), tensor->name, peft_shape_text(&spec->shape, expected),
                         peft_shape_text(&tensor->shape, found));
    return PEFT_OK;
}

static peft_status read_value(void *argument, const char *module, peft_value *value, peft_error *error)
{
    const peft_file_tensor *tensor = peft_file_value(argument, module, &value->spec);
    return tensor ? peft_file_tensor_read_f32(tensor, value->data, error) : PEFT_OK;
}

/* All that no value of the adapter has read. */
static peft_status list_others(reading *r, peft_error *error)
{
    peft_adapter_contents *c = r->contents;
    peft_adapter_tensors values;
    size_t count = peft_safetensors_count(c->file);
    peft_status status = peft_adapter_tensors_list(&values, NULL, c->adapters, error);
    if (status) return status;
    c->others = calloc(count + 1, sizeof *c->others);
    if (!c->others) status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", r->folder);
    for (size_t k = 0; k < count && status == PEFT_OK; k++) {
        const peft_file_tensor *tensor = peft_safetensors_at(c->file, k);
        if (!peft_adapter_tensors_find(&values, tensor->name)) c->others[c->num_others++] = *tensor;
    }
    peft_adapter_tensors_free(&values);
    return status;
}

static int32_t specs_of(const peft_adapter_config *config, peft_value_spec specs[PEFT_MAX_VALUES])
{
    const peft_adapters all = {.variant = config->variant, .options = config->options};
    const peft_adapter any = {
        .all = &all, .module = "", .in_features = IN_FEATURES, .out_features = OUT_FEATURES, .rank = 1};
    return config->variant->layer_values(&any, specs);
}

static bool has_size(const peft_value_spec *specs, int32_t count, int64_t size)
{
    for (int32_t k = 0; k < count; k++)
        for (int32_t d = 0; d < specs[k].shape.ndim; d++)
            if (specs[k].shape.size[d] == size) return true;
    return false;
}

/* VeRA's values have no dimension that is the layer's input, IA3's one of both, LoKr's have factors of both. */
bool peft_adapter_shows_sizes(const peft_adapter_config *config)
{
    peft_value_spec specs[PEFT_MAX_VALUES];
    if (!config->variant) return true;
    const int32_t count = specs_of(config, specs);
    return has_size(specs, count, IN_FEATURES) && has_size(specs, count, OUT_FEATURES);
}

/* From the file alone. */
static peft_status layers_of_file(reading *r, peft_error *error)
{
    const peft_adapter_config *config = &r->contents->config;
    if (!peft_adapter_shows_sizes(config))
        return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                         "%s: the shapes of a %s adapter do not say the sizes of its layers; give its base model, too "
                         "(--model)",
                         r->folder, config->variant->name);
    r->num_specs = specs_of(config, r->specs);
    return find_layers(r, error);
}

/* Those of the model, under the names that the file has. */
static peft_status layers_of_model(reading *r, peft_model *model, peft_error *error)
{
    peft_file_layers *l = &r->of_model;
    peft_status status =
        peft_file_layers_find(l, r->contents->file, model, &r->contents->config.targets, &r->report, error);
    if (status) return peft_fail_in_file(error, status, r->folder);
    size_t left_out = strlen(l->left_out);
    for (int64_t k = 0; k < l->count; k++)
        if (strncmp(l->layers[k].module, l->left_out, left_out) == 0) l->layers[k].module += left_out;
    return PEFT_OK;
}

static peft_status describe(reading *r, peft_model *model, peft_error *error)
{
    peft_adapter_contents *c = r->contents;
    peft_status status = PEFT_OK;
    if (model)
        status = layers_of_model(r, model, error);
    else if (!r->given)
        status = layers_of_file(r, error);
    if (status) return status;
    const peft_layer *own = r->given ? r->given : r->layers;
    peft_file_layers names = {.file = c->file, .left_out = ""};
    status = peft_adapters_describe(&c->adapters, c->config.variant, c->config.options,
                                    model ? r->of_model.layers : own, model ? r->of_model.count : r->num_layers,
                                    &(peft_file_shapes){peft_file_layers_fit, &names}, error);
    return status == PEFT_OK ? PEFT_OK : peft_fail_in_file(error, status, r->folder);
}

static peft_status read_adapters(reading *r, peft_model *model, const peft_load_options *options, peft_error *error)
{
    peft_adapter_contents *c = r->contents;
    peft_status status = describe(r, model, error);
    if (status == PEFT_OK)
        status = peft_note_settings(
            &(peft_settings_case){r->folder, &c->config, c->adapters, model, r->report, r->of_model.unselected},
            options, error);
    if (status == PEFT_OK) status = peft_adapters_each_value(c->adapters, check_value, c->file, error);
    if (status == PEFT_OK && model) status = peft_base_check(model, c->adapters, c->file, r->folder, options, error);
    if (status == PEFT_OK) status = peft_adapters_allocate(c->adapters, 0, error);
    if (status == PEFT_OK && model) status = peft_init_from_base(model, c->adapters, 0, error);
    return status == PEFT_OK ? peft_adapters_each_value(c->adapters, read_value, c->file, error) : status;
}

static peft_status open_files(const reading *r, const peft_load_options *options, peft_error *error)
{
    peft_adapter_contents *c = r->contents;
    peft_status status = peft_adapter_config_open(&c->config, r->folder, options, error);
    return status == PEFT_OK ? peft_adapter_file_open(&c->file, r->folder, error) : status;
}

static peft_status read_all(reading *r, peft_model *model, const peft_load_options *options, peft_error *error)
{
    peft_status status = open_files(r, options, error);
    if (status == PEFT_OK && r->contents->config.variant) status = read_adapters(r, model, options, error);
    return status == PEFT_OK ? list_others(r, error) : status;
}

static peft_status read_folder(reading *r, peft_model *model, const peft_load_options *options, peft_error *error)
{
    *r->contents = (peft_adapter_contents){0};
    peft_status status = read_all(r, model, options, error);
    for (int64_t k = 0; r->modules && k < r->num_layers; k++) free(r->modules[k]);
    free(r->modules);
    free(r->layers);
    peft_file_layers_free(&r->of_model);
    json_decref(r->report);
    if (status != PEFT_OK) peft_adapter_contents_free(r->contents);
    return status;
}

peft_status peft_adapter_read(peft_adapter_contents *contents, const char *folder, peft_model *model,
                              const peft_load_options *options, peft_error *error)
{
    reading r = {.contents = contents, .folder = folder};
    return read_folder(&r, model, options, error);
}

peft_status peft_adapter_read_layers(peft_adapter_contents *contents, const char *folder, const peft_layer *layers,
                                     int64_t num_layers, const peft_load_options *options, peft_error *error)
{
    reading r = {.contents = contents, .folder = folder, .given = layers, .num_layers = num_layers};
    return read_folder(&r, NULL, options, error);
}

peft_status peft_adapter_read_tensors(peft_adapter_contents *contents, const char *folder,
                                      const peft_load_options *options, peft_error *error)
{
    *contents = (peft_adapter_contents){0};
    reading r = {.contents = contents, .folder = folder};
    peft_status status = open_files(&r, options, error);
    if (status == PEFT_OK) status = list_others(&r, error);
    if (status != PEFT_OK) peft_adapter_contents_free(contents);
    return status;
}

void peft_adapter_contents_free(peft_adapter_contents *c)
{
    peft_adapters_free(c->adapters);
    peft_safetensors_close(c->file);
    peft_adapter_config_free(&c->config);
    free(c->others);
    *c = (peft_adapter_contents){0};
}
