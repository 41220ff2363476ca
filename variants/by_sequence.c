#include "variants/by_sequence.h"

#include "ops/op.h"
#include "ops/ops.h"
#include "ops/side.h"

/* The tensor with an entry for each sequence that a value is bound to, or NULL. */
static peft_tensor *bound_by_sequence(peft_graph *g, const peft_adapter_value *value)
{
    peft_tensor *bound = peft_graph_bound(g, value);
    return bound && bound->shape.ndim > value->spec.shape.ndim ? bound : NULL;
}

bool peft_adapter_differs(peft_graph *g, const peft_adapter *a)
{
    for (int32_t v = 0; v < a->num_values; v++)
        if (bound_by_sequence(g, &a->values[v])) return true;
    return false;
}

static void bind_sequence(peft_graph *g, const peft_adapter *a, peft_tensor *const *all, int64_t sequence)
{
    for (int32_t v = 0; v < a->num_values; v++) {
        if (!all[v]) continue;
        peft_tensor *own = peft_slice(g, all[v], 0, sequence, 1);
        peft_graph_bind(g, &a->values[v], peft_reshape(g, own, a->values[v].spec.shape));
    }
}

static peft_tensor *forward_sequence(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                                     const peft_batch *batch, int64_t sequence)
{
    int32_t first = batch->starts[sequence], length = batch->starts[sequence + 1] - first;
    peft_batch own = *batch;
    own.num_tokens = length;
    own.num_sequences = 1;
    own.starts = NULL; /* what takes one adapter at a time has no use for it */
    own.first_token += first;
    own.first_sequence += sequence;
    return a->all->variant->forward(g, a, base, peft_slice(g, x, 0, first, length), &own);
}

/* Adds a part at the end of those that one concat takes; the first of them holds all before. */
static void add_part(peft_graph *g, peft_tensor *parts[PEFT_MAX_INPUTS], int32_t *count, peft_tensor *part)
{
    if (*count == PEFT_MAX_INPUTS) {
        parts[0] = peft_concat(g, 0, parts, *count);
        *count = 1;
    }
    parts[(*count)++] = part;
}

peft_tensor *peft_forward_by_sequence(peft_graph *g, const peft_adapter *a, const peft_base_linear *base,
                                      peft_tensor *x, const peft_batch *batch)
{
    peft_tensor *all[PEFT_MAX_VALUES] = {0}, *parts[PEFT_MAX_INPUTS];
    int32_t count = 0;
    for (int32_t v = 0; v < a->num_values; v++) all[v] = bound_by_sequence(g, &a->values[v]);
    for (int64_t s = 0; s < batch->num_sequences; s++) {
        bind_sequence(g, a, all, s);
        add_part(g, parts, &count, forward_sequence(g, a, base, x, batch, s));
    }
    for (int32_t v = 0; v < a->num_values; v++)
        if (all[v]) peft_graph_bind(g, &a->values[v], all[v]);
    return peft_concat(g, 0, parts, count);
}
