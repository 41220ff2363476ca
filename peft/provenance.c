#include "peft/provenance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/name_list.h"
#include "models/descriptor.h"
#include "peft/inject.h"

/* ---- writing ---- */

/* A run or a merge may be at its largest: no more of the model's files is in memory than one weight. */
static peft_status describe_weight(const peft_model *model, const peft_weight *weight,
                                   double descriptor[PEFT_DESCRIPTOR_SIZE], peft_error *error)
{
    float *copy;
    const float *values = peft_weight_values(weight, &copy);
    if (!values) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", weight->name);
    peft_weight_describe(values, peft_shape_count(&weight->shape), descriptor);
    free(copy);
    peft_model_release_files(model);
    return PEFT_OK;
}

static json_t *describe(const peft_model *model, const peft_linear_layer *layer)
{
    double descriptor[PEFT_DESCRIPTOR_SIZE];
    if (describe_weight(model, layer->base.weight, descriptor, NULL)) return NULL;
    json_t *list = json_array();
    for (int k = 0; k < PEFT_DESCRIPTOR_SIZE; k++) json_array_append_new(list, json_real(descriptor[k]));
    return list;
}

/* A head may have been drawn from a seed: it says nothing about the base. */
static const peft_linear_layer *described_layer(peft_model *model, const char *module)
{
    const peft_linear_layer *layer = peft_find_linear(model, module);
    return layer && !layer->output ? layer : NULL;
}

/* In seven digits: files stay small, and what is compared are parts of a thousand. */
char *peft_base_describe(peft_model *model, const peft_adapters *adapters)
{
    json_t *root = json_object();
    for (int64_t i = 0; root && i < adapters->num_layers; i++) {
        const peft_linear_layer *layer = described_layer(model, adapters->layers[i].module);
        if (layer && json_object_set_new(root, layer->module, describe(model, layer)) != 0) {
            json_decref(root);
            return NULL;
        }
    }
    char *text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(7));
    json_decref(root);
    return text;
}

/* ---- the base ---- */

static bool read_descriptor(const json_t *list, double descriptor[PEFT_DESCRIPTOR_SIZE])
{
    if (json_array_size(list) != PEFT_DESCRIPTOR_SIZE) return false;
    for (size_t k = 0; k < PEFT_DESCRIPTOR_SIZE; k++) {
        const json_t *value = json_array_get(list, k);
        descriptor[k] = json_number_value(value);
        if (!json_is_number(value) || !isfinite(descriptor[k])) return false;
    }
    return true;
}

typedef struct difference {
    const char *module; /* where it is largest; NULL: nowhere */
    double share;
    int64_t modules; /* of which it is above the limit */
} difference;

/* Between copies of all-MiniLM-L6-v2 and all-mpnet-base-v2 in bfloat16 and the originals the 109 weights differed by
 * 0.15 % in the middle and 0.36 % at most, in float16 by 0.02 % and 0.04 %. Rounding to bfloat16 moves a weight by 0.17
 * % of its norm; that four projections show three times as much happens once in four million weights. */
static const double MOST = 0.005;

static peft_status compare(const peft_model *model, const peft_linear_layer *layer, const json_t *expected,
                           difference *d, peft_error *error)
{
    double known[PEFT_DESCRIPTOR_SIZE], found[PEFT_DESCRIPTOR_SIZE];
    if (!read_descriptor(expected, known)) return PEFT_OK;
    peft_status status = describe_weight(model, layer->base.weight, found, error);
    if (status) return status;
    double share = peft_descriptors_differ(known, found);
    if (share > MOST) d->modules++;
    if (share > MOST && (!d->module || share > d->share)) {
        d->module = layer->module;
        d->share = share;
    }
    return PEFT_OK;
}

static peft_status compare_weights(peft_model *model, const peft_adapters *adapters, const json_t *described,
                                   const char *folder, const peft_load_options *options, peft_error *error)
{
    difference d = {0};
    for (int64_t i = 0; i < adapters->num_layers; i++) {
        const peft_linear_layer *layer = described_layer(model, adapters->layers[i].module);
        const json_t *expected = layer ? json_object_get(described, layer->module) : NULL;
        peft_status status = expected ? compare(model, layer, expected, &d, error) : PEFT_OK;
        if (status) return status;
    }
    if (!d.module) return PEFT_OK;
    char text[PEFT_MESSAGE_BYTES];
    snprintf(text, sizeof text,
             "%s: was trained on another base than %s: %lld of %lld weights differ, %s by %.2g of its norm; has the "
             "adapter been merged into it?",
             folder, peft_model_dir(model), (long long)d.modules, (long long)adapters->num_layers, d.module, d.share);
    if (options && options->other_base) return peft_note(options, error, "%s", text);
    return peft_fail(error, PEFT_ERR_ARGUMENT, "%s Give its own base, or --other-base to go on", text);
}

/* ---- run.json ---- */

/* *run is NULL where there is none. */
static peft_status read_run(const char *folder, json_t **run, peft_error *error)
{
    char *path;
    *run = NULL;
    peft_status status = peft_path_join(folder, "run.json", &path, error);
    if (status == PEFT_OK && peft_file_exists(path)) status = peft_json_load(path, run, error);
    free(path);
    return status;
}

static peft_status compare_files(peft_model *model, const json_t *fingerprints, const char *folder,
                                 const peft_load_options *options, peft_error *error)
{
    bool same = true;
    for (size_t k = 0; k < peft_model_num_files(model) && same; k++) {
        char key[32], found[PEFT_FINGERPRINT_TEXT];
        snprintf(key, sizeof key, k ? "model_%zu" : "model", k);
        const char *known = json_string_value(json_object_get(fingerprints, key));
        if (!known) return PEFT_OK;
        peft_status status = peft_file_fingerprint(peft_model_file(model, k), found, error);
        if (status) return status;
        same = strcmp(known, found) == 0;
    }
    if (same) return PEFT_OK;
    return peft_note(
        options, error,
        "%s: was trained on other files than those of %s; they may hold the same weights, which an adapter "
        "of so early a version does not tell",
        folder, peft_model_dir(model));
}

peft_status peft_base_check(peft_model *model, const peft_adapters *adapters, const peft_safetensors *file,
                            const char *folder, const peft_load_options *options, peft_error *error)
{
    const char *text = peft_safetensors_metadata(file, PEFT_BASE_KEY);
    json_t *known = NULL;
    peft_status status = text ? peft_json_parse(text, strlen(text), peft_safetensors_path(file), &known, error)
                              : read_run(folder, &known, error);
    if (status == PEFT_OK && text) status = compare_weights(model, adapters, known, folder, options, error);
    if (status == PEFT_OK && !text)
        status = compare_files(model, json_object_get(known, "fingerprints"), folder, options, error);
    json_decref(known);
    return status;
}

/* ---- the configuration ---- */

static void add_changed(const json_t *from, const json_t *to, bool missing_only, peft_name_list *changed)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)from, key, value)
    {
        const json_t *other = json_object_get(to, key);
        if (missing_only ? other == NULL : !json_equal(value, other)) peft_name_list_add(changed, key);
    }
}

static peft_status compare_configs(const json_t *written, const char *folder, const peft_load_options *options,
                                   peft_error *error)
{
    char *path;
    peft_name_list changed = {.room = sizeof changed.text};
    json_t *now = NULL;
    peft_status status = peft_path_join(folder, "adapter_config.json", &path, error);
    if (status == PEFT_OK) status = peft_json_load(path, &now, error);
    if (status == PEFT_OK) {
        add_changed(written, now, false, &changed);
        add_changed(now, written, true, &changed);
    }
    if (status == PEFT_OK && changed.count)
        status = peft_note(options, error, "%s: is not as its run wrote it: %s", path, changed.text);
    json_decref(now);
    free(path);
    return status;
}

peft_status peft_config_check(const char *folder, const peft_load_options *options, peft_error *error)
{
    json_t *run;
    peft_status status = read_run(folder, &run, error);
    const json_t *written = json_object_get(run, "adapter_config");
    if (status == PEFT_OK && json_is_object(written)) status = compare_configs(written, folder, options, error);
    json_decref(run);
    return status;
}
