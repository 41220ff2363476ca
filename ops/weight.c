#include "ops/weight.h"

#include "ops/engine/context_internal.h"
#include "ops/onednn/packed.h"
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

peft_status peft_weight_pack(peft_weight *weight, peft_context *ctx, peft_packing packing, peft_error *error)
{
    if (!ctx->dnnl || weight->value || weight->packed) return PEFT_OK;
    return peft_packed_make(&weight->packed, ctx->dnnl, weight->shape.size[0], weight->shape.size[1], weight->data,
                            packing, error);
}

void peft_weight_unpack(peft_weight *weight)
{
    peft_packed_free(weight->packed);
    weight->packed = NULL;
}

size_t peft_weight_packed_bytes(const peft_weight *weight)
{
    return peft_packed_bytes(weight->packed);
}

peft_tensor *peft_base_forward(peft_graph *g, const peft_base_linear *base, peft_tensor *x)
{
    return peft_linear(g, x, peft_weight_leaf(g, base->weight), base->bias ? peft_weight_leaf(g, base->bias) : NULL);
}
