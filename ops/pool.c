/* ops/pool.c - one row for each sequence. */
#include "ops/check.h"
#include "ops/ops.h"

static peft_tensor *pool(peft_graph *g, peft_op_id id, peft_tensor *x, peft_tensor *starts)
{
    const char *op = peft_ops[id].name;
    if (!peft_check_real(g, op, "x", x) || !peft_check_matrix(g, op, "x", x, PEFT_ANY_SIZE, PEFT_ANY_SIZE) ||
        !peft_check_starts(g, op, "starts", starts, peft_rows(x)))
        return NULL;
    peft_tensor *inputs[] = {x, starts};
    peft_node *node = peft_graph_append(g, id, 2, inputs, NULL, 0);
    return peft_node_output(g, node, x->dtype, peft_shape_2(starts->shape.size[0] - 1, peft_columns(x)));
}

peft_tensor *peft_mean_pool(peft_graph *g, peft_tensor *x, peft_tensor *starts)
{
    return pool(g, PEFT_OP_mean_pool, x, starts);
}

peft_tensor *peft_first_pool(peft_graph *g, peft_tensor *x, peft_tensor *starts)
{
    return pool(g, PEFT_OP_first_pool, x, starts);
}
