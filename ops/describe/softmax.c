#include "ops/describe/check.h"
#include "ops/ops.h"

peft_tensor *peft_softmax(peft_graph *g, peft_tensor *x)
{
    if (!peft_check_real(g, "softmax", "x", x)) return NULL;
    peft_node *node = peft_graph_append(g, PEFT_OP_softmax, 1, &x, NULL, 0);
    return peft_node_output(g, node, x->dtype, x->shape);
}
