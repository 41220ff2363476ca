#include "peft/merge.h"

#include <stdlib.h>
#include <string.h>

/* A weight as it was before. While merged, `value` is our copy and is not trained. */
typedef struct saved_weight {
    peft_weight *weight;
    float *value, *gradient;
} saved_weight;

typedef struct saved_layer {
    peft_linear_layer *layer;
    const peft_adapter *adapter;
} saved_layer;

struct peft_merge {
    saved_layer *layers;
    saved_weight *weights; /* up to two a layer */
    int64_t num_layers, num_weights;
};

void peft_model_unmerge(peft_merge *m)
{
    if (!m) return;
    for (int64_t i = 0; i < m->num_weights; i++) {
        saved_weight *saved = &m->weights[i];
        free(saved->weight->value);
        saved->weight->value = saved->value;
        saved->weight->gradient = saved->gradient;
    }
    for (int64_t i = 0; i < m->num_layers; i++) m->layers[i].layer->adapter = m->layers[i].adapter;
    free(m->layers);
    free(m->weights);
    free(m);
}

static peft_weight *find_weight(peft_model *model, const peft_weight *wanted)
{
    int64_t count;
    peft_weight *weights = peft_model_weights(model, &count);
    for (int64_t i = 0; i < count; i++)
        if (&weights[i] == wanted) return &weights[i];
    return NULL;
}

/* Replaces a weight by a copy that nobody trains. */
static peft_status copy_weight(peft_merge *m, peft_model *model, const peft_weight *wanted, peft_error *error)
{
    peft_weight *weight = find_weight(model, wanted);
    size_t bytes = (size_t)peft_shape_count(&wanted->shape) * sizeof(float);
    float *copy = malloc(bytes);
    if (!weight || !copy) {
        free(copy);
        return weight ? peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for the merged weight", wanted->name)
                      : peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: not a weight of the model's own", wanted->name);
    }
    peft_weight_read(weight, 0, weight->shape.ndim == 2 ? weight->shape.size[0] : 1, copy);
    m->weights[m->num_weights++] = (saved_weight){weight, weight->value, weight->gradient};
    weight->value = copy;
    weight->gradient = NULL;
    return PEFT_OK;
}

static peft_status check_unshared(const peft_linear_layer *linears, int64_t count, const peft_linear_layer *layer,
                                  peft_error *error)
{
    for (int64_t i = 0; i < count; i++)
        if (&linears[i] != layer && linears[i].base.weight == layer->base.weight)
            return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                             "%s: shares its weight with %s, which a merge would change too", layer->module,
                             linears[i].module);
    return PEFT_OK;
}

static peft_status merge_layer(peft_merge *m, peft_model *model, peft_linear_layer *layer, peft_error *error)
{
    const peft_base_linear *base = &layer->base;
    peft_status status = copy_weight(m, model, base->weight, error);
    if (status == PEFT_OK && base->bias) status = copy_weight(m, model, base->bias, error);
    if (status == PEFT_OK)
        status = peft_adapter_merge(layer->adapter, base->weight->value, base->bias ? base->bias->value : NULL, error);
    if (status != PEFT_OK) return status;
    m->layers[m->num_layers++] = (saved_layer){layer, layer->adapter};
    layer->adapter = NULL;
    return PEFT_OK;
}

peft_status peft_model_merge(peft_model *model, peft_merge **merge, peft_error *error)
{
    int64_t count;
    peft_linear_layer *linears = peft_model_linears(model, &count);
    peft_merge *m = calloc(1, sizeof *m);
    *merge = NULL;
    if (m) m->layers = calloc((size_t)count + 1, sizeof *m->layers);
    if (m) m->weights = calloc(2 * (size_t)count + 1, sizeof *m->weights);
    peft_status status =
        m && m->layers && m->weights ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "merge: out of memory");
    for (int64_t i = 0; i < count && status == PEFT_OK; i++) {
        if (!linears[i].adapter) continue;
        status = check_unshared(linears, count, &linears[i], error);
        if (status == PEFT_OK) status = merge_layer(m, model, &linears[i], error);
    }
    if (status == PEFT_OK)
        *merge = m;
    else
        peft_model_unmerge(m);
    return status;
}
