#include "peft/inject.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "variants/module_name.h"

/* ---- attaching ---- */

peft_linear_layer *peft_find_linear(peft_model *model, const char *module)
{
    int64_t count;
    peft_linear_layer *linears = peft_model_linears(model, &count);
    for (int64_t i = 0; i < count; i++) {
        const char *dot = strchr(linears[i].module, '.');
        if (strcmp(linears[i].module, module) == 0 || (dot && strcmp(dot + 1, module) == 0)) return &linears[i];
    }
    return NULL;
}

static peft_status check_place(peft_model *model, const peft_adapter *a, peft_error *error)
{
    const peft_linear_layer *layer = peft_find_linear(model, a->module);
    if (!layer)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: %s has no linear layer of this name", a->module,
                         peft_model_dir(model));
    if (layer->adapter)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: this layer has an adapter; detach it first", a->module);
    if (layer->in_features != a->in_features || layer->out_features != a->out_features)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "%s: expected an adapter for [%" PRId64 ", %" PRId64 "], found one for [%" PRId64 ", %" PRId64
                         "]",
                         a->module, layer->out_features, layer->in_features, a->out_features, a->in_features);
    return PEFT_OK;
}

peft_status peft_attach(peft_model *model, const peft_adapters *adapters, peft_error *error)
{
    for (int64_t i = 0; i < adapters->num_layers; i++) {
        peft_status status = check_place(model, &adapters->layers[i], error);
        if (status) return status;
    }
    for (int64_t i = 0; i < adapters->num_layers; i++) {
        peft_linear_layer *layer = peft_find_linear(model, adapters->layers[i].module);
        if (layer) layer->adapter = &adapters->layers[i];
    }
    return PEFT_OK;
}

void peft_detach(peft_model *model, const peft_adapters *adapters)
{
    int64_t count;
    peft_linear_layer *linears = peft_model_linears(model, &count);
    for (int64_t i = 0; i < count; i++)
        if (linears[i].adapter && linears[i].adapter->all == adapters) linears[i].adapter = NULL;
}

/* ---- what is trained in full ---- */

/* PEFT names both for every classifier, though a model has one of them. */
static bool is_a_usual_head(const char *name)
{
    return strcmp(name, "classifier") == 0 || strcmp(name, "score") == 0;
}

static bool has_bias_of(const peft_adapters *adapters, const char *weight)
{
    for (int64_t i = 0; adapters && i < adapters->num_layers; i++) {
        const char *module = adapters->layers[i].module;
        size_t length = strlen(module);
        if (strncmp(weight, module, length) == 0 && strcmp(weight + length, ".bias") == 0) return true;
    }
    return false;
}

static bool in_list(const json_t *names, const char *weight)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (peft_module_lies_in(weight, json_string_value(json_array_get(names, i)))) return true;
    return false;
}

bool peft_is_saved_weight(const peft_target_options *targets, const char *weight, const peft_adapters *adapters)
{
    if (in_list(targets->modules_to_save, weight)) return true;
    const char *bias = targets->bias;
    if (!peft_module_ends_with(weight, "bias") || !bias) return false;
    if (strcmp(bias, "all") == 0) return true;
    return (strcmp(bias, "lora_only") == 0 || strcmp(bias, "vera_only") == 0) && has_bias_of(adapters, weight);
}

bool peft_is_saved_module(peft_model *model, const char *name)
{
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    bool found = is_a_usual_head(name);
    for (int64_t k = 0; k < count && !found; k++) found = peft_module_lies_in(weights[k].name, name);
    return found;
}

/* Whether each name of modules_to_save is that of something. */
static peft_status check_saved(peft_model *model, const peft_target_options *targets, peft_error *error)
{
    if (targets->modules_to_save && !json_is_array(targets->modules_to_save))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "modules_to_save: expected a list of names");
    for (size_t i = 0; i < json_array_size(targets->modules_to_save); i++) {
        const char *name = json_string_value(json_array_get(targets->modules_to_save, i));
        if (!name) return peft_fail(error, PEFT_ERR_ARGUMENT, "modules_to_save: expected a list of names");
        if (!targets->allow_unmatched && !peft_is_saved_module(model, name))
            return peft_fail(error, PEFT_ERR_ARGUMENT, "modules_to_save: %s has no weight in a module \"%s\"",
                             peft_model_dir(model), name);
    }
    return PEFT_OK;
}

static peft_status train_saved(peft_model *model, const peft_target_options *targets, const peft_adapters *adapters,
                               peft_error *error)
{
    int64_t count;
    peft_weight *weights = peft_model_weights(model, &count);
    peft_status status = PEFT_OK;
    for (int64_t k = 0; k < count && status == PEFT_OK; k++)
        if (peft_is_saved_weight(targets, weights[k].name, adapters))
            status = peft_model_train(model, &weights[k], error);
    return status;
}

peft_status peft_train_all_weights(peft_model *model, peft_error *error)
{
    int64_t count;
    peft_weight *weights = peft_model_weights(model, &count);
    peft_status status = PEFT_OK;
    for (int64_t k = 0; k < count && status == PEFT_OK; k++) status = peft_model_train(model, &weights[k], error);
    return status;
}

bool peft_has_head(peft_model *model)
{
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    for (int64_t k = 0; k < count; k++)
        if (peft_module_lies_in(weights[k].name, peft_model_head(model))) return true;
    return false;
}

/* The biases of adapted modules are meant by a word of the method's own. */
static peft_status check_bias(const peft_variant *variant, const peft_target_options *targets, peft_error *error)
{
    const char *bias = targets->bias ? targets->bias : "none";
    const char *only = peft_variant_lacks(variant, "lora_only") ? "vera_only" : "lora_only";
    bool none_alone = peft_variant_lacks(variant, "bias");
    if (strcmp(bias, "none") == 0 || (!none_alone && (strcmp(bias, "all") == 0 || strcmp(bias, only) == 0)))
        return PEFT_OK;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "bias: files of %s have no place for \"%s\": expected none%s%s",
                     variant ? variant->name : "a head alone", bias, none_alone ? "" : ", all or ",
                     none_alone ? "" : only);
}

/* Files may have a dropout of 1, which leaves nothing to train. */
static peft_status check_dropout(const peft_variant *variant, const void *options, peft_error *error)
{
    static const char dropout[] = "dropout";
    for (const peft_option *o = variant ? variant->options : NULL; o && o->name; o++) {
        size_t length = strlen(o->name), tail = strlen(dropout);
        if (o->type != PEFT_OPTION_FLOAT || length < tail || strcmp(o->name + length - tail, dropout) != 0) continue;
        double value = *(const double *)(const void *)((const char *)options + o->offset);
        if (value >= 1)
            return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected a number from 0 to below 1, found %g", o->name,
                             value);
    }
    return PEFT_OK;
}

/* ---- making ---- */

static bool append(json_t *list, const char *name, size_t length)
{
    return json_array_append_new(list, json_stringn(name, length)) == 0;
}

/* The head is trained in full, whether or not the list says so. */
static json_t *with_head(json_t *names, const char *head)
{
    json_t *list = names ? json_copy(names) : json_array();
    if (list && append(list, head, strlen(head))) return list;
    json_decref(list);
    return NULL;
}

/* What no file has is trained in full, too: an update of it would be of no use without it. */
static json_t *with_drawn(json_t *names, peft_model *model)
{
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    json_t *list = with_head(names, peft_model_head(model));
    bool complete = list;
    for (int64_t k = 0; k < count && complete; k++) {
        const char *name = weights[k].name, *dot = strrchr(name, '.');
        if (dot && peft_model_is_drawn(model, &weights[k]) && !in_list(list, name))
            complete = append(list, name, (size_t)(dot - name));
    }
    if (complete) return list;
    json_decref(list);
    return NULL;
}

static int64_t list_layers(peft_model *model, const bool *selected, peft_layer *layers)
{
    int64_t count, num_layers = 0;
    const peft_linear_layer *linears = peft_model_linears(model, &count);
    for (int64_t i = 0; i < count; i++)
        if (selected[i])
            layers[num_layers++] = (peft_layer){linears[i].module, linears[i].in_features, linears[i].out_features};
    return num_layers;
}

peft_status peft_init_from_base(peft_model *model, peft_adapters *adapters, uint64_t seed, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (int64_t i = 0; i < adapters->num_layers && status == PEFT_OK; i++) {
        const peft_linear_layer *layer = peft_find_linear(model, adapters->layers[i].module);
        if (layer) status = peft_adapter_init_from_base(&adapters->layers[i], &layer->base, seed, error);
    }
    return status;
}

typedef struct request {
    const peft_variant *variant;
    const void *options;
    const peft_target_options *targets;
    uint64_t seed;
} request;

static peft_status make_adapters(peft_model *model, const request *r, peft_adapters **adapters, json_t **report,
                                 peft_error *error)
{
    int64_t count;
    const peft_linear_layer *linears = peft_model_linears(model, &count);
    bool *selected = calloc((size_t)count + 1, sizeof *selected);
    peft_layer *layers = calloc((size_t)count + 1, sizeof *layers);
    peft_status status = selected && layers ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "targets: out of memory");
    if (status == PEFT_OK)
        status =
            peft_targets_find(linears, count, peft_model_default_targets(model), r->targets, selected, report, error);
    if (status == PEFT_OK)
        status = peft_adapters_create(adapters, r->variant, r->options, layers, list_layers(model, selected, layers),
                                      r->seed, error);
    if (status == PEFT_OK) status = peft_init_from_base(model, *adapters, r->seed, error);
    if (status == PEFT_OK) status = peft_attach(model, *adapters, error);
    free(selected);
    free(layers);
    return status;
}

static peft_status inject(peft_model *model, const request *r, peft_adapters **adapters, json_t **report,
                          peft_error *error)
{
    peft_status status = r->variant ? make_adapters(model, r, adapters, report, error) : PEFT_OK;
    if (status == PEFT_OK) status = train_saved(model, r->targets, *adapters, error);
    if (status == PEFT_OK) return PEFT_OK;
    peft_detach(model, *adapters);
    peft_adapters_free(*adapters);
    *adapters = NULL;
    if (report) json_decref(*report);
    if (report) *report = NULL;
    return status;
}

peft_status peft_inject(peft_model *model, const peft_variant *variant, const void *options,
                        const peft_target_options *targets, uint64_t seed, peft_adapters **adapters, json_t **report,
                        peft_error *error)
{
    peft_target_options all = targets ? *targets : (peft_target_options){0};
    *adapters = NULL;
    if (report) *report = NULL;
    peft_status status = check_saved(model, &all, error);
    if (status == PEFT_OK) status = check_bias(variant, &all, error);
    if (status == PEFT_OK) status = check_dropout(variant, options, error);
    if (status) return status;
    all.modules_to_save = with_drawn(all.modules_to_save, model);
    if (!all.modules_to_save) return peft_fail(error, PEFT_ERR_MEMORY, "modules_to_save: out of memory");
    status = inject(model, &(request){variant, options, &all, seed}, adapters, report, error);
    json_decref(all.modules_to_save);
    return status;
}
