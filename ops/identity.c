#include "ops/graph_internal.h"
#include "ops/ops.h"

peft_tensor *peft_identity(peft_graph *g, peft_dtype dtype, int64_t size)
{
    if (peft_graph_failed(g)) return NULL;
    if ((dtype != PEFT_F32 && dtype != PEFT_F64) || size < 0)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "identity: expected a real type and a size, found %s and %lld",
                               peft_dtype_name(dtype), (long long)size);
    void *data = peft_arena_take(&g->arena, (size_t)(size * size) * peft_dtype_bytes(dtype));
    if (!data) return peft_graph_fail(g, PEFT_ERR_MEMORY, "identity: out of memory for %lld rows", (long long)size);
    for (int64_t k = 0; k < size * size; k += size + 1) {
        if (dtype == PEFT_F32)
            ((float *)data)[k] = 1;
        else
            ((double *)data)[k] = 1;
    }
    return peft_constant(g, dtype, peft_shape_2(size, size), data, "identity");
}
