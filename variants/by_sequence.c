#include "variants/by_sequence.h"

#include "ops/ops.h"
#include "ops/side.h"

/* The tensor with an entry for each sequence that a value is bound to, or NULL. */
static peft_tensor *bound_by_sequence(peft_graph *g, const peft_adapter_value *value)
{
    peft_tensor *bound = peft_graph_bound(g, value);
    return bound && bound->shape.ndim > value->spec.shape.ndim ? bound : NULL;
}

/* ---- what may be bound ---- */

static peft_shape for_each_sequence(const peft_shape *shape, int64_t sequences)
{
    peft_shape each = {.ndim = shape->ndim + 1, .size = {sequences}};
    for (int32_t d = 0; d < shape->ndim; d++) each.size[d + 1] = shape->size[d];
    return each;
}

static bool check_value(peft_graph *g, const char *module, const peft_adapter_value *value, const peft_batch *batch)
{
    const peft_value_spec *spec = &value->spec;
    const peft_tensor *bound = peft_graph_bound(g, value);
    char expected[PEFT_SHAPE_TEXT], each[PEFT_SHAPE_TEXT], found[PEFT_SHAPE_TEXT];
    if (!bound || peft_shape_equal(&bound->shape, &spec->shape)) return true;
    const char *dot = *module ? "." : "";
    peft_shape_text(&spec->shape, expected);
    peft_shape_text(&bound->shape, found);
    if (spec->shared || spec->scope == PEFT_SCOPE_MODEL || spec->shape.ndim == PEFT_MAX_DIMS)
        return peft_graph_fail(g, PEFT_ERR_UNSUPPORTED, "%s%s%s: expected %s, shared by all sequences, found %s",
                               module, dot, spec->name, expected, found);
    const peft_shape shape = for_each_sequence(&spec->shape, batch->num_sequences);
    if (peft_shape_equal(&bound->shape, &shape)) return true;
    return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s%s%s: expected %s, or for each sequence %s, found %s", module, dot,
                           spec->name, expected, peft_shape_text(&shape, each), found);
}

/* The low-rank product has all factors for each sequence or none. */
static bool check_all_differ(peft_graph *g, const peft_adapter *a)
{
    for (int32_t v = 0; v < a->num_values; v++) {
        const peft_value_spec *spec = &a->values[v].spec;
        if (spec->kind == PEFT_VALUE_TRAINED && !spec->shared && !bound_by_sequence(g, &a->values[v]))
            return peft_graph_fail(g, PEFT_ERR_UNSUPPORTED, "%s.%s: expected one for each sequence, as others have it",
                                   a->module, spec->name);
    }
    return true;
}

bool peft_check_bound(peft_graph *g, const peft_adapter *a, const peft_batch *batch)
{
    const peft_adapters *all = a->all;
    for (int32_t v = 0; v < a->num_values; v++)
        if (!check_value(g, a->module, &a->values[v], batch)) return false;
    for (int32_t v = 0; v < all->num_values; v++)
        if (!check_value(g, "", &all->values[v], batch)) return false;
    return all->variant->one_at_a_time || !peft_adapter_differs(g, a) || check_all_differ(g, a);
}

/* ---- one sequence after another ---- */

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
