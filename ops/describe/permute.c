#include "ops/describe/check.h"
#include "ops/describe/dimension.h"

peft_tensor *peft_permute(peft_graph *g, peft_tensor *x, const int32_t *order)
{
    const char *op = "permute";
    if (!peft_check_real(g, op, "x", x)) return NULL;
    peft_permute_attributes a = {{0}};
    peft_shape shape = x->shape;
    uint32_t seen = 0;
    for (int32_t d = 0; d < shape.ndim; d++) {
        if (!peft_check_dimension(g, op, x, order[d])) return NULL;
        if (seen & (1U << order[d]))
            return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: order: dimension %d comes twice", op, order[d]);
        seen |= 1U << order[d];
        a.order[d] = order[d];
        shape.size[d] = x->shape.size[order[d]];
    }
    peft_node *node = peft_graph_append(g, PEFT_OP_permute, 1, &x, &a, sizeof a);
    return peft_node_output(g, node, x->dtype, shape);
}
