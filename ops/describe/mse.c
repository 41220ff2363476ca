#include "ops/describe/check.h"
#include "ops/ops.h"

peft_tensor *peft_mse(peft_graph *g, peft_tensor *prediction, peft_tensor *target, double normalizer)
{
    const char *op = "mse";
    if (!peft_check_real(g, op, "prediction", prediction) ||
        !peft_check_dtype(g, op, "target", target, prediction->dtype) ||
        !peft_check_shape(g, op, "target", target, prediction->shape.ndim, prediction->shape.size))
        return NULL;
    if (!(normalizer >= 0))
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: normalizer: expected 0 or more, found %g", op, normalizer);
    if (normalizer == 0) normalizer = (double)peft_shape_count(&prediction->shape);
    peft_tensor *inputs[] = {prediction, target};
    peft_node *node = peft_graph_append(g, PEFT_OP_mse, 2, inputs, &normalizer, sizeof normalizer);
    return peft_node_output(g, node, prediction->dtype, peft_shape_1(1));
}
