#include "ops/engine/graph_internal.h"
#include "ops/ops.h"

/* Zeros that the graph holds. */
static void *take(peft_graph *g, const char *op, int64_t count, peft_dtype dtype)
{
    void *data = peft_graph_failed(g) ? NULL : peft_arena_take(&g->arena, (size_t)count * peft_dtype_bytes(dtype));
    if (!data) peft_graph_fail(g, PEFT_ERR_MEMORY, "%s: out of memory for %lld numbers", op, (long long)count);
    return data;
}

/* Ones, each `step` behind the last, among zeros. */
static peft_tensor *matrix(peft_graph *g, const char *op, peft_dtype dtype, int64_t rows, int64_t columns, int64_t step)
{
    if ((dtype != PEFT_F32 && dtype != PEFT_F64) || rows < 0 || columns < 0)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: expected a real type and sizes, found %s, %lld and %lld", op,
                               peft_dtype_name(dtype), (long long)rows, (long long)columns);
    void *data = take(g, op, rows * columns, dtype);
    for (int64_t k = 0; data && k < rows * columns; k += step) {
        if (dtype == PEFT_F32)
            ((float *)data)[k] = 1;
        else
            ((double *)data)[k] = 1;
    }
    return data ? peft_constant(g, dtype, peft_shape_2(rows, columns), data, op) : NULL;
}

peft_tensor *peft_identity(peft_graph *g, peft_dtype dtype, int64_t size)
{
    return matrix(g, "identity", dtype, size, size, size + 1);
}

peft_tensor *peft_ones(peft_graph *g, peft_dtype dtype, int64_t rows, int64_t columns)
{
    return matrix(g, "ones", dtype, rows, columns, 1);
}

peft_tensor *peft_arange(peft_graph *g, int64_t count, int64_t step)
{
    if (count < 0 || step < 0 || (step > 0 && count > INT32_MAX / step))
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "arange: expected numbers of 32 bits, found %lld steps of %lld",
                               (long long)count, (long long)step);
    int32_t *data = take(g, "arange", count, PEFT_I32);
    for (int64_t k = 0; data && k < count; k++) data[k] = (int32_t)(k * step);
    return data ? peft_constant(g, PEFT_I32, peft_shape_1(count), data, "arange") : NULL;
}

peft_tensor *peft_integers(peft_graph *g, int64_t count, int32_t **values)
{
    *values = take(g, "integers", count, PEFT_I32);
    return *values ? peft_constant(g, PEFT_I32, peft_shape_1(count), *values, "integers") : NULL;
}
