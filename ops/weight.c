#include "ops/weight.h"

#include "ops/engine/context_internal.h"
#include "ops/ops.h"
#include "ops/side.h"

peft_tensor *peft_weight_leaf(peft_graph *g, const peft_weight *weight)
{
    peft_tensor *bound = peft_graph_bound(g, weight);
    if (bound) return bound;
    if (weight->value) return peft_parameter(g, PEFT_F32, weight->shape, weight->value, weight->gradient, weight->name);
    peft_tensor *leaf = peft_constant(g, PEFT_F32, weight->shape, weight->data, weight->name);
    if (leaf) leaf->packed = weight->packed;
    return leaf;
}

const float *peft_weight_values(const peft_weight *weight)
{
    return weight->value ? weight->value : weight->data;
}

peft_packing peft_weight_packing(const peft_context *ctx, int64_t elements, int64_t rows)
{
    return ctx->backend->packing ? ctx->backend->packing(ctx->state, elements, rows) : PEFT_PACK_BOTH;
}

peft_status peft_weight_pack(peft_weight *weight, peft_context *ctx, peft_packing packing, peft_error *error)
{
    if (!ctx->backend->pack || weight->value || weight->packed) return PEFT_OK;
    return ctx->backend->pack(ctx->state, weight, packing, &weight->packed, error);
}

void peft_weight_unpack(peft_weight *weight)
{
    if (weight->packed) weight->packed->backend->unpack(weight->packed);
    weight->packed = NULL;
}

size_t peft_weight_packed_bytes(const peft_weight *weight)
{
    return weight->packed ? weight->packed->bytes : 0;
}

peft_tensor *peft_base_forward(peft_graph *g, const peft_base_linear *base, peft_tensor *x)
{
    return peft_linear(g, x, peft_weight_leaf(g, base->weight), base->bias ? peft_weight_leaf(g, base->bias) : NULL);
}
