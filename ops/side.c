#include "ops/side.h"

#include "ops/describe/check.h"
#include "ops/engine/graph_internal.h"
#include "ops/ops.h"

static void append(peft_graph *g, peft_side_list *list, const peft_side_value *value)
{
    if (!value->tensor || peft_graph_failed(g)) return;
    if (!peft_graph_grow(g, (void **)&list->values, list->count, &list->capacity, sizeof *list->values)) return;
    list->values[list->count++] = *value;
    peft_graph_keep(g, value->tensor);
}

static const peft_side_value *at(const peft_side_list *list, int32_t index)
{
    return index >= 0 && index < list->count ? &list->values[index] : NULL;
}

void peft_graph_add_loss(peft_graph *g, const char *where, const char *name, peft_tensor *loss, double weight)
{
    if (g->totalled) peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: this loss comes after the total was taken", name);
    if (peft_check_given(g, "add_loss", name, loss) && peft_check_vector(g, "add_loss", name, loss, 1))
        append(g, &g->losses, &(peft_side_value){where, name, loss, weight * g->loss_share});
}

void peft_graph_share_losses(peft_graph *g, double share)
{
    g->loss_share = share;
}

peft_tensor *peft_graph_total_loss(peft_graph *g, peft_tensor *loss, double share)
{
    if (g->totalled) return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "total_loss: was taken before");
    g->totalled = true;
    peft_tensor *total = loss;
    for (int32_t i = 0; i < g->losses.count; i++)
        total = peft_add(g, total, peft_scale(g, g->losses.values[i].tensor, share * g->losses.values[i].weight));
    return total;
}

void peft_graph_observe(peft_graph *g, const char *where, const char *name, peft_tensor *value)
{
    append(g, &g->observations, &(peft_side_value){where, name, value, 1});
}

const peft_side_value *peft_graph_loss_at(const peft_graph *g, int32_t index)
{
    return at(&g->losses, index);
}

const peft_side_value *peft_graph_observation_at(const peft_graph *g, int32_t index)
{
    return at(&g->observations, index);
}

void peft_graph_bind(peft_graph *g, const void *owner, peft_tensor *tensor)
{
    if (!tensor || peft_graph_failed(g)) return;
    if (!peft_graph_grow(g, (void **)&g->bindings, g->num_bindings, &g->binding_capacity, sizeof *g->bindings)) return;
    g->bindings[g->num_bindings++] = (peft_binding){owner, tensor};
}

peft_tensor *peft_graph_bound(const peft_graph *g, const void *owner)
{
    for (int32_t i = g->num_bindings; i-- > 0;)
        if (g->bindings[i].owner == owner) return g->bindings[i].tensor;
    return NULL;
}
