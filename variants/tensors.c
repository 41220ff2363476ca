#include "variants/tensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/nearest.h"

/* ---- the list ---- */

static char *join(const char *module, const char *value)
{
    size_t bytes = strlen(module) + strlen(value) + 2;
    char *name = malloc(bytes);
    if (name) snprintf(name, bytes, "%s%s%s", module, *module ? "." : "", value);
    return name;
}

static peft_status count_value(void *argument, const char *module, peft_adapter_value *value, peft_error *error)
{
    int64_t *count = argument;
    (void)module;
    (void)error;
    *count += value->spec.kind != PEFT_VALUE_STATE;
    return PEFT_OK;
}

static peft_status add_value(void *argument, const char *module, peft_adapter_value *value, peft_error *error)
{
    peft_adapter_list *list = argument;
    if (value->spec.kind == PEFT_VALUE_STATE) return PEFT_OK;
    char *name = join(module, value->spec.name);
    if (!name) return peft_fail(error, PEFT_ERR_MEMORY, "%s.%s: out of memory", module, value->spec.name);
    list->items[list->count++] = (peft_adapter_item){name, module, value};
    return PEFT_OK;
}

peft_status peft_adapters_list(peft_adapters *all, peft_adapter_list *list, peft_error *error)
{
    int64_t count = 0;
    *list = (peft_adapter_list){0};
    peft_adapters_each_value(all, count_value, &count, NULL);
    list->items = calloc((size_t)count + 1, sizeof *list->items);
    peft_status status = list->items ? peft_adapters_each_value(all, add_value, list, error)
                                     : peft_fail(error, PEFT_ERR_MEMORY, "adapters: out of memory for their list");
    if (status != PEFT_OK) peft_adapter_list_free(list);
    return status;
}

void peft_adapter_list_free(peft_adapter_list *list)
{
    for (int64_t i = 0; i < list->count; i++) free(list->items[i].name);
    free(list->items);
    *list = (peft_adapter_list){0};
}

/* ---- setting ---- */

static peft_status check_tensor(const peft_named_tensor *tensor, const peft_shape *shape, peft_error *error)
{
    char expected[PEFT_SHAPE_TEXT], found[PEFT_SHAPE_TEXT];
    if (!peft_shape_equal(&tensor->shape, shape))
        return peft_fail(error, PEFT_ERR_SHAPE, "%s: expected %s, found %s", tensor->name,
                         peft_shape_text(shape, expected), peft_shape_text(&tensor->shape, found));
    for (int64_t i = 0; i < peft_shape_count(shape); i++)
        if (!isfinite(tensor->data[i]))
            return peft_fail(error, PEFT_ERR_NUMERIC, "%s: element %" PRId64 " is %g", tensor->name, i,
                             (double)tensor->data[i]);
    return PEFT_OK;
}

/* sources[i] becomes the tensor of list->items[i]. */
static peft_status match(const peft_adapter_list *list, const peft_named_tensor *tensors, size_t count,
                         const peft_named_tensor **sources, peft_error *error)
{
    const peft_names names = {&list->items->name, (size_t)list->count, sizeof *list->items};
    for (size_t k = 0; k < count; k++) {
        size_t place = peft_names_find(&names, tensors[k].name);
        if (place == names.count) return peft_fail_unknown(error, PEFT_ERR_ARGUMENT, "tensor", tensors[k].name, &names);
        if (sources[place]) return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: this tensor comes twice", tensors[k].name);
        peft_status status = check_tensor(&tensors[k], &list->items[place].value->spec.shape, error);
        if (status) return status;
        sources[place] = &tensors[k];
    }
    for (int64_t i = 0; i < list->count; i++)
        if (!sources[i])
            return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: this tensor is missing; expected %" PRId64 ", found %zu",
                             list->items[i].name, list->count, count);
    return PEFT_OK;
}

peft_status peft_adapters_set(peft_adapters *all, const peft_named_tensor *tensors, size_t count, peft_error *error)
{
    peft_adapter_list list;
    peft_status status = peft_adapters_list(all, &list, error);
    if (status) return status;
    const peft_named_tensor **sources = calloc((size_t)list.count + 1, sizeof *sources);
    status = sources ? match(&list, tensors, count, sources, error)
                     : peft_fail(error, PEFT_ERR_MEMORY, "adapters: out of memory for their list");
    for (int64_t i = 0; i < list.count && status == PEFT_OK; i++)
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): each has matched */
        memcpy(list.items[i].value->data, sources[i]->data,
               (size_t)peft_shape_count(&sources[i]->shape) * sizeof(float));
    free(sources);
    peft_adapter_list_free(&list);
    return status;
}
