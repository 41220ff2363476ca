#include "ops/describe/check.h"
#include "ops/engine/graph_internal.h"
#include "ops/ops.h"

peft_tensor *peft_running_average(peft_graph *g, peft_tensor *state, peft_tensor *x, double share)
{
    const char *op = "running_average";
    if (!peft_check_real(g, op, "x", x) || !peft_check_dtype(g, op, "state", state, x->dtype) ||
        !peft_check_shape(g, op, "state", state, x->shape.ndim, x->shape.size))
        return NULL;
    if (!state->state) return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: state: expected a state's leaf", op);
    if (!(share >= 0 && share <= 1))
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: share: expected 0 ... 1, found %g", op, share);
    if (g->segment >= 0)
        return peft_graph_fail(g, PEFT_ERR_UNSUPPORTED,
                               "%s: in a checkpointed segment, which runs twice, a state would be written twice", op);
    peft_tensor *inputs[] = {state, peft_stop_gradient(g, x)};
    peft_node *node = peft_graph_append(g, PEFT_OP_running_average, 2, inputs, &share, sizeof share);
    return peft_node_output(g, node, x->dtype, x->shape);
}
