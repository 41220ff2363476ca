#include "ops/describe/check.h"
#include "ops/describe/dimension.h"

peft_tensor *peft_concat(peft_graph *g, int32_t dim, peft_tensor *const *parts, int32_t count)
{
    const char *op = "concat";
    if (count < 1 || count > PEFT_MAX_INPUTS)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: expected 1 to %d parts, found %d", op, PEFT_MAX_INPUTS,
                               count);
    if (!peft_check_real(g, op, "part", parts[0]) || !peft_check_dimension(g, op, parts[0], dim)) return NULL;
    peft_shape shape = parts[0]->shape, others = shape;
    others.size[dim] = PEFT_ANY_SIZE;
    for (int32_t i = 1; i < count; i++) {
        if (!peft_check_dtype(g, op, "part", parts[i], parts[0]->dtype) ||
            !peft_check_shape(g, op, "part", parts[i], others.ndim, others.size))
            return NULL;
        shape.size[dim] += parts[i]->shape.size[dim];
    }
    peft_concat_attributes a = {dim};
    peft_node *node = peft_graph_append(g, PEFT_OP_concat, count, parts, &a, sizeof a);
    return peft_node_output(g, node, parts[0]->dtype, shape);
}
