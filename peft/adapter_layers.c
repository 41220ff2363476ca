#include "peft/adapter_layers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peft/adapter_tensors.h"
#include "variants/module_name.h"

/* ---- tensors of a module ---- */

/* What a module has without an adapter, also where PEFT has wrapped it. */
static bool is_own(const char *value)
{
    static const char *const names[] = {"weight", "bias"};
    static const char *const wrapped[] = {"base_layer.", "original_module.", "modules_to_save."};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (strcmp(value, names[k]) == 0) return true;
    for (size_t k = 0; k < sizeof wrapped / sizeof *wrapped; k++)
        if (strncmp(value, wrapped[k], strlen(wrapped[k])) == 0) return true;
    return false;
}

static bool has_adapter_of(const peft_safetensors *file, const char *module)
{
    const size_t prefix = strlen(PEFT_MODEL_PREFIX), length = strlen(module);
    for (size_t k = 0; k < peft_safetensors_count(file); k++) {
        const char *name = peft_safetensors_at(file, k)->name;
        if (strncmp(name, PEFT_MODEL_PREFIX, prefix) != 0 || strncmp(name + prefix, module, length) != 0) continue;
        const char *rest = name + prefix + length;
        if (*rest == '.' && !is_own(rest + 1)) return true;
    }
    return false;
}

static const peft_file_tensor *find_tensor(const peft_safetensors *file, const char *module, const char *value)
{
    char name[512];
    snprintf(name, sizeof name, "%s%s%s%s", *module ? PEFT_MODEL_PREFIX : "base_model.", module, *module ? "." : "",
             value);
    return peft_safetensors_find(file, name);
}

const peft_file_tensor *peft_file_value(const peft_safetensors *file, const char *module, const peft_value_spec *spec)
{
    const peft_file_tensor *tensor = find_tensor(file, module, spec->name);
    return tensor || !spec->other_name ? tensor : find_tensor(file, module, spec->other_name);
}

/* The name that the file has for a module of the model. */
static const char *name_in_file(const peft_file_layers *l, const char *module)
{
    size_t length = strlen(l->left_out);
    return strncmp(module, l->left_out, length) == 0 ? module + length : module;
}

bool peft_file_layers_fit(void *argument, const peft_adapter *a)
{
    const peft_file_layers *l = argument;
    for (int32_t v = 0; v < a->num_values; v++) {
        const peft_value_spec *spec = &a->values[v].spec;
        if (spec->kind == PEFT_VALUE_STATE) continue;
        const peft_file_tensor *tensor = peft_file_value(l->file, name_in_file(l, a->module), spec);
        if (!tensor || !peft_shape_equal(&tensor->shape, &spec->shape)) return false;
    }
    return true;
}

/* ---- layers of a model ---- */

/* Marks the layers that the file names, of `linears`; returns their number. */
static int64_t mark_named(const peft_file_layers *l, const peft_linear_layer *linears, int64_t count, bool *named)
{
    int64_t number = 0;
    for (int64_t k = 0; k < count; k++) {
        named[k] = has_adapter_of(l->file, name_in_file(l, linears[k].module));
        number += named[k];
    }
    return number;
}

/* By their whole names; where none is there, without the encoder's prefix, as files of bare encoders have them. */
static void find_named(peft_file_layers *l, const peft_model *model, const peft_linear_layer *linears, int64_t count,
                       bool *named)
{
    if (mark_named(l, linears, count, named) > 0) return;
    l->left_out = peft_model_prefix(model);
    if (mark_named(l, linears, count, named) == 0) l->left_out = "";
}

static void take_layers(peft_file_layers *l, const peft_linear_layer *linears, int64_t count, const bool *named,
                        const bool *selected)
{
    bool any = false;
    for (int64_t k = 0; k < count; k++) {
        bool expected = selected[k] && peft_module_layer(linears[k].module) >= 0;
        if (named[k] || expected)
            l->layers[l->count++] = (peft_layer){linears[k].module, linears[k].in_features, linears[k].out_features};
        if (named[k] && !selected[k]) l->unselected = linears[k].module;
        any |= selected[k];
    }
    if (!any) l->unselected = NULL;
}

peft_status peft_file_layers_find(peft_file_layers *found, const peft_safetensors *file, peft_model *model,
                                  const peft_target_options *targets, json_t **report, peft_error *error)
{
    int64_t count;
    const peft_linear_layer *linears = peft_model_linears(model, &count);
    bool *named = calloc((size_t)count + 1, sizeof *named), *selected = calloc((size_t)count + 1, sizeof *selected);
    peft_target_options lenient = *targets;
    lenient.allow_unmatched = true;
    *found =
        (peft_file_layers){.file = file, .layers = calloc((size_t)count + 1, sizeof *found->layers), .left_out = ""};
    if (report) *report = NULL;
    bool complete = named && selected && found->layers;
    peft_status status = complete ? peft_targets_find(linears, count, peft_model_default_targets(model), &lenient,
                                                      selected, report, error)
                                  : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", peft_safetensors_path(file));
    if (status == PEFT_OK) {
        find_named(found, model, linears, count, named);
        take_layers(found, linears, count, named, selected);
    } else {
        peft_file_layers_free(found);
    }
    free(named);
    free(selected);
    return status;
}

void peft_file_layers_free(peft_file_layers *found)
{
    free(found->layers);
    *found = (peft_file_layers){0};
}
