#include "ops/describe/check.h"
#include "ops/describe/norm.h"
#include "ops/ops.h"

static bool check_columns(peft_graph *g, const char *op, const char *what, const peft_tensor *x, const peft_tensor *t)
{
    return !t || (peft_check_vector(g, op, what, t, peft_columns(x)) && peft_check_dtype(g, op, what, t, x->dtype));
}

static peft_tensor *norm(peft_graph *g, const char *op, peft_tensor *x, peft_tensor *weight, peft_tensor *bias,
                         peft_norm_attributes a)
{
    if (!peft_check_real(g, op, "x", x)) return NULL;
    if (!(a.eps >= 0)) return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: eps: expected 0 or more, found %g", op, a.eps);
    if (!check_columns(g, op, "weight", x, weight) || !check_columns(g, op, "bias", x, bias)) return NULL;
    peft_tensor *inputs[] = {x, weight, bias};
    peft_node *node = peft_graph_append(g, PEFT_OP_layer_norm, 3, inputs, &a, sizeof a);
    peft_tensor *y = peft_node_output(g, node, x->dtype, x->shape);
    peft_node_output(g, node, x->dtype, peft_shape_2(peft_rows(x), 1)); /* mean */
    peft_node_output(g, node, x->dtype, peft_shape_2(peft_rows(x), 1)); /* rstd */
    return peft_graph_failed(g) ? NULL : y;
}

peft_tensor *peft_layer_norm(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias, double eps)
{
    return norm(g, "layer_norm", x, weight, bias, (peft_norm_attributes){eps, true});
}

peft_tensor *peft_rms_norm(peft_graph *g, peft_tensor *x, peft_tensor *weight, double eps)
{
    return norm(g, "rms_norm", x, weight, NULL, (peft_norm_attributes){eps, false});
}
