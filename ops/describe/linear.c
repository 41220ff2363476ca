#include "ops/describe/check.h"
#include "ops/ops.h"

peft_tensor *peft_linear(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias)
{
    const char *op = "linear";
    if (!peft_check_real(g, op, "x", x) || !peft_check_matrix(g, op, "x", x, PEFT_ANY_SIZE, PEFT_ANY_SIZE) ||
        !peft_check_matrix(g, op, "weight", weight, PEFT_ANY_SIZE, peft_columns(x)) ||
        !peft_check_dtype(g, op, "weight", weight, x->dtype))
        return NULL;
    int64_t out_features = peft_rows(weight);
    if (bias &&
        (!peft_check_vector(g, op, "bias", bias, out_features) || !peft_check_dtype(g, op, "bias", bias, x->dtype)))
        return NULL;
    peft_tensor *inputs[] = {x, weight, bias};
    peft_node *node = peft_graph_append(g, PEFT_OP_linear, 3, inputs, NULL, 0);
    return peft_node_output(g, node, x->dtype, peft_shape_2(peft_rows(x), out_features));
}
