/* ops/describe/dropout.c - random factors of each element. */
#include "ops/describe/dropout.h"

#include "ops/describe/check.h"
#include "ops/ops.h"

peft_tensor *peft_dropout(peft_graph *g, peft_tensor *x, double p, uint64_t stream, int64_t first_row)
{
    return peft_dropout_units(g, x, PEFT_DROP_ELEMENTS, p, stream, first_row);
}

peft_tensor *peft_dropout_units(peft_graph *g, peft_tensor *x, peft_dropout_unit unit, double p, uint64_t stream,
                                int64_t first_row)
{
    const char *op = "dropout";
    if (!peft_check_real(g, op, "x", x)) return NULL;
    if (!(p >= 0 && p < 1)) return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: p: expected 0 <= p < 1, found %g", op, p);
    if (p == 0) return x;
    peft_dropout_attributes a = {.p = p,
                                 .stream = stream,
                                 .first_row = first_row,
                                 .same_rows = unit & PEFT_DROP_COLUMNS,
                                 .same_columns = unit & PEFT_DROP_ROWS};
    peft_node *node = peft_graph_append(g, PEFT_OP_dropout, 1, &x, &a, sizeof a);
    return peft_node_output(g, node, x->dtype, x->shape);
}

peft_tensor *peft_jitter(peft_graph *g, peft_tensor *x, double spread, uint64_t stream, int64_t first_row)
{
    const char *op = "jitter";
    if (!peft_check_real(g, op, "x", x)) return NULL;
    if (!(spread >= 0 && spread < 1))
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: spread: expected 0 <= spread < 1, found %g", op, spread);
    if (spread == 0) return x;
    peft_jitter_attributes a = {spread, stream, first_row};
    peft_node *node = peft_graph_append(g, PEFT_OP_jitter, 1, &x, &a, sizeof a);
    return peft_node_output(g, node, x->dtype, x->shape);
}
