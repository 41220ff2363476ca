/* ops/describe/pool.c - one row for each sequence, from its tokens' rows or for them. */
#include "ops/describe/check.h"
#include "ops/engine/graph_internal.h"
#include "ops/ops.h"

static bool check_pool(peft_graph *g, const char *op, const peft_tensor *x, peft_tensor *starts)
{
    return peft_check_real(g, op, "x", x) && peft_check_matrix(g, op, "x", x, PEFT_ANY_SIZE, PEFT_ANY_SIZE) &&
           peft_check_starts(g, op, "starts", starts, peft_rows(x));
}

static peft_tensor *pool(peft_graph *g, peft_op_id id, peft_tensor *x, peft_tensor *starts, peft_tensor *counts)
{
    peft_tensor *inputs[] = {x, starts, counts};
    peft_node *node = peft_graph_append(g, id, counts ? 3 : 2, inputs, NULL, 0);
    return peft_node_output(g, node, x->dtype, peft_shape_2(starts->shape.size[0] - 1, peft_columns(x)));
}

peft_tensor *peft_mean_pool(peft_graph *g, peft_tensor *x, peft_tensor *starts)
{
    return check_pool(g, "mean_pool", x, starts) ? pool(g, PEFT_OP_mean_pool, x, starts, NULL) : NULL;
}

peft_tensor *peft_first_pool(peft_graph *g, peft_tensor *x, peft_tensor *starts)
{
    return check_pool(g, "first_pool", x, starts) ? pool(g, PEFT_OP_first_pool, x, starts, NULL) : NULL;
}

static bool check_counts(peft_graph *g, const char *op, const peft_tensor *starts, peft_tensor *counts)
{
    int64_t sequences = starts->shape.size[0] - 1;
    if (!peft_check_dtype(g, op, "counts", counts, PEFT_I32) || !peft_check_vector(g, op, "counts", counts, sequences))
        return false;
    const int32_t *start = starts->host, *count = counts->leaf ? counts->host : NULL;
    if (!count) return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: counts: expected a leaf with values", op);
    for (int64_t s = 0; s < sequences; s++)
        if (count[s] < 1 || count[s] > start[s + 1] - start[s])
            return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: counts[%lld]: expected 1 ... %d, found %d", op,
                                   (long long)s, start[s + 1] - start[s], count[s]);
    return peft_graph_rely_on(g, counts);
}

peft_tensor *peft_prefix_pool(peft_graph *g, peft_tensor *x, peft_tensor *starts, peft_tensor *counts)
{
    const char *op = "prefix_pool";
    if (!check_pool(g, op, x, starts) || !check_counts(g, op, starts, counts)) return NULL;
    return pool(g, PEFT_OP_mean_pool, x, starts, counts);
}

peft_tensor *peft_spread(peft_graph *g, peft_tensor *x, peft_tensor *starts)
{
    const char *op = "spread";
    if (!peft_check_real(g, op, "x", x) || !peft_check_dtype(g, op, "starts", starts, PEFT_I32) ||
        !peft_check_vector(g, op, "starts", starts, PEFT_ANY_SIZE))
        return NULL;
    const int32_t *start = starts->leaf ? starts->host : NULL;
    int64_t sequences = starts->shape.size[0] - 1;
    if (!start) return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: starts: expected a leaf with values", op);
    int64_t tokens = sequences > 0 ? start[sequences] : 0;
    if (!peft_check_starts(g, op, "starts", starts, tokens) ||
        !peft_check_matrix(g, op, "x", x, sequences, PEFT_ANY_SIZE))
        return NULL;
    peft_tensor *inputs[] = {x, starts};
    peft_node *node = peft_graph_append(g, PEFT_OP_spread, 2, inputs, NULL, 0);
    return peft_node_output(g, node, x->dtype, peft_shape_2(tokens, peft_columns(x)));
}
