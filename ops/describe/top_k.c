#include "ops/describe/top_k.h"

#include "ops/describe/check.h"
#include "ops/ops.h"

peft_tensor *peft_top_k(peft_graph *g, peft_tensor *x, int64_t k, double kept, double rest)
{
    const char *op = "top_k";
    if (!peft_check_real(g, op, "x", x)) return NULL;
    if (k < 1 || k > peft_columns(x))
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: k: expected 1 ... %lld, found %lld", op,
                               (long long)peft_columns(x), (long long)k);
    peft_top_k_attributes a = {k, kept, rest};
    peft_node *node = peft_graph_append(g, PEFT_OP_top_k, 1, &x, &a, sizeof a);
    peft_tensor *y = peft_node_output(g, node, x->dtype, x->shape);
    if (y) y->requires_grad = false; /* a choice does not change with small steps of x */
    return y;
}
