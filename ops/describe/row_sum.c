/* ops/describe/row_sum.c - one number of each row: the last dimension goes. */
#include "ops/describe/check.h"
#include "ops/ops.h"

static peft_tensor *row_sum(peft_graph *g, peft_op_id id, peft_tensor *x)
{
    const char *op = peft_ops[id].name;
    if (!peft_check_real(g, op, "x", x)) return NULL;
    if (peft_columns(x) < 1)
        return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s: x: expected rows of one element or more", op);
    peft_shape shape = x->shape;
    shape.ndim--;
    if (x->shape.ndim <= 1) shape = peft_shape_1(1);
    peft_node *node = peft_graph_append(g, id, 1, &x, NULL, 0);
    return peft_node_output(g, node, x->dtype, shape);
}

peft_tensor *peft_log_sum_exp(peft_graph *g, peft_tensor *x)
{
    return row_sum(g, PEFT_OP_log_sum_exp, x);
}

peft_tensor *peft_entropy(peft_graph *g, peft_tensor *x)
{
    return row_sum(g, PEFT_OP_entropy, x);
}
