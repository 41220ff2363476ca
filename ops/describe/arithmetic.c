#include "ops/describe/check.h"
#include "ops/ops.h"

/* b has the last dimensions of a, or one element. */
static bool repeats(const peft_shape *a, const peft_shape *b)
{
    if (peft_shape_count(b) == 1) return true;
    if (b->ndim > a->ndim) return false;
    for (int32_t d = 1; d <= b->ndim; d++)
        if (b->size[b->ndim - d] != a->size[a->ndim - d]) return false;
    return true;
}

static peft_tensor *elementwise(peft_graph *g, peft_op_id id, peft_tensor *a, peft_tensor *b)
{
    const char *op = peft_ops[id].name;
    if (!peft_check_real(g, op, "a", a) || !peft_check_dtype(g, op, "b", b, a->dtype)) return NULL;
    if (!repeats(&a->shape, &b->shape)) {
        char expected[PEFT_SHAPE_TEXT], found[PEFT_SHAPE_TEXT];
        return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s: b: expected last dimensions of %s or one element, found %s", op,
                               peft_shape_text(&a->shape, expected), peft_shape_text(&b->shape, found));
    }
    peft_tensor *inputs[] = {a, b};
    peft_node *node = peft_graph_append(g, id, 2, inputs, NULL, 0);
    return peft_node_output(g, node, a->dtype, a->shape);
}

peft_tensor *peft_add(peft_graph *g, peft_tensor *a, peft_tensor *b)
{
    return elementwise(g, PEFT_OP_add, a, b);
}

peft_tensor *peft_mul(peft_graph *g, peft_tensor *a, peft_tensor *b)
{
    return elementwise(g, PEFT_OP_mul, a, b);
}

peft_tensor *peft_modulate(peft_graph *g, peft_tensor *x, peft_tensor *shift, peft_tensor *factor)
{
    const char *op = "modulate";
    if (!peft_check_real(g, op, "x", x) || !peft_check_dtype(g, op, "shift", shift, x->dtype) ||
        !peft_check_vector(g, op, "shift", shift, peft_rows(x)) ||
        !peft_check_dtype(g, op, "factor", factor, x->dtype) ||
        !peft_check_vector(g, op, "factor", factor, peft_rows(x)))
        return NULL;
    peft_tensor *inputs[] = {x, shift, factor};
    peft_node *node = peft_graph_append(g, PEFT_OP_modulate, 3, inputs, NULL, 0);
    return peft_node_output(g, node, x->dtype, x->shape);
}

peft_tensor *peft_scale(peft_graph *g, peft_tensor *x, double factor)
{
    if (!peft_check_real(g, "scale", "x", x)) return NULL;
    peft_node *node = peft_graph_append(g, PEFT_OP_scale, 1, &x, &factor, sizeof factor);
    return peft_node_output(g, node, x->dtype, x->shape);
}

peft_tensor *peft_shift(peft_graph *g, peft_tensor *x, double offset)
{
    if (!peft_check_real(g, "shift", "x", x)) return NULL;
    peft_node *node = peft_graph_append(g, PEFT_OP_shift, 1, &x, &offset, sizeof offset);
    return peft_node_output(g, node, x->dtype, x->shape);
}

peft_tensor *peft_power(peft_graph *g, peft_tensor *x, double exponent)
{
    if (!peft_check_real(g, "power", "x", x)) return NULL;
    peft_node *node = peft_graph_append(g, PEFT_OP_power, 1, &x, &exponent, sizeof exponent);
    return peft_node_output(g, node, x->dtype, x->shape);
}
