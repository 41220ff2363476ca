#include "ops/describe/check.h"
#include "ops/describe/dimension.h"

peft_tensor *peft_slice(peft_graph *g, peft_tensor *x, int32_t dim, int64_t begin, int64_t length)
{
    const char *op = "slice";
    if (!peft_check_real(g, op, "x", x) || !peft_check_dimension(g, op, x, dim)) return NULL;
    int64_t size = x->shape.size[dim];
    if (begin < 0 || length < 0 || begin > size || length > size - begin)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: expected a part of 0 ... %lld, found %lld from %lld on", op,
                               (long long)size, (long long)length, (long long)begin);
    peft_slice_attributes a = {dim, begin};
    peft_node *node = peft_graph_append(g, PEFT_OP_slice, 1, &x, &a, sizeof a);
    peft_shape shape = x->shape;
    shape.size[dim] = length;
    return peft_node_output(g, node, x->dtype, shape);
}
