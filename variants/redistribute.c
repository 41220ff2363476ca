#include "variants/redistribute.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "variants/pattern.h"

/* ---- adapters with these ranks ---- */

/* Patterns of the layers whose rank or alpha is not the usual one. */
static peft_status list_numbers(const peft_adapters *all, const int64_t *ranks, peft_common_options *options,
                                peft_error *error)
{
    bool complete = options->rank_pattern && options->alpha_pattern;
    for (int64_t l = 0; l < all->num_layers && complete; l++) {
        const peft_adapter *a = &all->layers[l];
        double alpha = a->alpha * (double)ranks[l] / (double)a->rank;
        if (ranks[l] == 0) continue;
        if (ranks[l] != options->rank) complete = peft_pattern_put(options->rank_pattern, a->module, (double)ranks[l]);
        if (complete && alpha != options->alpha) complete = peft_pattern_put(options->alpha_pattern, a->module, alpha);
    }
    return complete ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "ranks: out of memory");
}

static peft_status create(const peft_adapters *all, const int64_t *ranks, peft_adapters **other, peft_error *error)
{
    peft_common_options *options = malloc(all->variant->options_bytes);
    peft_layer *layers = calloc((size_t)all->num_layers, sizeof *layers);
    int64_t count = 0;
    if (!options || !layers) {
        free(options);
        free(layers);
        return peft_fail(error, PEFT_ERR_MEMORY, "ranks: out of memory");
    }
    memcpy(options, all->options, all->variant->options_bytes); /* what it points to stays the other's */
    options->rank_pattern = json_object();
    options->alpha_pattern = json_object();
    for (int64_t l = 0; l < all->num_layers; l++) {
        const peft_adapter *a = &all->layers[l];
        if (ranks[l] > 0) layers[count++] = (peft_layer){a->module, a->in_features, a->out_features};
    }
    peft_status status = list_numbers(all, ranks, options, error);
    if (status == PEFT_OK) status = peft_adapters_create(other, all->variant, options, layers, count, 0, error);
    json_decref(options->rank_pattern);
    json_decref(options->alpha_pattern);
    free(options);
    free(layers);
    return status;
}

peft_status peft_adapters_widen(const peft_adapters *all, double factor, peft_adapters **wide, peft_error *error)
{
    *wide = NULL;
    int64_t *ranks = calloc((size_t)all->num_layers, sizeof *ranks);
    if (!ranks) return peft_fail(error, PEFT_ERR_MEMORY, "ranks: out of memory");
    for (int64_t l = 0; l < all->num_layers; l++) {
        const peft_adapter *a = &all->layers[l];
        double most = fmin((double)a->in_features, PEFT_MAX_RANK);
        ranks[l] = (int64_t)fmin(nearbyint(factor * (double)a->rank), most);
    }
    peft_status status = create(all, ranks, wide, error);
    free(ranks);
    return status;
}

/* ---- the best directions ---- */

typedef struct direction {
    double worth;
    int64_t layer, place;
} direction;

static int better_first(const void *a, const void *b)
{
    const direction *x = a, *y = b;
    if (x->worth != y->worth) return x->worth > y->worth ? -1 : 1;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int64_t sum_of_ranks(const peft_adapters *all)
{
    int64_t sum = 0;
    for (int64_t l = 0; l < all->num_layers; l++) sum += all->layers[l].rank;
    return sum;
}

static peft_status choose(const peft_adapters *wide, const double *worth, int64_t budget, int64_t *ranks,
                          peft_error *error)
{
    int64_t count = 0, available = sum_of_ranks(wide);
    direction *list = malloc((size_t)(available + 1) * sizeof *list);
    if (!list) return peft_fail(error, PEFT_ERR_MEMORY, "ranks: out of memory");
    for (int64_t l = 0; l < wide->num_layers; l++)
        for (int64_t j = 0; j < wide->layers[l].rank; j++, count++) list[count] = (direction){worth[count], l, j};
    qsort(list, (size_t)count, sizeof *list, better_first);
    for (int64_t k = 0; k < budget && k < count; k++) ranks[list[k].layer]++;
    free(list);
    return PEFT_OK;
}

/* The first of each dimension, as many as `to` has; both have two dimensions or one. */
static void copy_first(const peft_value *from, peft_value *to)
{
    const peft_shape *wide = &from->spec.shape, *narrow = &to->spec.shape;
    int64_t columns = narrow->size[narrow->ndim - 1], stride = wide->size[wide->ndim - 1];
    for (int64_t r = 0; r < peft_shape_count(narrow) / columns; r++)
        memcpy(to->data + r * columns, from->data + r * stride, (size_t)columns * sizeof *to->data);
}

static void copy_kept(const peft_adapters *wide, const int64_t *ranks, peft_adapters *shared)
{
    for (int64_t l = 0, kept = 0; l < wide->num_layers; l++) {
        if (ranks[l] == 0) continue;
        peft_adapter *a = &shared->layers[kept++];
        for (int32_t v = 0; v < a->num_values; v++) copy_first(&wide->layers[l].values[v], &a->values[v]);
    }
}

peft_status peft_adapters_share_ranks(const peft_adapters *all, const peft_adapters *wide, const double *worth,
                                      peft_adapters **shared, peft_error *error)
{
    *shared = NULL;
    int64_t *ranks = calloc((size_t)all->num_layers, sizeof *ranks);
    if (!ranks) return peft_fail(error, PEFT_ERR_MEMORY, "ranks: out of memory");
    peft_status status = choose(wide, worth, sum_of_ranks(all), ranks, error);
    if (status == PEFT_OK) status = create(all, ranks, shared, error);
    if (status == PEFT_OK) copy_kept(wide, ranks, *shared);
    free(ranks);
    return status;
}
