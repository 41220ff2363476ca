#include "ops/weight.h"

#include "ops/ops.h"
#include "ops/side.h"

peft_tensor *peft_weight_leaf(peft_graph *g, const peft_weight *weight)
{
    peft_tensor *bound = peft_graph_bound(g, weight);
    if (bound) return bound;
    if (weight->value) return peft_parameter(g, PEFT_F32, weight->shape, weight->value, weight->gradient, weight->name);
    return peft_constant(g, PEFT_F32, weight->shape, weight->data, weight->name);
}

const float *peft_weight_values(const peft_weight *weight)
{
    return weight->value ? weight->value : weight->data;
}

peft_tensor *peft_base_forward(peft_graph *g, const peft_base_linear *base, peft_tensor *x)
{
    return peft_linear(g, x, peft_weight_leaf(g, base->weight), base->bias ? peft_weight_leaf(g, base->bias) : NULL);
}
