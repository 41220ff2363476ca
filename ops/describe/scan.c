#include "ops/describe/scan.h"

#include <math.h>

#include "ops/describe/check.h"
#include "ops/ops.h"

/* What both scans ask for. A's first dimension, and that of skip, is `units`, to which a column of delta belongs. */
static bool check_scan(peft_graph *g, const char *op, peft_tensor *const in[SCAN_INPUTS], int64_t units)
{
    static const char *const names[] = {"x", "delta", "A", "B", "C", "skip"};
    const peft_tensor *x = in[SCAN_X];
    for (int i = SCAN_DELTA; i <= SCAN_SKIP; i++)
        if ((in[i] || i != SCAN_SKIP) && !peft_check_dtype(g, op, names[i], in[i], x->dtype)) return false;
    return peft_check_matrix(g, op, "delta", in[SCAN_DELTA], peft_rows(x), units) &&
           peft_check_matrix(g, op, "B", in[SCAN_B], peft_rows(x), PEFT_ANY_SIZE) &&
           peft_check_matrix(g, op, "C", in[SCAN_C], peft_rows(x), peft_columns(in[SCAN_B])) &&
           (!in[SCAN_SKIP] || peft_check_vector(g, op, "skip", in[SCAN_SKIP], units)) &&
           peft_check_starts(g, op, "starts", in[SCAN_STARTS], peft_rows(x));
}

static int64_t longest(const peft_tensor *starts)
{
    const int32_t *start = starts->host;
    int64_t most = 1;
    for (int64_t s = 0; s + 1 < starts->shape.size[0]; s++)
        if (start[s + 1] - start[s] > most) most = start[s + 1] - start[s];
    return most;
}

static int64_t num_chunks(const peft_tensor *starts, int64_t chunk)
{
    return peft_scan_chunks_before(starts->host, starts->shape.size[0] - 1, chunk);
}

peft_tensor *peft_selective_scan(peft_graph *g, peft_tensor *x, peft_tensor *delta, peft_tensor *A, peft_tensor *B,
                                 peft_tensor *C, peft_tensor *skip, peft_tensor *starts)
{
    const char *op = "selective_scan";
    peft_tensor *inputs[] = {x, delta, A, B, C, skip, starts};
    if (!peft_check_real(g, op, "x", x) || !peft_check_matrix(g, op, "x", x, PEFT_ANY_SIZE, PEFT_ANY_SIZE) ||
        !check_scan(g, op, inputs, peft_columns(x)) ||
        !peft_check_matrix(g, op, "A", A, peft_columns(x), peft_columns(B)))
        return NULL;
    const peft_scan_attributes a = {(int64_t)ceil(sqrt((double)longest(starts)))};
    peft_node *node = peft_graph_append(g, PEFT_OP_selective_scan, SCAN_INPUTS, inputs, &a, sizeof a);
    peft_tensor *y = peft_node_output(g, node, x->dtype, x->shape);
    peft_node_output(g, node, x->dtype, peft_shape_3(num_chunks(starts, a.chunk), peft_columns(B), peft_columns(x)));
    return peft_graph_failed(g) ? NULL : y;
}

peft_tensor *peft_ssd(peft_graph *g, peft_tensor *x, peft_tensor *delta, peft_tensor *A, peft_tensor *B, peft_tensor *C,
                      peft_tensor *skip, peft_tensor *starts, int64_t chunk)
{
    const char *op = "ssd";
    peft_tensor *inputs[] = {x, delta, A, B, C, skip, starts};
    if (!peft_check_real(g, op, "x", x) || !peft_check_matrix(g, op, "x", x, PEFT_ANY_SIZE, PEFT_ANY_SIZE) ||
        !peft_check_given(g, op, "A", A) || !peft_check_vector(g, op, "A", A, PEFT_ANY_SIZE))
        return NULL;
    const int64_t heads = A->shape.size[0];
    if (heads < 1 || peft_columns(x) % heads)
        return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s: A: expected a divisor of %lld columns, found %lld heads", op,
                               (long long)peft_columns(x), (long long)heads);
    if (chunk < 1)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: chunk: expected 1 or more, found %lld", op, (long long)chunk);
    if (!check_scan(g, op, inputs, heads)) return NULL;
    const peft_scan_attributes a = {chunk < longest(starts) ? chunk : longest(starts)};
    peft_node *node = peft_graph_append(g, PEFT_OP_ssd, SCAN_INPUTS, inputs, &a, sizeof a);
    peft_tensor *y = peft_node_output(g, node, x->dtype, x->shape);
    peft_node_output(g, node, x->dtype, peft_shape_3(num_chunks(starts, a.chunk), peft_columns(B), peft_columns(x)));
    return peft_graph_failed(g) ? NULL : y;
}
