#include "ops/describe/check.h"
#include "ops/ops.h"

peft_tensor *peft_embedding(peft_graph *g, peft_tensor *weight, peft_tensor *ids)
{
    const char *op = "embedding";
    if (!peft_check_real(g, op, "weight", weight) ||
        !peft_check_matrix(g, op, "weight", weight, PEFT_ANY_SIZE, PEFT_ANY_SIZE) ||
        !peft_check_dtype(g, op, "ids", ids, PEFT_I32) || !peft_check_vector(g, op, "ids", ids, PEFT_ANY_SIZE))
        return NULL;
    peft_tensor *inputs[] = {weight, ids};
    peft_node *node = peft_graph_append(g, PEFT_OP_embedding, 2, inputs, NULL, 0);
    return peft_node_output(g, node, weight->dtype, peft_shape_2(ids->shape.size[0], peft_columns(weight)));
}
