#include "ops/describe/check.h"
#include "ops/ops.h"

peft_tensor *peft_fold(peft_graph *g, peft_tensor *x, int64_t columns, peft_fold_layout layout)
{
    const char *op = "fold";
    if (!peft_check_real(g, op, "x", x)) return NULL;
    if (columns < 1 || peft_columns(x) < 1)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: expected columns to fold into columns, found %lld and %lld",
                               op, (long long)peft_columns(x), (long long)columns);
    if (columns == peft_columns(x)) return x;
    peft_node *node = peft_graph_append(g, PEFT_OP_fold, 1, &x, &layout, sizeof layout);
    peft_shape shape = x->shape;
    shape.size[shape.ndim - 1] = columns;
    return peft_node_output(g, node, x->dtype, shape);
}
