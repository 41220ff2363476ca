#include "peft/adapter_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "PREFIX[MODULE.]NAME" in memory of its own. */
static char *join(const char *prefix, const char *module, size_t module_length, const char *name)
{
    size_t bytes = strlen(prefix) + module_length + strlen(name) + 2;
    char *key = malloc(bytes);
    if (key) snprintf(key, bytes, "%s%.*s%s%s", prefix, (int)module_length, module, module_length ? "." : "", name);
    return key;
}

typedef struct listing {
    peft_adapter_tensors *tensors;
    size_t capacity;
} listing;

/* Takes `key`; NULL: out of memory. */
static peft_status add(listing *l, char *key, const peft_adapter_tensor *tensor, peft_error *error)
{
    peft_adapter_tensors *t = l->tensors;
    if (key && t->count == l->capacity) {
        size_t larger = l->capacity ? 2 * l->capacity : 64;
        peft_adapter_tensor *items = realloc(t->items, larger * sizeof *items);
        if (items) {
            t->items = items;
            l->capacity = larger;
        }
    }
    if (!key || t->count == l->capacity) {
        free(key);
        return peft_fail(error, PEFT_ERR_MEMORY, "adapter: out of memory for the list of its tensors");
    }
    t->items[t->count] = *tensor;
    t->items[t->count++].key = key;
    return PEFT_OK;
}

static peft_status add_value(void *argument, const char *module, peft_value *value, peft_error *error)
{
    if (value->spec.kind == PEFT_VALUE_STATE) return PEFT_OK;
    const char *prefix = *module ? PEFT_MODEL_PREFIX : "base_model.";
    const peft_value_spec *spec = &value->spec;
    const peft_adapter_tensor tensor = {
        .name = spec->name, .other_name = spec->other_name, .shape = spec->shape, .value = value};
    return add(argument, join(prefix, module, strlen(module), spec->name), &tensor, error);
}

static bool is_adapted(const peft_adapters *adapters, const char *module, size_t length)
{
    for (int64_t i = 0; adapters && i < adapters->num_layers; i++)
        if (strncmp(adapters->layers[i].module, module, length) == 0 && adapters->layers[i].module[length] == '\0')
            return true;
    return false;
}

/* PEFT wraps an adapted layer, and its own weights move one step down. */
static peft_status add_weight(listing *l, const peft_adapters *adapters, peft_weight *weight, peft_error *error)
{
    const char *dot = strrchr(weight->name, '.');
    size_t length = dot ? (size_t)(dot - weight->name) : 0;
    char last[64];
    snprintf(last, sizeof last, "%s%s", is_adapted(adapters, weight->name, length) ? "base_layer." : "",
             dot ? dot + 1 : weight->name);
    const peft_adapter_tensor tensor = {.shape = weight->shape, .weight = weight};
    return add(l, join(PEFT_MODEL_PREFIX, weight->name, length, last), &tensor, error);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const peft_adapter_tensor *)a)->key, ((const peft_adapter_tensor *)b)->key);
}

peft_status peft_adapter_tensors_list(peft_adapter_tensors *tensors, peft_model *model, peft_adapters *adapters,
                                      peft_error *error)
{
    *tensors = (peft_adapter_tensors){0};
    listing l = {.tensors = tensors};
    int64_t count;
    peft_weight *weights = peft_model_weights(model, &count);
    peft_status status = adapters ? peft_adapters_each_value(adapters, add_value, &l, error) : PEFT_OK;
    for (int64_t k = 0; k < count && status == PEFT_OK; k++) status = add_weight(&l, adapters, &weights[k], error);
    if (status != PEFT_OK)
        peft_adapter_tensors_free(tensors);
    else if (tensors->count)
        qsort(tensors->items, tensors->count, sizeof *tensors->items, compare_keys);
    return status;
}

void peft_adapter_tensors_free(peft_adapter_tensors *tensors)
{
    for (size_t i = 0; i < tensors->count; i++) free(tensors->items[i].key);
    free(tensors->items);
    *tensors = (peft_adapter_tensors){0};
}

float *peft_adapter_tensor_data(const peft_adapter_tensor *tensor)
{
    return tensor->weight ? tensor->weight->value : tensor->value->data;
}

static bool has_other_key(const peft_adapter_tensor *t, const char *key)
{
    if (!t->other_name) return false;
    size_t stem = strlen(t->key) - strlen(t->name);
    return strncmp(key, t->key, stem) == 0 && strcmp(key + stem, t->other_name) == 0;
}

peft_adapter_tensor *peft_adapter_tensors_find(const peft_adapter_tensors *tensors, const char *key)
{
    const peft_adapter_tensor wanted = {.key = (char *)(uintptr_t)key};
    if (tensors->count == 0) return NULL;
    peft_adapter_tensor *found = bsearch(&wanted, tensors->items, tensors->count, sizeof *tensors->items, compare_keys);
    for (size_t i = 0; i < tensors->count && !found; i++)
        if (has_other_key(&tensors->items[i], key)) found = &tensors->items[i];
    return found;
}
