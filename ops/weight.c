#include "ops/weight.h"

#include <stdlib.h>
#include <string.h>

#include "ops/engine/context_internal.h"
#include "ops/ops.h"
#include "ops/side.h"

/* ---- as leaf ---- */

static peft_tensor *frozen_leaf(peft_graph *g, const peft_weight *weight)
{
    peft_error error;
    if (peft_stored_check(&weight->stored, &weight->shape, &error))
        return peft_graph_fail(g, error.status, "%s: %s", weight->name, error.message);
    peft_tensor *leaf =
        peft_graph_leaf(g, PEFT_LEAF_FROZEN, PEFT_F32, weight->shape, weight->stored.data, weight->name);
    if (leaf) leaf->weight = weight;
    return leaf;
}

peft_tensor *peft_weight_leaf(peft_graph *g, const peft_weight *weight)
{
    peft_tensor *bound = peft_graph_bound(g, weight);
    if (bound) return bound;
    if (weight->value) return peft_parameter(g, PEFT_F32, weight->shape, weight->value, weight->gradient, weight->name);
    return frozen_leaf(g, weight);
}

peft_tensor *peft_weight_leaf_with_gradient(peft_graph *g, const peft_weight *weight, float *gradient)
{
    peft_tensor *leaf = peft_parameter(g, PEFT_F32, weight->shape, weight->value, gradient, weight->name);
    if (!leaf || weight->value) return leaf;
    leaf->weight = weight;
    leaf->leaf = PEFT_LEAF_FROZEN;
    leaf->host = weight->stored.data;
    return leaf;
}

/* ---- its numbers ---- */

static int64_t columns_of(const peft_weight *weight)
{
    return weight->shape.ndim ? weight->shape.size[weight->shape.ndim - 1] : 1;
}

void peft_weight_read(const peft_weight *weight, int64_t first, int64_t count, float *to)
{
    int64_t columns = columns_of(weight);
    if (weight->value)
        memcpy(to, weight->value + first * columns, (size_t)(count * columns) * sizeof *to);
    else
        peft_stored_read(&weight->stored, peft_shape_count(&weight->shape) / columns, columns, first, count, to);
}

const float *peft_weight_values(const peft_weight *weight, float **copy)
{
    *copy = NULL;
    if (weight->value) return weight->value;
    if (weight->stored.format == PEFT_FORMAT_F32 && !weight->stored.transposed) return weight->stored.data;
    int64_t count = peft_shape_count(&weight->shape);
    *copy = malloc((size_t)count * sizeof **copy);
    if (*copy) peft_weight_read(weight, 0, count / columns_of(weight), *copy);
    return *copy;
}

size_t peft_weight_stored_bytes(const peft_weight *weight)
{
    return peft_stored_bytes(&weight->stored, &weight->shape);
}

peft_shape peft_weight_stored_shape(const peft_weight *weight)
{
    const peft_shape *shape = &weight->shape;
    return weight->stored.transposed ? peft_shape_2(shape->size[1], shape->size[0]) : *shape;
}

/* ---- the form that a backend keeps ---- */

peft_packing peft_weight_packing(const peft_context *ctx, int64_t elements, int64_t rows)
{
    return ctx->backend->packing ? ctx->backend->packing(ctx->state, elements, rows) : PEFT_PACK_BOTH;
}

peft_status peft_weight_pack(peft_weight *weight, peft_context *ctx, peft_packing packing, peft_error *error)
{
    if (!ctx->backend->pack || weight->value || weight->form) return PEFT_OK;
    peft_context_settle(ctx);
    return ctx->backend->pack(ctx->state, weight, packing, &weight->form, error);
}

void peft_weight_unpack(peft_weight *weight)
{
    if (weight->form) weight->form->backend->unpack(weight->form);
    weight->form = NULL;
}

size_t peft_weight_packed_bytes(const peft_weight *weight)
{
    return weight->form ? weight->form->bytes : 0;
}

/* ---- the layer ---- */

peft_tensor *peft_base_forward(peft_graph *g, const peft_base_linear *base, peft_tensor *x)
{
    return peft_linear(g, x, peft_weight_leaf(g, base->weight), base->bias ? peft_weight_leaf(g, base->bias) : NULL);
}
