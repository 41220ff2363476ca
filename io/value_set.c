#include "io/value_set.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file_tensor.h"
#include "ops/rng.h"
#include "ops/side.h"

/* ---- the list ---- */

static char *join(const char *module, const char *name)
{
    size_t bytes = strlen(module) + strlen(name) + 2;
    char *joined = malloc(bytes);
    if (joined) snprintf(joined, bytes, "%s%s%s", module, *module ? "." : "", name);
    return joined;
}

static peft_status check(const char *module, const peft_value_spec *spec, peft_error *error)
{
    const char *dot = *module ? "." : "", *name = spec->name && *spec->name ? spec->name : "?";
    char shape[PEFT_SHAPE_TEXT];
    if (*name == '?')
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: a value has no name", *module ? module : "values");
    if (spec->role == PEFT_ROLE_FORGOTTEN && spec->kind != PEFT_VALUE_STATE)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "%s%s%s: its spec says no role (PEFT_ROLE_OTHER: none of the others)", module, dot, name);
    if (peft_shape_checked_count(&spec->shape, PEFT_F64) < 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s%s%s: %s has more elements than memory can have", module, dot,
                         name, peft_shape_text(&spec->shape, shape));
    return PEFT_OK;
}

peft_status peft_value_set_add(peft_value_set *set, const char *module, peft_value *value, peft_error *error)
{
    peft_status status = check(module, &value->spec, error);
    if (status) return status;
    peft_value_item *items = realloc(set->items, (size_t)(set->count + 1) * sizeof *items);
    if (items) set->items = items;
    char *name = items ? join(module, value->spec.name) : NULL;
    if (!name) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for the list of values", value->spec.name);
    set->items[set->count++] = (peft_value_item){name, module, value};
    if (value->spec.kind == PEFT_VALUE_TRAINED) set->num_trained += peft_value_count(value);
    return PEFT_OK;
}

peft_value *peft_value_set_find(const peft_value_set *set, const char *name)
{
    for (int64_t k = 0; k < set->count; k++)
        if (strcmp(set->items[k].name, name) == 0) return set->items[k].value;
    return NULL;
}

void peft_value_set_free(peft_value_set *set)
{
    for (int64_t k = 0; k < set->count; k++) free(set->items[k].name);
    free(set->items);
    free(set->memory);
    free(set->gradients);
    free(set->own);
    *set = (peft_value_set){0};
}

int64_t peft_value_count(const peft_value *value)
{
    return peft_shape_count(&value->spec.shape);
}

/* ---- memory ---- */

/* All trained values stand first and in the order of their gradients, so that clipping, an optimiser or an exchange
 * between machines can treat them as one array. */
static void place(const peft_value_set *set)
{
    float *trained = set->memory, *gradient = set->gradients, *other = set->memory + set->num_trained;
    for (int64_t k = 0; k < set->count; k++) {
        peft_value *value = set->items[k].value;
        bool is_trained = value->spec.kind == PEFT_VALUE_TRAINED;
        int64_t count = peft_value_count(value);
        value->data = is_trained ? trained : other;
        value->gradient = is_trained ? gradient : NULL;
        *(is_trained ? &trained : &other) += count;
        if (is_trained) gradient += count;
    }
}

peft_status peft_value_set_allocate(peft_value_set *set, peft_error *error)
{
    const int64_t most = INT64_MAX / (int64_t)sizeof(float) / 4;
    int64_t total = 0;
    for (int64_t k = 0; k < set->count && total <= most; k++) {
        int64_t count = peft_value_count(set->items[k].value);
        total = count > most - total ? most + 1 : total + count;
    }
    if (total > most)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "values: together they have more elements than memory can have");
    set->memory = calloc((size_t)total + 1, sizeof *set->memory);
    set->gradients = calloc((size_t)set->num_trained + 1, sizeof *set->gradients);
    if (!set->memory || !set->gradients)
        return peft_fail(error, PEFT_ERR_MEMORY, "out of memory for %" PRId64 " values and their gradients", total);
    place(set);
    return PEFT_OK;
}

void peft_value_set_zero_gradients(const peft_value_set *set)
{
    for (int64_t k = 0; k < set->count; k++) {
        const peft_value *value = set->items[k].value;
        if (value->gradient) memset(value->gradient, 0, (size_t)peft_value_count(value) * sizeof(float));
    }
}

/* ---- start values ---- */

uint64_t peft_value_stream(const char *module, const char *name)
{
    return peft_random_u64(peft_stream(module), peft_stream(name), 0);
}

static void fill(float value, float *data, size_t count)
{
    for (size_t i = 0; i < count; i++) data[i] = value;
}

static void draw(const peft_value *value, uint64_t seed, uint64_t stream)
{
    const peft_value_spec *spec = &value->spec;
    size_t count = (size_t)peft_value_count(value);
    switch (spec->start) {
    case PEFT_START_ZERO:
        fill(0, value->data, count);
        break;
    case PEFT_START_ONE:
        fill(1, value->data, count);
        break;
    case PEFT_START_CONSTANT:
        fill((float)spec->spread, value->data, count);
        break;
    case PEFT_START_UNIFORM:
        peft_random_uniform(value->data, count, -spec->spread, spec->spread, seed, stream);
        break;
    case PEFT_START_NORMAL:
        peft_random_normal(value->data, count, 0, spec->spread, seed, stream);
        break;
    }
}

void peft_value_set_draw(const peft_value_set *set, uint64_t seed)
{
    for (int64_t k = 0; k < set->count; k++) {
        const peft_value_item *item = &set->items[k];
        draw(item->value, seed, peft_value_stream(item->module, item->value->spec.name));
    }
}

/* ---- a set of its own ---- */

static peft_status add_own(peft_value_set *set, const char *module, const peft_value_spec *specs, int64_t count,
                           peft_error *error)
{
    peft_status status = PEFT_OK;
    for (int64_t k = 0; k < count && status == PEFT_OK; k++) {
        set->own[k].spec = specs[k];
        status = peft_value_set_add(set, module, &set->own[k], error);
        for (int64_t before = 0; before < k && status == PEFT_OK; before++)
            if (strcmp(specs[before].name, specs[k].name) == 0)
                status = peft_fail(error, PEFT_ERR_ARGUMENT, "%s: this name comes twice", set->items[k].name);
    }
    return status;
}

peft_status peft_value_set_create(peft_value_set *set, const char *module, const peft_value_spec *specs, int64_t count,
                                  uint64_t seed, peft_error *error)
{
    *set = (peft_value_set){.own = calloc((size_t)count + 1, sizeof *set->own)};
    peft_status status = set->own ? add_own(set, module, specs, count, error)
                                  : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for its values", module);
    if (status == PEFT_OK) status = peft_value_set_allocate(set, error);
    if (status == PEFT_OK)
        peft_value_set_draw(set, seed);
    else
        peft_value_set_free(set);
    return status;
}

/* ---- in graphs ---- */

peft_tensor *peft_value_tensor(peft_graph *g, const peft_value *value, bool training)
{
    peft_tensor *bound = peft_graph_bound(g, value);
    if (bound) return bound;
    const peft_value_spec *spec = &value->spec;
    if (training && value->gradient)
        return peft_parameter(g, PEFT_F32, spec->shape, value->data, value->gradient, spec->name);
    return peft_constant(g, PEFT_F32, spec->shape, value->data, spec->name);
}
