#include "ops/describe/low_rank.h"

#include "ops/describe/check.h"
#include "ops/ops.h"

static bool check_factors(peft_graph *g, const char *op, const peft_tensor *x, const peft_tensor *A,
                          const peft_tensor *B, int64_t sequences, peft_low_rank_attributes *a)
{
    if (!peft_check_dtype(g, op, "A", A, x->dtype) || !peft_check_dtype(g, op, "B", B, x->dtype)) return false;
    a->per_sequence = A->shape.ndim == 3;
    a->in_features = peft_columns(x);
    a->rank = A->shape.ndim >= 2 ? A->shape.size[A->shape.ndim - 2] : 0;
    a->out_features = B->shape.ndim >= 2 ? B->shape.size[B->shape.ndim - 2] : 0;
    if (!a->per_sequence)
        return peft_check_matrix(g, op, "A", A, PEFT_ANY_SIZE, a->in_features) &&
               peft_check_matrix(g, op, "B", B, PEFT_ANY_SIZE, a->rank);
    if (!sequences) return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: an adapter for each sequence needs starts", op);
    const int64_t sizes_A[] = {sequences, PEFT_ANY_SIZE, a->in_features};
    const int64_t sizes_B[] = {sequences, PEFT_ANY_SIZE, a->rank};
    return peft_check_shape(g, op, "A", A, 3, sizes_A) && peft_check_shape(g, op, "B", B, 3, sizes_B);
}

static bool check_gate(peft_graph *g, const char *op, const peft_tensor *x, const peft_tensor *gate, int64_t sequences,
                       peft_low_rank_attributes *a)
{
    a->repeat = 1;
    if (!gate) return true;
    if (!peft_check_dtype(g, op, "gate", gate, x->dtype)) return false;
    int64_t entries = peft_columns(gate);
    if (entries < 1 || a->rank % entries)
        return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s: gate: expected entries that divide the rank %lld, found %lld",
                               op, (long long)a->rank, (long long)entries);
    a->repeat = a->rank / entries;
    a->gate = gate->shape.ndim == 1                           ? PEFT_GATE_FEATURE
              : sequences && gate->shape.size[0] == sequences ? PEFT_GATE_SEQUENCE
                                                              : PEFT_GATE_TOKEN;
    if (a->gate == PEFT_GATE_TOKEN) return peft_check_matrix(g, op, "gate", gate, peft_rows(x), entries);
    return a->gate == PEFT_GATE_FEATURE || peft_check_matrix(g, op, "gate", gate, sequences, entries);
}

peft_tensor *peft_low_rank(peft_graph *g, peft_tensor *y0, peft_tensor *x, peft_tensor *A, peft_tensor *B,
                           peft_tensor *gate, peft_tensor *starts, double scale)
{
    const char *op = "low_rank";
    if (!peft_check_real(g, op, "x", x) || !peft_check_matrix(g, op, "x", x, PEFT_ANY_SIZE, PEFT_ANY_SIZE) ||
        (starts && !peft_check_starts(g, op, "starts", starts, peft_rows(x))))
        return NULL;
    int64_t sequences = starts ? starts->shape.size[0] - 1 : 0;
    peft_low_rank_attributes a = {.scale = scale};
    if (!check_factors(g, op, x, A, B, sequences, &a) || !check_gate(g, op, x, gate, sequences, &a)) return NULL;
    if (y0 && (!peft_check_matrix(g, op, "y0", y0, peft_rows(x), a.out_features) ||
               !peft_check_dtype(g, op, "y0", y0, x->dtype)))
        return NULL;
    peft_tensor *inputs[LOW_RANK_INPUTS] = {y0, x, A, B, gate, starts};
    peft_node *node = peft_graph_append(g, PEFT_OP_low_rank, LOW_RANK_INPUTS, inputs, &a, sizeof a);
    peft_tensor *y = peft_node_output(g, node, x->dtype, peft_shape_2(peft_rows(x), a.out_features));
    peft_node_output(g, node, x->dtype, peft_shape_2(peft_rows(x), a.rank));
    return peft_graph_failed(g) ? NULL : y;
}
