#include "peft/parameters.h"

#include <stdlib.h>
#include <string.h>

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static peft_status check_names(const peft_parameters *p, peft_error *error)
{
    const char **names = calloc((size_t)p->num_items + 1, sizeof *names);
    if (!names) return peft_fail(error, PEFT_ERR_MEMORY, "parameters: out of memory");
    for (int64_t k = 0; k < p->num_items; k++) names[k] = p->items[k].name;
    qsort(names, (size_t)p->num_items, sizeof *names, compare_names);
    peft_status status = PEFT_OK;
    for (int64_t k = 1; k < p->num_items && status == PEFT_OK; k++)
        if (strcmp(names[k - 1], names[k]) == 0)
            status = peft_fail(error, PEFT_ERR_ARGUMENT, "%s: two trained values have this name", names[k]);
    free(names);
    return status;
}

static void add_set(peft_parameters *p, const peft_value_set *set)
{
    for (int64_t k = 0; k < set->count; k++) {
        const peft_value *value = set->items[k].value;
        if (value->spec.kind == PEFT_VALUE_FROZEN) continue;
        p->items[p->num_items++] = set->items[k];
        if (value->gradient) p->num_trained += peft_value_count(value);
    }
}

peft_status peft_parameters_collect(peft_parameters *p, const peft_value_set *const *sets, int64_t num_sets,
                                    peft_error *error)
{
    int64_t most = 0;
    for (int64_t s = 0; s < num_sets; s++) most += sets[s]->count;
    *p = (peft_parameters){.items = calloc((size_t)most + 1, sizeof *p->items)};
    if (!p->items) return peft_fail(error, PEFT_ERR_MEMORY, "parameters: out of memory");
    for (int64_t s = 0; s < num_sets; s++) add_set(p, sets[s]);
    peft_status status = check_names(p, error);
    if (status == PEFT_OK && p->num_trained == 0)
        status = peft_fail(error, PEFT_ERR_ARGUMENT, "parameters: there is no value to train");
    if (status != PEFT_OK) peft_parameters_free(p);
    return status;
}

void peft_parameters_free(peft_parameters *p)
{
    free(p->items);
    *p = (peft_parameters){0};
}

/* ---- weights of the model ---- */

peft_status peft_model_values(peft_value_set *set, peft_model *model, peft_error *error)
{
    int64_t num_weights;
    peft_weight *weights = peft_model_weights(model, &num_weights);
    *set = (peft_value_set){.own = calloc((size_t)num_weights + 1, sizeof *set->own)};
    peft_status status = set->own ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "parameters: out of memory");
    for (int64_t k = 0; k < num_weights && status == PEFT_OK; k++) {
        const peft_weight *weight = &weights[k];
        if (!weight->value) continue;
        peft_value *value = &set->own[set->count];
        *value = (peft_value){.spec = {.name = weight->name,
                                       .shape = weight->shape,
                                       .role = PEFT_ROLE_OTHER,
                                       .kind = weight->gradient ? PEFT_VALUE_TRAINED : PEFT_VALUE_FROZEN},
                              .data = weight->value,
                              .gradient = weight->gradient};
        status = peft_value_set_add(set, "", value, error);
    }
    if (status != PEFT_OK) peft_value_set_free(set);
    return status;
}

/* ---- the optimiser ---- */

/* The groups of LoRA+ as PEFT forms them: vectors belong to the faster one, whatever they are for. */
static double learning_rate_factor(const peft_value_spec *spec, double up_ratio)
{
    double own = spec->learning_rate_factor > 0 ? spec->learning_rate_factor : 1;
    return spec->role == PEFT_ROLE_UP || spec->shape.ndim == 1 ? own * up_ratio : own;
}

peft_status peft_parameters_optimizer(const peft_parameters *p, peft_context *ctx, double weight_decay, double up_ratio,
                                      peft_optimizer **optimizer, peft_error *error)
{
    *optimizer = NULL;
    peft_optimizer_parameter *list = calloc((size_t)p->num_items + 1, sizeof *list);
    if (!list) return peft_fail(error, PEFT_ERR_MEMORY, "optimizer: out of memory");
    size_t count = 0;
    for (int64_t k = 0; k < p->num_items; k++) {
        const peft_value *value = p->items[k].value;
        if (value->gradient)
            list[count++] = (peft_optimizer_parameter){value->data, value->gradient, peft_value_count(value),
                                                       learning_rate_factor(&value->spec, up_ratio),
                                                       value->spec.no_decay ? 0 : weight_decay};
    }
    peft_optimizer_options options = peft_optimizer_defaults();
    options.context = ctx;
    peft_status status = peft_optimizer_create(optimizer, &options, list, count, error);
    free(list);
    return status;
}

void peft_parameters_clear_gradients(const peft_parameters *p)
{
    for (int64_t k = 0; k < p->num_items; k++) {
        const peft_value *value = p->items[k].value;
        if (value->gradient) memset(value->gradient, 0, (size_t)peft_value_count(value) * sizeof(float));
    }
}

/* ---- copies ---- */

int64_t peft_parameters_floats(const peft_parameters *p)
{
    int64_t floats = 0;
    for (int64_t k = 0; k < p->num_items; k++) floats += peft_value_count(p->items[k].value);
    return floats;
}

void peft_parameters_copy_out(const peft_parameters *p, float *values)
{
    for (int64_t k = 0; k < p->num_items; k++) {
        const peft_value *value = p->items[k].value;
        memcpy(values, value->data, (size_t)peft_value_count(value) * sizeof *values);
        values += peft_value_count(value);
    }
}

void peft_parameters_copy_in(const peft_parameters *p, const float *values)
{
    for (int64_t k = 0; k < p->num_items; k++) {
        const peft_value *value = p->items[k].value;
        memcpy(value->data, values, (size_t)peft_value_count(value) * sizeof *values);
        values += peft_value_count(value);
    }
}
