/* peft/adapter_save.c - writing the folder of adapter_folder.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/safetensors.h"
#include "peft/adapter_folder.h"
#include "peft/adapter_settings.h"
#include "peft/adapter_write.h"
#include "peft/inject.h"
#include "peft/output_folder.h"
#include "peft/provenance.h"
#include "variants/module_name.h"

/* A file of the folder, and the name that its new content has until both are complete. */
typedef struct new_file {
    char *path, *draft;
} new_file;

static peft_status name_file(new_file *file, const char *folder, const char *name, peft_error *error)
{
    char draft[64];
    snprintf(draft, sizeof draft, PEFT_TEMPORARY_BEGIN "new-%s" PEFT_TEMPORARY_END, name);
    peft_status status = peft_path_join(folder, name, &file->path, error);
    return status == PEFT_OK ? peft_path_join(folder, draft, &file->draft, error) : status;
}

static void free_file(new_file *file)
{
    if (file->draft) remove(file->draft); /* it is there only after a failure */
    free(file->path);
    free(file->draft);
}

static peft_status put_in_place(const new_file *file, peft_error *error)
{
    if (rename(file->draft, file->path) == 0) return PEFT_OK;
    return peft_fail_write(error, errno, file->path, "replace it");
}

/* ---- tensors ---- */

static peft_file_tensor in_file(const peft_adapter_tensor *t)
{
    return (peft_file_tensor){.name = t->key,
                              .dtype = PEFT_F32,
                              .shape = t->shape,
                              .data = peft_adapter_tensor_data(t),
                              .bytes = (size_t)peft_shape_count(&t->shape) * sizeof(float)};
}

static peft_status write_tensors(const char *path, const peft_adapter_files *content, peft_error *error)
{
    const peft_variant *variant = content->config->variant;
    peft_key_value metadata[5] = {{"format", "pt"}, {PEFT_CHECKSUM_KEY, NULL}};
    size_t num_metadata = 2;
    if (variant && variant->own_format) {
        metadata[num_metadata++] = (peft_key_value){"method", variant->name};
        metadata[num_metadata++] = (peft_key_value){"method_version", variant->own_format};
    }
    if (content->base) metadata[num_metadata++] = (peft_key_value){PEFT_BASE_KEY, content->base};
    const peft_adapter_tensors *tensors = content->tensors;
    peft_file_tensor *list = calloc(tensors->count + content->num_others + 1, sizeof *list);
    if (!list) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    size_t count = 0;
    for (size_t i = 0; i < tensors->count; i++)
        if (peft_adapter_tensor_data(&tensors->items[i])) list[count++] = in_file(&tensors->items[i]);
    for (size_t i = 0; i < content->num_others; i++) list[count++] = content->others[i];
    peft_status status = peft_safetensors_write(path, list, count, metadata, num_metadata, error);
    free(list);
    return status;
}

/* ---- configuration ---- */

static bool append_name(json_t *list, const char *name, size_t length)
{
    return json_array_append_new(list, json_stringn(name, length)) == 0;
}

json_t *peft_adapter_modules(const peft_adapters *adapters)
{
    json_t *list = json_array();
    bool complete = list != NULL;
    for (int64_t i = 0; complete && i < adapters->num_layers; i++)
        complete = append_name(list, adapters->layers[i].module, strlen(adapters->layers[i].module));
    if (complete) return list;
    json_decref(list);
    return NULL;
}

/* The last part of a module that PEFT would name: the head as a whole, else what has the weight. */
static size_t saved_module(const peft_model *model, const char *weight, const char **module)
{
    const char *head = peft_model_head(model), *dot = strrchr(weight, '.');
    *module = peft_module_lies_in(weight, head) ? head : weight;
    return *module == head || !dot ? strlen(*module) : (size_t)(dot - weight);
}

/* All that is trained in full has to be in the list, also what was trained for other reasons than the list. */
static json_t *names_of_saved(peft_model *model, const peft_adapters *adapters, const peft_target_options *targets)
{
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    peft_target_options so_far = *targets;
    so_far.modules_to_save = targets->modules_to_save ? json_copy(targets->modules_to_save) : json_array();
    bool complete = so_far.modules_to_save != NULL;
    for (int64_t k = 0; complete && k < count; k++) {
        const char *module;
        size_t length = saved_module(model, weights[k].name, &module);
        if (weights[k].value && !peft_is_saved_weight(&so_far, weights[k].name, adapters))
            complete = append_name(so_far.modules_to_save, module, length);
    }
    if (complete) return so_far.modules_to_save;
    json_decref(so_far.modules_to_save);
    return NULL;
}

/* Do the settings select just the layers that are adapted? Where ranks are handed out by worth, some layers get none.
 */
static bool select_these(peft_model *model, const peft_adapters *adapters, const peft_target_options *targets)
{
    int64_t count, num_selected = 0;
    const peft_linear_layer *linears = peft_model_linears(model, &count);
    bool *selected = calloc((size_t)count + 1, sizeof *selected);
    bool found = selected &&
                 !peft_targets_find(linears, count, peft_model_default_targets(model), targets, selected, NULL, NULL);
    for (int64_t k = 0; found && k < count; k++) num_selected += selected[k];
    free(selected);
    return num_selected == adapters->num_layers;
}

/* Do the settings, as PEFT reads them, mean modules that are not linear, too? It looks at all modules, and refuses
 * these. The names of others are known from the weights in them; some have none. */
static bool meets_others(peft_model *model, const char *module, const peft_target_options *targets)
{
    static const char *const without_weights[] = {"", ".dropout", ".activation", ".intermediate_act_fn"};
    enum { NAMES = sizeof without_weights / sizeof *without_weights };
    const peft_target_options lenient = {.target_modules = targets->target_modules,
                                         .exclude_modules = targets->exclude_modules,
                                         .modules_to_save = targets->modules_to_save,
                                         .allow_unmatched = true};
    char names[NAMES][512];
    peft_linear_layer others[NAMES] = {{0}};
    bool selected[NAMES] = {false};
    int64_t count;
    const peft_linear_layer *linears = peft_model_linears(model, &count);
    for (int64_t k = 0; k < count; k++)
        if (strcmp(linears[k].module, module) == 0) return false;
    for (int k = 0; k < NAMES; k++) {
        snprintf(names[k], sizeof names[k], "%s%s", module, without_weights[k]);
        others[k].module = names[k];
        others[k].output = true; /* all-linear means none of them */
    }
    static const char *const none[] = {NULL};
    if (peft_targets_find(others, NAMES, none, &lenient, selected, NULL, NULL) != PEFT_OK) return true;
    for (int k = 0; k < NAMES; k++)
        if (selected[k]) return true;
    return false;
}

static bool meet_others(peft_model *model, const peft_target_options *targets)
{
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    for (int64_t k = 0; k < count; k++) {
        char module[256];
        snprintf(module, sizeof module, "%s", weights[k].name);
        for (char *dot = strrchr(module, '.'); dot; dot = strrchr(module, '.')) {
            *dot = '\0';
            if (meets_others(model, module, targets)) return true;
        }
    }
    return false;
}

/* PEFT's all-linear takes DistilBERT's pre_classifier, too, which it saves in full beside a "classifier", and fails. */
static bool all_linear_meets_saved(peft_model *model, const peft_target_options *targets)
{
    int64_t count;
    const peft_linear_layer *linears = peft_model_linears(model, &count);
    const peft_target_options saved = {.modules_to_save = targets->modules_to_save};
    const char *text = json_string_value(targets->target_modules);
    bool meets = false;
    for (int64_t k = 0; k < count && !meets && text && strcasecmp(text, "all-linear") == 0; k++)
        meets = !linears[k].output && peft_is_saved_weight(&saved, linears[k].base.weight->name, NULL);
    return meets;
}

/* Rules that the file has no field for, or that select too much, become the list of what is adapted. */
static bool targets_are_named(peft_model *model, const peft_adapters *adapters, const peft_target_options *targets)
{
    return !targets->target_modules ||
           (targets->exclude_modules && peft_variant_lacks(adapters->variant, "exclude_modules")) ||
           (targets->layers_to_transform && peft_variant_lacks(adapters->variant, "layers_to_transform")) ||
           (model && (!select_these(model, adapters, targets) || meet_others(model, targets) ||
                      all_linear_meets_saved(model, targets)));
}

/* ---- the folder ---- */

static peft_status write_both(const new_file files[2], const peft_adapter_files *content, peft_error *error)
{
    peft_status status = write_tensors(files[0].draft, content, error);
    if (status == PEFT_OK) status = peft_adapter_config_save(content->config, files[1].draft, error);
    if (status == PEFT_OK) status = put_in_place(&files[0], error);
    return status == PEFT_OK ? put_in_place(&files[1], error) : status;
}

peft_status peft_adapter_write(const char *folder, const peft_adapter_files *content, peft_error *error)
{
    new_file files[2] = {{0}};
    peft_status status = peft_output_folder_prepare(folder, error);
    if (status == PEFT_OK) status = name_file(&files[0], folder, "adapter_model.safetensors", error);
    if (status == PEFT_OK) status = name_file(&files[1], folder, "adapter_config.json", error);
    if (status == PEFT_OK) status = write_both(files, content, error);
    free_file(&files[0]);
    free_file(&files[1]);
    return status;
}

/* What a file says of the adapters; what is new is freed by free_settings. */
typedef struct settings {
    json_t *saved, *names, *rank_pattern, *alpha_pattern;
    void *options; /* of the variant: a shallow copy, or NULL */
} settings;

static void free_settings(settings *s)
{
    json_decref(s->saved);
    json_decref(s->names);
    json_decref(s->rank_pattern);
    json_decref(s->alpha_pattern);
    free(s->options);
}

/* Patterns whose order counts become names. */
static peft_status copy_options(settings *s, const peft_adapters *adapters, peft_error *error)
{
    peft_status status = peft_settings_patterns(adapters, &s->rank_pattern, &s->alpha_pattern, error);
    if (status != PEFT_OK) return status;
    peft_common_options *options = s->options = malloc(adapters->variant->options_bytes);
    if (!options) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", adapters->variant->name);
    memcpy(options, adapters->options, adapters->variant->options_bytes);
    if (s->rank_pattern) options->rank_pattern = s->rank_pattern;
    if (s->alpha_pattern) options->alpha_pattern = s->alpha_pattern;
    return PEFT_OK;
}

static peft_status find_settings(settings *s, peft_model *model, const peft_adapters *adapters,
                                 const peft_target_options *targets, peft_error *error)
{
    peft_target_options all = *targets;
    all.modules_to_save = s->saved = names_of_saved(model, adapters, targets);
    s->names = adapters && targets_are_named(model, adapters, &all) ? peft_adapter_modules(adapters)
                                                                    : json_incref(targets->target_modules);
    if (!s->saved || (adapters && !s->names))
        return peft_fail(error, PEFT_ERR_MEMORY, "adapter_config.json: out of memory");
    return adapters ? copy_options(s, adapters, error) : PEFT_OK;
}

/* As PEFT calls it; the string is only read. */
static char *task_of(peft_model *model)
{
    static char classes[] = "SEQ_CLS", features[] = "FEATURE_EXTRACTION";
    if (!peft_has_head(model)) return NULL;
    return peft_model_opened_with(model)->part == PEFT_MODEL_ANSWERS ? features : classes;
}

static peft_status write_described(peft_model *model, const peft_adapters *adapters,
                                   const peft_adapter_tensors *tensors, const peft_target_options *targets,
                                   const char *folder, peft_error *error)
{
    settings s = {0};
    peft_status status = find_settings(&s, model, adapters, targets, error);
    peft_adapter_config config = {
        .variant = adapters ? adapters->variant : NULL,
        .options = s.options,
        .targets = *targets,
        .task_type = task_of(model),
        .base_model_name_or_path = (char *)(uintptr_t)peft_model_dir(model), /* only read */
        .inference_mode = true,
    };
    config.targets.modules_to_save = s.saved;
    config.targets.target_modules = s.names;
    char *base = adapters && model ? peft_base_describe(model, adapters) : NULL;
    if (status == PEFT_OK && adapters && model && !base)
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", folder);
    if (status == PEFT_OK)
        status = peft_adapter_write(folder, &(peft_adapter_files){.config = &config, .tensors = tensors, .base = base},
                                    error);
    free(base);
    free_settings(&s);
    return status;
}

/* `adapters` as files hold them: without what was pruned. */
static peft_status save(peft_model *model, peft_adapters *adapters, const peft_target_options *targets,
                        const char *folder, peft_error *error)
{
    peft_adapter_tensors tensors;
    peft_status status = peft_adapter_tensors_list(&tensors, model, adapters, error);
    if (status) return status;
    status = write_described(model, adapters, &tensors, targets, folder, error);
    peft_adapter_tensors_free(&tensors);
    return status;
}

peft_status peft_adapter_save(peft_model *model, peft_adapters *adapters, const peft_target_options *targets,
                              const char *folder, peft_error *error)
{
    const peft_target_options none = {.bias = (char[]){"none"}};
    peft_adapters *smaller = NULL;
    peft_status status = adapters ? peft_adapters_compact(adapters, &smaller, error) : PEFT_OK;
    if (status == PEFT_OK) status = save(model, smaller ? smaller : adapters, targets ? targets : &none, folder, error);
    peft_adapters_free(smaller);
    return status;
}
