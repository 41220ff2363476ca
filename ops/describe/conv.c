#include "ops/describe/check.h"
#include "ops/ops.h"

static bool check_bias(peft_graph *g, const char *op, const peft_tensor *bias, const peft_tensor *x, int64_t size)
{
    return !bias || (peft_check_dtype(g, op, "bias", bias, x->dtype) && peft_check_vector(g, op, "bias", bias, size));
}

peft_tensor *peft_causal_conv(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias,
                              peft_tensor *starts)
{
    const char *op = "causal_conv";
    if (!peft_check_real(g, op, "x", x) || !peft_check_matrix(g, op, "x", x, PEFT_ANY_SIZE, PEFT_ANY_SIZE) ||
        !peft_check_dtype(g, op, "weight", weight, x->dtype) ||
        !peft_check_matrix(g, op, "weight", weight, peft_columns(x), PEFT_ANY_SIZE) ||
        !check_bias(g, op, bias, x, peft_columns(x)) || !peft_check_starts(g, op, "starts", starts, peft_rows(x)))
        return NULL;
    peft_tensor *inputs[] = {x, weight, bias, starts};
    peft_node *node = peft_graph_append(g, PEFT_OP_causal_conv, 4, inputs, NULL, 0);
    return peft_node_output(g, node, x->dtype, x->shape);
}

peft_tensor *peft_conv(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias)
{
    const char *op = "conv";
    const int64_t any[] = {PEFT_ANY_SIZE, PEFT_ANY_SIZE, PEFT_ANY_SIZE};
    if (!peft_check_real(g, op, "x", x) || !peft_check_shape(g, op, "x", x, 3, any) ||
        !peft_check_dtype(g, op, "weight", weight, x->dtype))
        return NULL;
    const int64_t sizes[] = {PEFT_ANY_SIZE, peft_columns(x), PEFT_ANY_SIZE};
    if (!peft_check_shape(g, op, "weight", weight, 3, sizes)) return NULL;
    int64_t width = peft_columns(weight), out = weight->shape.size[0];
    if (width % 2 == 0)
        return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s: weight: expected an odd width, found %lld", op,
                               (long long)width);
    if (!check_bias(g, op, bias, x, out)) return NULL;
    peft_tensor *inputs[] = {x, weight, bias};
    peft_node *node = peft_graph_append(g, PEFT_OP_conv, 3, inputs, NULL, 0);
    return peft_node_output(g, node, x->dtype, peft_shape_3(x->shape.size[0], x->shape.size[1], out));
}
