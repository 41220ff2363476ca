/* variants/budget_pattern.c - rank_pattern: which directions pruning has left to the modules of a file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "variants/budget.h"
#include "variants/module_name.h"

const peft_json_name peft_budget_json_names[] = {{.option = "rank", .json = "init_r"},
                                                 {.option = "alpha", .json = "lora_alpha", .initial = "8"},
                                                 {.option = "dropout", .json = "lora_dropout"},
                                                 {.option = "target_rank", .json = "target_r", .initial = "8"},
                                                 {.option = "tinit", .json = "tinit", .initial = "0"},
                                                 {.option = "tfinal", .json = "tfinal", .initial = "0"},
                                                 {.option = "delta_t", .json = "deltaT"},
                                                 {0}};

/* ---- reading ---- */

/* The entry "MODULE.lora_E" belongs to the module of this name, or to one that ends with it: files of bare encoders
 * lack the first part. */
static bool is_key_of(const peft_budget_values *v, const char *key, const char *module)
{
    size_t key_length = strlen(key), end_length = strlen(v->key), module_length = strlen(module);
    if (key_length <= end_length + 1 || strcmp(key + key_length - end_length, v->key) != 0) return false;
    size_t length = key_length - end_length - 1;
    if (key[length] != '.' || length > module_length) return false;
    const char *end = module + module_length - length;
    return strncmp(end, key, length) == 0 && (end == module || end[-1] == '.');
}

static peft_status count_left(const json_t *list, int64_t start, const char *key, int64_t *left, peft_error *error)
{
    bool valid = json_is_array(list) && json_array_size(list) == (size_t)start;
    *left = 0;
    for (size_t j = 0; j < json_array_size(list); j++) {
        valid = valid && json_is_boolean(json_array_get(list, j));
        *left += json_is_true(json_array_get(list, j));
    }
    if (valid) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT, "rank_pattern: \"%s\": expected %" PRId64 " booleans, one a direction",
                     key, start);
}

static peft_status set_rank(const peft_budget_values *v, peft_adapters *all, const char *key, int64_t rank,
                            peft_error *error)
{
    for (int64_t l = 0; l < all->num_layers; l++)
        if (is_key_of(v, key, all->layers[l].module)) {
            all->layers[l].rank = rank;
            return PEFT_OK;
        }
    const peft_names modules = {&all->layers->module, (size_t)all->num_layers, sizeof *all->layers};
    return peft_fail_unmatched(error, "rank_pattern", key, &modules);
}

peft_status peft_budget_arrange(const peft_budget_values *v, peft_adapters *all, peft_error *error)
{
    const peft_budget_options *o = all->options;
    const char *key;
    json_t *list;
    if (o->rank_pattern && !json_is_object(o->rank_pattern))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "rank_pattern: expected an object of modules and booleans");
    peft_status status = PEFT_OK;
    json_object_foreach(o->rank_pattern, key, list)
    {
        int64_t left = 0;
        if (status == PEFT_OK) status = count_left(list, o->common.rank, key, &left, error);
        if (status == PEFT_OK) status = set_rank(v, all, key, left, error);
    }
    return status;
}

/* ---- writing ---- */

static const json_t *find_list(const peft_budget_values *v, const peft_adapter *a)
{
    const peft_budget_options *o = a->all->options;
    const char *key;
    json_t *list;
    json_object_foreach(o->rank_pattern, key, list) if (is_key_of(v, key, a->module)) return list;
    return NULL;
}

/* One boolean for each direction of the start: those that a pattern had left stand in the masks one after another. */
static json_t *make_list(const peft_budget_values *v, const peft_adapter *a)
{
    const peft_budget_options *o = a->all->options;
    const json_t *before = find_list(v, a);
    const float *kept = peft_budget_kept(v, a);
    json_t *list = json_array();
    bool complete = list != NULL;
    for (int64_t j = 0; j < o->common.rank && complete; j++) {
        bool left = !before || json_is_true(json_array_get(before, (size_t)j));
        if (left) left = *kept++ != 0;
        complete = json_array_append_new(list, json_boolean(left)) == 0;
    }
    if (complete) return list;
    json_decref(list);
    return NULL;
}

static bool add_list(json_t *pattern, const peft_budget_values *v, const peft_adapter *a)
{
    size_t bytes = strlen(a->module) + strlen(v->key) + 2;
    char *key = malloc(bytes);
    if (!key) return false;
    snprintf(key, bytes, "%s.%s", a->module, v->key);
    bool added = json_object_set_new(pattern, key, make_list(v, a)) == 0;
    free(key);
    return added;
}

static json_t *make_pattern(const peft_budget_values *v, const peft_adapters *all)
{
    json_t *pattern = json_object();
    bool complete = pattern != NULL;
    for (int64_t l = 0; l < all->num_layers && complete; l++) complete = add_list(pattern, v, &all->layers[l]);
    if (complete) return pattern;
    json_decref(pattern);
    return NULL;
}

/* ---- smaller adapters ---- */

static bool is_pruned(const peft_budget_values *v, const peft_adapters *all)
{
    for (int64_t l = 0; l < all->num_layers; l++)
        for (int64_t j = 0; j < all->layers[l].rank; j++)
            if (peft_budget_kept(v, &all->layers[l])[j] == 0) return true;
    return false;
}

/* Along the dimension that has become smaller, which is that of the directions, only those that are kept. */
static void copy_kept(const peft_value *from, peft_value *to, const float *kept)
{
    const peft_shape *all = &from->spec.shape, *left = &to->spec.shape;
    int32_t d = 0;
    while (d < all->ndim && all->size[d] == left->size[d]) d++;
    int64_t outer = 1, inner = 1, directions = d < all->ndim ? all->size[d] : 1;
    for (int32_t k = 0; k < d; k++) outer *= all->size[k];
    for (int32_t k = d + 1; k < all->ndim; k++) inner *= all->size[k];
    const float *next = from->data;
    float *place = to->data;
    for (int64_t k = 0; k < outer * directions; k++, next += inner) {
        if (d < all->ndim && kept[k % directions] == 0) continue;
        memcpy(place, next, (size_t)inner * sizeof *next);
        place += inner;
    }
}

static void copy_values(const peft_budget_values *v, const peft_adapters *all, peft_adapters *smaller)
{
    for (int64_t l = 0; l < all->num_layers; l++)
        for (int32_t i = 0; i < all->layers[l].num_values; i++)
            copy_kept(&all->layers[l].values[i], &smaller->layers[l].values[i], peft_budget_kept(v, &all->layers[l]));
}

static peft_status create_smaller(const peft_adapters *all, json_t *pattern, peft_adapters **smaller, peft_error *error)
{
    peft_budget_options *options = malloc(all->variant->options_bytes);
    peft_layer *layers = malloc((size_t)all->num_layers * sizeof *layers);
    peft_status status = options && layers ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "rank_pattern: out of memory");
    for (int64_t l = 0; l < all->num_layers && status == PEFT_OK; l++) {
        const peft_adapter *a = &all->layers[l];
        layers[l] = (peft_layer){a->module, a->in_features, a->out_features};
    }
    if (status == PEFT_OK) {
        memcpy(options, all->options, all->variant->options_bytes);
        options->rank_pattern = pattern;
        status = peft_adapters_create(smaller, all->variant, options, layers, all->num_layers, 0, error);
    }
    free(options);
    free(layers);
    return status;
}

peft_status peft_budget_compact(const peft_budget_values *v, const peft_adapters *all, peft_adapters **smaller,
                                peft_error *error)
{
    *smaller = NULL;
    if (!is_pruned(v, all)) return PEFT_OK;
    json_t *pattern = make_pattern(v, all);
    if (!pattern) return peft_fail(error, PEFT_ERR_MEMORY, "rank_pattern: out of memory");
    peft_status status = create_smaller(all, pattern, smaller, error);
    if (status == PEFT_OK) copy_values(v, all, *smaller);
    json_decref(pattern);
    return status;
}
