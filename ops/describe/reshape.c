#include "ops/describe/check.h"
#include "ops/ops.h"

peft_tensor *peft_reshape(peft_graph *g, peft_tensor *x, peft_shape shape)
{
    if (!peft_check_given(g, "reshape", "x", x)) return NULL;
    if (peft_shape_count(&shape) != peft_shape_count(&x->shape)) {
        char wanted[PEFT_SHAPE_TEXT], found[PEFT_SHAPE_TEXT];
        return peft_graph_fail(g, PEFT_ERR_SHAPE, "reshape: x: %s has not as many elements as %s",
                               peft_shape_text(&x->shape, found), peft_shape_text(&shape, wanted));
    }
    peft_node *node = peft_graph_append(g, PEFT_OP_reshape, 1, &x, NULL, 0);
    return peft_node_output(g, node, x->dtype, shape);
}

/* A view that asks for no gradient, so that nothing is differentiated through it. */
peft_tensor *peft_stop_gradient(peft_graph *g, peft_tensor *x)
{
    if (!peft_check_given(g, "stop_gradient", "x", x)) return NULL;
    peft_tensor *y = peft_reshape(g, x, x->shape);
    if (y) y->requires_grad = false;
    return y;
}
