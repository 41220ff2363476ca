#include "ops/describe/check.h"
#include "ops/describe/dimension.h"

static peft_tensor *scaled_sum(peft_graph *g, const char *op, peft_tensor *x, int32_t dim, bool mean)
{
    if (!peft_check_real(g, op, "x", x) || (dim != PEFT_ALL_DIMS && !peft_check_dimension(g, op, x, dim))) return NULL;
    peft_sum_attributes a = {dim, mean ? 1 / (double)peft_dimension_of(&x->shape, dim).size : 1};
    peft_shape shape = peft_shape_1(1);
    if (dim != PEFT_ALL_DIMS && x->shape.ndim > 1) {
        shape = x->shape;
        shape.ndim--;
        for (int32_t d = dim; d < shape.ndim; d++) shape.size[d] = shape.size[d + 1];
    }
    peft_node *node = peft_graph_append(g, PEFT_OP_sum, 1, &x, &a, sizeof a);
    return peft_node_output(g, node, x->dtype, shape);
}

peft_tensor *peft_sum(peft_graph *g, peft_tensor *x, int32_t dim)
{
    return scaled_sum(g, "sum", x, dim, false);
}

peft_tensor *peft_mean(peft_graph *g, peft_tensor *x, int32_t dim)
{
    return scaled_sum(g, "mean", x, dim, true);
}
