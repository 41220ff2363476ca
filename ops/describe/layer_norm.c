#include "ops/describe/check.h"
#include "ops/ops.h"

peft_tensor *peft_layer_norm(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias, double eps)
{
    const char *op = "layer_norm";
    if (!peft_check_real(g, op, "x", x)) return NULL;
    if (!(eps >= 0)) return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: eps: expected 0 or more, found %g", op, eps);
    int64_t columns = peft_columns(x);
    if (weight &&
        (!peft_check_vector(g, op, "weight", weight, columns) || !peft_check_dtype(g, op, "weight", weight, x->dtype)))
        return NULL;
    if (bias && (!peft_check_vector(g, op, "bias", bias, columns) || !peft_check_dtype(g, op, "bias", bias, x->dtype)))
        return NULL;
    peft_tensor *inputs[] = {x, weight, bias};
    peft_node *node = peft_graph_append(g, PEFT_OP_layer_norm, 3, inputs, &eps, sizeof eps);
    peft_tensor *y = peft_node_output(g, node, x->dtype, x->shape);
    peft_node_output(g, node, x->dtype, peft_shape_2(peft_rows(x), 1)); /* mean */
    peft_node_output(g, node, x->dtype, peft_shape_2(peft_rows(x), 1)); /* rstd */
    return peft_graph_failed(g) ? NULL : y;
}
