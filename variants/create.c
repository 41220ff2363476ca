/* variants/create.c - adapters from a variant's tables and the layers they are for. */
#include "variants/create.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "variants/adapter.h"
#include "variants/module_name.h"
#include "variants/pattern.h"

typedef struct creation {
    peft_adapters *all;
    const peft_layer *layers;
    const peft_file_shapes *shapes; /* NULL: no file is read */
    peft_pattern_map ranks, alphas;
} creation;

/* Both a variant's options and these begin alike (variants/variant.h). */
static const peft_common_options *common(const creation *c)
{
    return c->all->options;
}

static peft_status copy_options(peft_adapters *all, const void *options, peft_error *error)
{
    const peft_option *table = all->variant->options;
    all->options = calloc(1, all->variant->options_bytes);
    json_t *fields = peft_options_to_json(table, options);
    peft_status status = PEFT_OK;
    if (!all->options || !fields)
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for its options", all->variant->name);
    for (const peft_option *o = table; o->name && status == PEFT_OK; o++)
        status = peft_options_set_json(table, all->options, o->name, json_object_get(fields, o->name), error);
    json_decref(fields);
    if (status == PEFT_OK && all->variant->check) status = all->variant->check(all->options, error);
    return status;
}

/* ---- rank_pattern and alpha_pattern ---- */

static bool is_rank(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 1 && json_integer_value(value) <= PEFT_MAX_RANK;
}

static bool is_alpha(const json_t *value)
{
    return json_is_number(value);
}

typedef struct pattern_field {
    const char *name, *expected;
    bool (*allows)(const json_t *value);
} pattern_field;

static const pattern_field rank_field = {"rank_pattern", "a rank from 1 to 65536", is_rank};
static const pattern_field alpha_field = {"alpha_pattern", "a number", is_alpha};

static peft_status open_map(peft_pattern_map *map, const pattern_field *field, const json_t *object, peft_error *error)
{
    if (object && !json_is_object(object))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected an object of patterns and values", field->name);
    peft_status status = peft_pattern_map_open(map, object, error);
    if (status) return peft_fail_in(error, status, field->name);
    for (size_t n = 0; n < map->count; n++)
        if (!field->allows(map->entries[n].value))
            return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: \"%s\": expected %s", field->name, map->entries[n].key,
                             field->expected);
    return PEFT_OK;
}

static peft_status check_matched(const creation *c, const pattern_field *field, const peft_pattern_map *map,
                                 peft_error *error)
{
    peft_names modules = {&c->layers->module, (size_t)c->all->num_layers, sizeof *c->layers};
    for (size_t n = 0; n < map->count && !c->shapes; n++)
        if (!map->entries[n].matched) return peft_fail_unmatched(error, field->name, map->entries[n].key, &modules);
    return PEFT_OK;
}

/* ---- layers ---- */

static peft_status set_rank(creation *c, peft_adapter *a, peft_error *error)
{
    const peft_variant *variant = c->all->variant;
    if (variant->layer_rank) return variant->layer_rank(c->all, a->module, &a->rank, error);
    const json_t *value;
    peft_status status = peft_pattern_map_find(&c->ranks, a->module, &value, error);
    a->rank = value ? json_integer_value(value) : common(c)->rank;
    return status;
}

static peft_status set_alpha(creation *c, peft_adapter *a, peft_error *error)
{
    const json_t *value;
    peft_status status = peft_pattern_map_find(&c->alphas, a->module, &value, error);
    a->alpha = value ? json_number_value(value) : common(c)->alpha;
    return status;
}

static peft_status check_names(const peft_adapter *a, const peft_value_spec *specs, peft_error *error)
{
    for (int32_t v = 0; v < a->num_values; v++)
        for (int32_t w = 0; w < v; w++)
            if (specs[v].name && specs[w].name && strcmp(specs[v].name, specs[w].name) == 0)
                return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: %s has two values called \"%s\"", a->module,
                                 a->all->variant->name, specs[v].name);
    return PEFT_OK;
}

static peft_status set_values(peft_adapter *a, peft_error *error)
{
    const peft_variant *variant = a->all->variant;
    peft_value_spec specs[PEFT_MAX_VALUES] = {0};
    a->scaling = variant->scaling(a);
    a->num_values = variant->layer_values(a, specs);
    if (a->num_values < 1)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: %s has no values there", a->module, variant->name);
    peft_status status = check_names(a, specs, error);
    if (status) return status;
    for (int32_t v = 0; v < a->num_values; v++) a->values[v].spec = specs[v];
    return PEFT_OK;
}

/* Where the first of several ranks is not that of the file: another one that is, if there is one. */
static peft_status fit_rank(const creation *c, peft_adapter *a, peft_error *error)
{
    const int64_t first = a->rank;
    bool fits = !c->shapes || c->all->variant->layer_rank || c->shapes->fit(c->shapes->argument, a);
    peft_status status = PEFT_OK;
    for (size_t n = 0; n < c->ranks.count && !fits && status == PEFT_OK; n++) {
        bool matches;
        status = peft_pattern_match(c->ranks.entries[n].pattern, a->module, &matches, error);
        if (status != PEFT_OK || !matches) continue;
        a->rank = json_integer_value(c->ranks.entries[n].value);
        status = set_values(a, error);
        fits = status == PEFT_OK && c->shapes->fit(c->shapes->argument, a);
    }
    if (fits || status != PEFT_OK || a->rank == first) return status;
    a->rank = first;
    return set_values(a, error);
}

static peft_status add_layer(creation *c, const peft_layer *layer, peft_error *error)
{
    peft_adapters *all = c->all;
    if (layer->in_features < 1 || layer->out_features < 1)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected sizes above 0, found [%" PRId64 ", %" PRId64 "]",
                         layer->module, layer->out_features, layer->in_features);
    if (peft_adapters_find(all, layer->module))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: this layer comes twice", layer->module);
    char *module = strdup(layer->module);
    if (!module) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", layer->module);
    peft_adapter *a = &all->layers[all->num_layers++];
    *a = (peft_adapter){.all = all,
                        .module = module,
                        .in_features = layer->in_features,
                        .out_features = layer->out_features,
                        .dropout_stream = peft_value_stream(module, "dropout")};
    peft_status status = set_rank(c, a, error);
    return status == PEFT_OK ? set_alpha(c, a, error) : status;
}

static peft_status add_layers(creation *c, int64_t count, peft_error *error)
{
    if (count < 1) return peft_fail(error, PEFT_ERR_ARGUMENT, "adapters: there is no layer to adapt");
    c->all->layers = calloc((size_t)count, sizeof *c->all->layers);
    if (!c->all->layers)
        return peft_fail(error, PEFT_ERR_MEMORY, "adapters: out of memory for %" PRId64 " layers", count);
    peft_status status = open_map(&c->ranks, &rank_field, common(c)->rank_pattern, error);
    if (status == PEFT_OK) status = open_map(&c->alphas, &alpha_field, common(c)->alpha_pattern, error);
    for (int64_t i = 0; i < count && status == PEFT_OK; i++) status = add_layer(c, &c->layers[i], error);
    if (status == PEFT_OK) status = check_matched(c, &rank_field, &c->ranks, error);
    if (status == PEFT_OK) status = check_matched(c, &alpha_field, &c->alphas, error);
    if (status == PEFT_OK && c->all->variant->arrange) status = c->all->variant->arrange(c->all, error);
    for (int64_t i = 0; i < count && status == PEFT_OK; i++) {
        status = set_values(&c->all->layers[i], error);
        if (status == PEFT_OK) status = fit_rank(c, &c->all->layers[i], error);
    }
    peft_pattern_map_close(&c->ranks);
    peft_pattern_map_close(&c->alphas);
    return status;
}

static void set_model_values(peft_adapters *all)
{
    peft_value_spec specs[PEFT_MAX_VALUES] = {0};
    if (!all->variant->model_values) return;
    all->num_values = all->variant->model_values(all, specs);
    for (int32_t v = 0; v < all->num_values; v++) all->values[v].spec = specs[v];
}

/* ---- the value set ---- */

static peft_status check_steps(void *owner, int64_t num_steps, peft_error *error)
{
    return peft_adapters_check_steps(owner, num_steps, error);
}

static peft_status after_step(void *owner, const peft_training_step *step, peft_error *error)
{
    return peft_adapters_after_step(owner, step, error);
}

static peft_status list_values(peft_adapters *all, peft_error *error)
{
    peft_status status = PEFT_OK;
    all->set = (peft_value_set){.check_steps = check_steps, .after_step = after_step, .owner = all};
    for (int64_t l = 0; l < all->num_layers; l++) {
        peft_adapter *a = &all->layers[l];
        for (int32_t v = 0; v < a->num_values && status == PEFT_OK; v++)
            status = peft_value_set_add(&all->set, a->module, &a->values[v], error);
    }
    for (int32_t v = 0; v < all->num_values && status == PEFT_OK; v++)
        status = peft_value_set_add(&all->set, "", &all->values[v], error);
    if (status != PEFT_OK) peft_fail_in(error, status, all->variant->name);
    return status;
}

peft_status peft_adapters_describe(peft_adapters **adapters, const peft_variant *variant, const void *options,
                                   const peft_layer *layers, int64_t num_layers, const peft_file_shapes *shapes,
                                   peft_error *error)
{
    *adapters = NULL;
    peft_status status = peft_variant_check(variant, error);
    if (status) return status;
    peft_adapters *all = calloc(1, sizeof *all);
    if (!all) return peft_fail(error, PEFT_ERR_MEMORY, "adapters: out of memory");
    all->variant = variant;
    all->from_file = shapes != NULL;
    status = copy_options(all, options, error);
    if (status == PEFT_OK)
        status = add_layers(&(creation){.all = all, .layers = layers, .shapes = shapes}, num_layers, error);
    if (status == PEFT_OK) set_model_values(all);
    if (status == PEFT_OK) status = list_values(all, error);
    if (status != PEFT_OK) {
        peft_adapters_free(all);
        return status;
    }
    *adapters = all;
    return PEFT_OK;
}

peft_status peft_adapters_allocate(peft_adapters *all, uint64_t seed, peft_error *error)
{
    peft_status status = peft_value_set_allocate(&all->set, error);
    if (status) return status;
    peft_value_set_draw(&all->set, seed);
    if (all->variant->draw) all->variant->draw(all);
    return PEFT_OK;
}

peft_status peft_adapters_create(peft_adapters **adapters, const peft_variant *variant, const void *options,
                                 const peft_layer *layers, int64_t num_layers, uint64_t seed, peft_error *error)
{
    peft_status status = peft_adapters_describe(adapters, variant, options, layers, num_layers, NULL, error);
    if (status == PEFT_OK) status = peft_adapters_allocate(*adapters, seed, error);
    if (status == PEFT_OK) return PEFT_OK;
    peft_adapters_free(*adapters);
    *adapters = NULL;
    return status;
}

void peft_adapters_free(peft_adapters *all)
{
    if (!all) return;
    for (int64_t i = 0; i < all->num_layers; i++) free((char *)(uintptr_t)all->layers[i].module);
    if (all->options) peft_options_free(all->variant->options, all->options);
    free(all->options);
    free(all->layers);
    peft_value_set_free(&all->set);
    free(all);
}
