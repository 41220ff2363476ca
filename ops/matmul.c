#include "ops/matmul.h"

#include "ops/check.h"
#include "ops/ops.h"

peft_tensor *peft_matmul(peft_graph *g, peft_tensor *a, bool transpose_a, peft_tensor *b, bool transpose_b)
{
    const char *op = "matmul";
    if (!peft_check_real(g, op, "a", a) || !peft_check_matrix(g, op, "a", a, PEFT_ANY_SIZE, PEFT_ANY_SIZE) ||
        !peft_check_dtype(g, op, "b", b, a->dtype))
        return NULL;
    int64_t m = a->shape.size[transpose_a], k = a->shape.size[!transpose_a];
    if (!peft_check_matrix(g, op, "b", b, transpose_b ? PEFT_ANY_SIZE : k, transpose_b ? k : PEFT_ANY_SIZE))
        return NULL;
    peft_tensor *inputs[] = {a, b};
    peft_matmul_attributes attributes = {transpose_a, transpose_b};
    peft_node *node = peft_graph_append(g, PEFT_OP_matmul, 2, inputs, &attributes, sizeof attributes);
    return peft_node_output(g, node, a->dtype, peft_shape_2(m, b->shape.size[!transpose_b]));
}
