/* generators/t2l/bind.c - what was emitted becomes an adapter, and stands in for the values of one. */
#include <math.h>

#include "generators/t2l/internal.h"
#include "ops/side.h"

/* [places, shape], or one for all places -> a row for each place and description */
peft_tensor *peft_t2l_for_all_rows(peft_t2l_scope *s, peft_tensor *values, const peft_place_kind *kind,
                                   const peft_place_tensor *tensor, int64_t N)
{
    peft_tensor *each = peft_reshape(s->net.g, values, peft_shape_2(kind->num_places, tensor->count));
    return N == 1 ? each : peft_spread(s->net.g, each, peft_arange(s->net.g, kind->num_places + 1, N));
}

static peft_tensor *finish(peft_t2l_scope *s, peft_tensor *y, const peft_place_kind *kind,
                           const peft_place_tensor *tensor, int64_t N)
{
    const peft_t2l *t = s->t;
    peft_tensor *values[3] = {0};
    static const char *const names[] = {"AB_offset", "mean_recon_target", "std_recon_target"};
    for (int k = 0; k < (t->output == PEFT_T2L_Z_SCORE ? 3 : 1); k++)
        values[k] = peft_t2l_for_all_rows(s, peft_net_leaf(&s->net, "%s.%s.%s", names[k], tensor->name, kind->name),
                                          kind, tensor, N);
    if (!tensor->emitted) return values[0];
    switch (t->output) {
    case PEFT_T2L_PLAIN:
        return peft_add(s->net.g, y, values[0]);
    case PEFT_T2L_Z_SCORE:
        return peft_add(s->net.g, peft_mul(s->net.g, y, values[2]), values[1]);
    case PEFT_T2L_PRODUCT:
        return peft_scale(s->net.g, y, 1 / sqrt(t->options.product_scale));
    }
    return NULL;
}

void peft_t2l_finish(peft_graph *g, const peft_t2l *t, int64_t descriptions, peft_t2l_kind_output *outputs)
{
    peft_t2l_scope s = {.net = {g, &t->set, false}, .t = t};
    for (int64_t k = 0; k < t->places.num_kinds; k++)
        for (int32_t v = 0; v < t->places.kinds[k].num_tensors; v++) {
            const peft_place_kind *kind = &t->places.kinds[k];
            outputs[k].tensors[v] = finish(&s, outputs[k].tensors[v], kind, &kind->tensors[v], descriptions);
        }
}

/* [places x N, count] -> of place p [N, shape], or [shape] where N is 1 */
static peft_tensor *of_place(peft_graph *g, peft_tensor *all, int64_t p, int64_t N, const peft_shape *shape)
{
    peft_shape each = *shape;
    if (N > 1) {
        each = (peft_shape){.ndim = shape->ndim + 1, .size = {N}};
        for (int32_t d = 0; d < shape->ndim; d++) each.size[d + 1] = shape->size[d];
    }
    return peft_reshape(g, peft_slice(g, all, 0, p * N, N), each);
}

void peft_t2l_bind(peft_graph *g, const peft_t2l *t, int64_t descriptions, const peft_t2l_kind_output *outputs,
                   bool training)
{
    for (int64_t k = 0; k < t->places.num_kinds; k++) {
        const peft_place_kind *kind = &t->places.kinds[k];
        for (int32_t v = 0; v < kind->num_tensors; v++)
            for (int64_t p = 0; p < kind->num_places; p++)
                peft_graph_bind(g, peft_place_value(&t->places, kind, p, &kind->tensors[v]),
                                of_place(g, outputs[k].tensors[v], p, descriptions, &kind->tensors[v].shape));
    }
    const peft_adapters *adapters = t->places.adapters;
    for (int32_t v = 0; v < adapters->num_values; v++) {
        const peft_value *value = peft_net_value(&t->set, "model.%s", adapters->values[v].spec.name);
        if (value) peft_graph_bind(g, &adapters->values[v], peft_value_tensor(g, value, training));
    }
}
