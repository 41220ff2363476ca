/* ops/describe/batch_norm.c - norms of columns, and of groups of them. */
#include "ops/describe/check.h"
#include "ops/ops.h"

static bool check_columns(peft_graph *g, const char *op, const char *what, const peft_tensor *x, const peft_tensor *t)
{
    return peft_check_dtype(g, op, what, t, x->dtype) && peft_check_vector(g, op, what, t, peft_columns(x));
}

static bool check_norm(peft_graph *g, const char *op, const peft_tensor *x, const peft_tensor *weight,
                       const peft_tensor *bias, double eps)
{
    if (!peft_check_real(g, op, "x", x)) return false;
    if (!(eps >= 0)) return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: eps: expected 0 or more, found %g", op, eps);
    return check_columns(g, op, "weight", x, weight) && check_columns(g, op, "bias", x, bias);
}

peft_tensor *peft_batch_norm(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias, double eps,
                             peft_moments *moments)
{
    const char *op = "batch_norm";
    if (!check_norm(g, op, x, weight, bias, eps)) return NULL;
    if (peft_rows(x) < 1) return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s: x: expected one row or more", op);
    peft_tensor *inputs[] = {x, weight, bias};
    peft_node *node = peft_graph_append(g, PEFT_OP_batch_norm, 3, inputs, &eps, sizeof eps);
    peft_tensor *y = peft_node_output(g, node, x->dtype, x->shape);
    peft_tensor *mean = peft_node_output(g, node, x->dtype, peft_shape_1(peft_columns(x)));
    peft_tensor *variance = peft_node_output(g, node, x->dtype, peft_shape_1(peft_columns(x)));
    if (moments) *moments = (peft_moments){peft_graph_keep(g, mean), peft_graph_keep(g, variance)};
    return peft_graph_failed(g) ? NULL : y;
}

/* s = weight / sqrt(variance + eps):  y = s x + (bias - s mean) */
peft_tensor *peft_batch_norm_by(peft_graph *g, peft_tensor *x, peft_moments moments, peft_tensor *weight,
                                peft_tensor *bias, double eps)
{
    const char *op = "batch_norm";
    if (!check_norm(g, op, x, weight, bias, eps) || !check_columns(g, op, "mean", x, moments.mean) ||
        !check_columns(g, op, "variance", x, moments.variance))
        return NULL;
    peft_tensor *scale = peft_mul(g, peft_power(g, peft_shift(g, moments.variance, eps), -0.5), weight);
    peft_tensor *offset = peft_add(g, bias, peft_scale(g, peft_mul(g, scale, moments.mean), -1));
    return peft_add(g, peft_mul(g, x, scale), offset);
}

/* Of one group, all columns of a sample are one row. Of several, those of a group are moved together first. */
peft_tensor *peft_group_norm(peft_graph *g, peft_tensor *x, int64_t groups, peft_tensor *weight, peft_tensor *bias,
                             double eps)
{
    const char *op = "group_norm";
    const int64_t any[] = {PEFT_ANY_SIZE, PEFT_ANY_SIZE, PEFT_ANY_SIZE};
    if (!check_norm(g, op, x, weight, bias, eps) || !peft_check_shape(g, op, "x", x, 3, any)) return NULL;
    const int64_t samples = x->shape.size[0], length = x->shape.size[1], columns = peft_columns(x);
    if (groups < 1 || columns % groups)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: groups: expected a divisor of %lld columns, found %lld", op,
                               (long long)columns, (long long)groups);
    const int32_t exchange[] = {0, 2, 1, 3};
    const int64_t each = columns / groups;
    const peft_shape apart = {4, {samples, length, groups, each}}, together = {4, {samples, groups, length, each}};
    peft_tensor *z = x;
    if (groups > 1) z = peft_permute(g, peft_reshape(g, x, apart), exchange);
    z = peft_layer_norm(g, peft_reshape(g, z, peft_shape_2(samples * groups, length * each)), NULL, NULL, eps);
    if (groups > 1) z = peft_permute(g, peft_reshape(g, z, together), exchange);
    return peft_add(g, peft_mul(g, peft_reshape(g, z, x->shape), weight), bias);
}
