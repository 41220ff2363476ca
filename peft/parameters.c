#include "peft/parameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static peft_status add(peft_parameters *p, const char *module, const char *name, const peft_trained *item,
                       peft_error *error)
{
    peft_trained *items = realloc(p->items, (size_t)(p->num_items + 1) * sizeof *items);
    if (items) p->items = items;
    size_t bytes = strlen(module) + strlen(name) + 2;
    char *full = items ? malloc(bytes) : NULL;
    if (!full) return peft_fail(error, PEFT_ERR_MEMORY, "parameters: out of memory at %s", name);
    snprintf(full, bytes, "%s%s%s", module, *module ? "." : "", name);
    peft_trained *added = &p->items[p->num_items++];
    *added = *item;
    added->name = full;
    added->count = peft_shape_count(&item->shape);
    if (item->gradient) p->num_trained += added->count;
    return PEFT_OK;
}

static peft_status add_value(void *argument, const char *module, peft_adapter_value *value, peft_error *error)
{
    if (value->spec.kind == PEFT_VALUE_FROZEN) return PEFT_OK;
    const peft_trained item = {.shape = value->spec.shape,
                               .value = value->data,
                               .gradient = value->gradient,
                               .role = value->spec.role,
                               .no_decay = value->spec.no_decay,
                               .learning_rate_factor = value->spec.learning_rate_factor};
    return add(argument, module, value->spec.name, &item, error);
}

peft_status peft_parameters_collect(peft_parameters *p, peft_adapters *adapters, peft_model *model, peft_error *error)
{
    *p = (peft_parameters){0};
    peft_status status = adapters ? peft_adapters_each_value(adapters, add_value, p, error) : PEFT_OK;
    int64_t num_weights = 0;
    peft_weight *weights = peft_model_weights(model, &num_weights);
    for (int64_t k = 0; status == PEFT_OK && k < num_weights; k++) {
        if (!weights[k].value) continue;
        const peft_trained item = {.shape = weights[k].shape,
                                   .value = weights[k].value,
                                   .gradient = weights[k].gradient,
                                   .role = PEFT_ROLE_OTHER};
        status = add(p, "", weights[k].name, &item, error);
    }
    if (status != PEFT_OK) peft_parameters_free(p);
    return status;
}

void peft_parameters_free(peft_parameters *p)
{
    for (int64_t k = 0; k < p->num_items; k++) free(p->items[k].name);
    free(p->items);
    *p = (peft_parameters){0};
}

/* The groups of LoRA+ as PEFT forms them: vectors belong to the faster one, whatever they are for. */
static double learning_rate_factor(const peft_trained *item, double up_ratio)
{
    double own = item->learning_rate_factor > 0 ? item->learning_rate_factor : 1;
    return item->role == PEFT_ROLE_UP || item->shape.ndim == 1 ? own * up_ratio : own;
}

peft_status peft_parameters_optimizer(const peft_parameters *p, peft_context *ctx, double weight_decay, double up_ratio,
                                      peft_optimizer **optimizer, peft_error *error)
{
    *optimizer = NULL;
    peft_optimizer_parameter *list = calloc((size_t)p->num_items + 1, sizeof *list);
    if (!list) return peft_fail(error, PEFT_ERR_MEMORY, "optimizer: out of memory");
    size_t count = 0;
    for (int64_t k = 0; k < p->num_items; k++) {
        const peft_trained *item = &p->items[k];
        if (item->gradient)
            list[count++] =
                (peft_optimizer_parameter){item->value, item->gradient, item->count,
                                           learning_rate_factor(item, up_ratio), item->no_decay ? 0 : weight_decay};
    }
    peft_optimizer_options options = peft_optimizer_defaults();
    options.context = ctx;
    peft_status status = peft_optimizer_create(optimizer, &options, list, count, error);
    free(list);
    return status;
}

void peft_parameters_clear_gradients(const peft_parameters *p)
{
    for (int64_t k = 0; k < p->num_items; k++)
        if (p->items[k].gradient) memset(p->items[k].gradient, 0, (size_t)p->items[k].count * sizeof(float));
}

int64_t peft_parameters_floats(const peft_parameters *p)
{
    int64_t floats = 0;
    for (int64_t k = 0; k < p->num_items; k++) floats += p->items[k].count;
    return floats;
}

void peft_parameters_copy_out(const peft_parameters *p, float *values)
{
    for (int64_t k = 0; k < p->num_items; values += p->items[k++].count)
        memcpy(values, p->items[k].value, (size_t)p->items[k].count * sizeof(float));
}

void peft_parameters_copy_in(const peft_parameters *p, const float *values)
{
    for (int64_t k = 0; k < p->num_items; values += p->items[k++].count)
        memcpy(p->items[k].value, values, (size_t)p->items[k].count * sizeof(float));
}
