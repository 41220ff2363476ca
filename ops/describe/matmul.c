#include "ops/describe/matmul.h"

#include "ops/describe/check.h"
#include "ops/ops.h"

peft_tensor *peft_matmul(peft_graph *g, peft_tensor *a, bool transpose_a, peft_tensor *b, bool transpose_b)
{
    const char *op = "matmul";
    if (!peft_check_real(g, op, "a", a) || !peft_check_dtype(g, op, "b", b, a->dtype)) return NULL;
    int32_t ndim = a->shape.ndim == 3 ? 3 : 2, first = ndim - 2;
    const int64_t any[] = {PEFT_ANY_SIZE, PEFT_ANY_SIZE, PEFT_ANY_SIZE};
    if (!peft_check_shape(g, op, "a", a, ndim, any)) return NULL;
    int64_t m = a->shape.size[first + transpose_a], k = a->shape.size[first + !transpose_a];
    int64_t sizes[] = {a->shape.size[0], PEFT_ANY_SIZE, PEFT_ANY_SIZE};
    sizes[first + transpose_b] = k;
    sizes[first + !transpose_b] = PEFT_ANY_SIZE;
    if (!peft_check_shape(g, op, "b", b, ndim, sizes)) return NULL;
    peft_tensor *inputs[] = {a, b};
    peft_matmul_attributes attributes = {transpose_a, transpose_b};
    peft_node *node = peft_graph_append(g, PEFT_OP_matmul, 2, inputs, &attributes, sizeof attributes);
    int64_t n = b->shape.size[first + !transpose_b];
    return peft_node_output(g, node, a->dtype, ndim == 3 ? peft_shape_3(a->shape.size[0], m, n) : peft_shape_2(m, n));
}
