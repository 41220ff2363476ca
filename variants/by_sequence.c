#include "variants/by_sequence.h"

#include "ops/ops.h"
#include "ops/side.h"

/* The tensor with an entry for each sequence that a value is bound to, or NULL. */
static peft_tensor *bound_by_sequence(peft_graph *g, const peft_value *value)
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

static bool check_value(peft_graph *g, const char *module, const peft_value *value, const peft_batch *batch)
{
    const peft_value_spec *spec = &value->spec;
    const peft_tensor *bound = peft_graph_bound(g, value);
    char expected[PEFT_SHAPE_TEXT], each[PEFT_SHAPE_TEXT], found[PEFT_SHAPE_TEXT];
    if (!bound || peft_shape_equal(&bound->shape, &spec->shape)) return true;
    const peft_shape shape = for_each_sequence(&spec->shape, batch->num_sequences);
    if (peft_shape_equal(&bound->shape, &shape)) return true;
    return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s%s%s: expected %s, or for each sequence %s, found %s", module,
                           *module ? "." : "", spec->name, peft_shape_text(&spec->shape, expected),
                           peft_shape_text(&shape, each), peft_shape_text(&bound->shape, found));
}

bool peft_check_bound(peft_graph *g, const peft_adapter *a, const peft_batch *batch)
{
    const peft_adapters *all = a->all;
    for (int32_t v = 0; v < a->num_values; v++)
        if (!check_value(g, a->module, &a->values[v], batch)) return false;
    for (int32_t v = 0; v < all->num_values; v++)
        if (!check_value(g, "", &all->values[v], batch)) return false;
    return true;
}

/* ---- the values that a layer reads: its own, then those of the model ---- */

static const peft_value *value_at(const peft_adapter *a, int32_t index)
{
    if (index < a->num_values) return &a->values[index];
    return index - a->num_values < a->all->num_values ? &a->all->values[index - a->num_values] : NULL;
}

bool peft_adapter_differs(peft_graph *g, const peft_adapter *a)
{
    const peft_value *value;
    for (int32_t v = 0; (value = value_at(a, v)); v++)
        if (bound_by_sequence(g, value)) return true;
    return false;
}

/* Grouped products have all factors for each sequence or none. */
static bool all_differ(peft_graph *g, const peft_adapter *a)
{
    const peft_value *value;
    for (int32_t v = 0; (value = value_at(a, v)); v++)
        if (value->spec.kind != PEFT_VALUE_STATE && !bound_by_sequence(g, value)) return false;
    return true;
}

/* ---- one sequence after another ---- */

enum { MAX_READ = 2 * PEFT_MAX_VALUES };

peft_tensor *peft_entry_of_sequence(peft_graph *g, peft_tensor *all, int64_t sequence)
{
    peft_shape shape = {0};
    if (!all) return NULL;
    for (int32_t d = 1; d < all->shape.ndim; d++) shape.size[shape.ndim++] = all->shape.size[d];
    return peft_reshape(g, peft_slice(g, all, 0, sequence, 1), shape);
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

peft_tensor *peft_rows_by_sequence(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                                   const peft_batch *batch, int32_t first, peft_describe_rows *describe)
{
    peft_tensor *whole[MAX_READ] = {0}, *parts[PEFT_MAX_INPUTS];
    const peft_value *value;
    int32_t count = 0;
    for (int32_t v = first; (value = value_at(a, v)); v++) whole[v] = bound_by_sequence(g, value);
    for (int64_t s = 0; s < batch->num_sequences; s++) {
        for (int32_t v = 0; (value = value_at(a, v)); v++)
            if (whole[v]) peft_graph_bind(g, value, peft_entry_of_sequence(g, whole[v], s));
        const peft_batch *own = peft_batch_sequence(g, batch, s);
        peft_tensor *rows = peft_slice(g, x, 0, batch->starts[s], own->num_tokens);
        add_part(g, parts, &count, describe(g, a, base, rows, own));
    }
    for (int32_t v = 0; (value = value_at(a, v)); v++)
        if (whole[v]) peft_graph_bind(g, value, whole[v]);
    return peft_concat(g, 0, parts, count);
}

peft_tensor *peft_forward_by_sequence(peft_graph *g, const peft_adapter *a, const peft_base_linear *base,
                                      peft_tensor *x, const peft_batch *batch)
{
    const peft_variant *variant = a->all->variant;
    bool grouped = variant->grouped && all_differ(g, a);
    peft_graph_share_losses(g, 1 / (double)batch->num_sequences);
    peft_tensor *y = grouped ? variant->forward(g, a, base, x, batch)
                             : peft_rows_by_sequence(g, a, base, x, batch, 0, variant->forward);
    peft_graph_share_losses(g, 1);
    return y;
}
