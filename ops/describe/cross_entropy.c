#include "ops/describe/cross_entropy.h"

#include "ops/describe/check.h"
#include "ops/ops.h"

static bool check_attributes(peft_graph *g, const char *op, const peft_cross_entropy_attributes *a)
{
    if (!(a->label_smoothing >= 0 && a->label_smoothing <= 1))
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: label_smoothing: expected 0 ... 1, found %g", op,
                               a->label_smoothing);
    if (!(a->normalizer >= 0))
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: normalizer: expected 0 or more, found %g", op, a->normalizer);
    return true;
}

peft_tensor *peft_cross_entropy(peft_graph *g, peft_tensor *logits, peft_tensor *labels, peft_tensor *class_weights,
                                double label_smoothing, double normalizer)
{
    const char *op = "cross_entropy";
    if (!peft_check_real(g, op, "logits", logits) ||
        !peft_check_matrix(g, op, "logits", logits, PEFT_ANY_SIZE, PEFT_ANY_SIZE) ||
        !peft_check_dtype(g, op, "labels", labels, PEFT_I32) ||
        !peft_check_vector(g, op, "labels", labels, peft_rows(logits)))
        return NULL;
    if (class_weights && (!peft_check_vector(g, op, "class_weights", class_weights, peft_columns(logits)) ||
                          !peft_check_dtype(g, op, "class_weights", class_weights, logits->dtype) ||
                          !peft_check_no_gradient(g, op, "class_weights", class_weights)))
        return NULL;
    const peft_cross_entropy_attributes attributes = {label_smoothing, normalizer};
    if (!check_attributes(g, op, &attributes)) return NULL;
    peft_tensor *inputs[] = {logits, labels, class_weights};
    peft_node *node = peft_graph_append(g, PEFT_OP_cross_entropy, 3, inputs, &attributes, sizeof attributes);
    peft_tensor *loss = peft_node_output(g, node, logits->dtype, peft_shape_1(1));
    peft_node_output(g, node, logits->dtype, peft_shape_1(peft_rows(logits)));
    return peft_graph_failed(g) ? NULL : loss;
}

peft_tensor *peft_linear_cross_entropy(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias,
                                       peft_tensor *labels, double label_smoothing, double normalizer)
{
    const char *op = "linear_cross_entropy";
    if (!peft_check_real(g, op, "x", x) || !peft_check_matrix(g, op, "x", x, PEFT_ANY_SIZE, PEFT_ANY_SIZE) ||
        !peft_check_matrix(g, op, "weight", weight, PEFT_ANY_SIZE, peft_columns(x)) ||
        !peft_check_dtype(g, op, "weight", weight, x->dtype) || !peft_check_dtype(g, op, "labels", labels, PEFT_I32) ||
        !peft_check_vector(g, op, "labels", labels, peft_rows(x)))
        return NULL;
    if (bias && (!peft_check_vector(g, op, "bias", bias, peft_rows(weight)) ||
                 !peft_check_dtype(g, op, "bias", bias, x->dtype)))
        return NULL;
    const peft_cross_entropy_attributes attributes = {label_smoothing, normalizer};
    if (!check_attributes(g, op, &attributes)) return NULL;
    peft_tensor *inputs[] = {x, weight, bias, labels};
    peft_node *node = peft_graph_append(g, PEFT_OP_linear_cross_entropy, 4, inputs, &attributes, sizeof attributes);
    peft_tensor *loss = peft_node_output(g, node, x->dtype, peft_shape_1(1));
    peft_node_output(g, node, x->dtype, peft_shape_1(peft_rows(x)));
    return peft_graph_failed(g) ? NULL : loss;
}
