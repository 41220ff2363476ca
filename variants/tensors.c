#include "variants/tensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/nearest.h"

static bool is_emitted(const peft_value_item *item)
{
    return item->value->spec.kind != PEFT_VALUE_STATE;
}

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

/* sources[i] becomes the tensor of set->items[i]. */
static peft_status match(const peft_value_set *set, const peft_named_tensor *tensors, size_t count,
                         const peft_named_tensor **sources, peft_error *error)
{
    const peft_names names = {&set->items->name, (size_t)set->count, sizeof *set->items};
    int64_t expected = 0;
    for (size_t k = 0; k < count; k++) {
        size_t place = peft_names_find(&names, tensors[k].name);
        if (place == names.count || !is_emitted(&set->items[place]))
            return peft_fail_unknown(error, PEFT_ERR_ARGUMENT, "tensor", tensors[k].name, &names);
        if (sources[place]) return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: this tensor comes twice", tensors[k].name);
        peft_status status = check_tensor(&tensors[k], &set->items[place].value->spec.shape, error);
        if (status) return status;
        sources[place] = &tensors[k];
    }
    for (int64_t i = 0; i < set->count; i++) expected += is_emitted(&set->items[i]);
    for (int64_t i = 0; i < set->count; i++)
        if (is_emitted(&set->items[i]) && !sources[i])
            return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: this tensor is missing; expected %" PRId64 ", found %zu",
                             set->items[i].name, expected, count);
    return PEFT_OK;
}

peft_status peft_adapters_set(peft_adapters *all, const peft_named_tensor *tensors, size_t count, peft_error *error)
{
    const peft_value_set *set = &all->set;
    const peft_named_tensor **sources = calloc((size_t)set->count + 1, sizeof *sources);
    if (!sources) return peft_fail(error, PEFT_ERR_MEMORY, "adapters: out of memory for the list of their tensors");
    peft_status status = match(set, tensors, count, sources, error);
    for (int64_t i = 0; i < set->count && status == PEFT_OK; i++)
        if (sources[i])
            memcpy(set->items[i].value->data, sources[i]->data,
                   (size_t)peft_shape_count(&sources[i]->shape) * sizeof(float));
    free(sources);
    return status;
}
