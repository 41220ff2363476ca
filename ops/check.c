#include "ops/check.h"

#include <stdio.h>

bool peft_check_given(peft_graph *g, const char *op, const char *what, const peft_tensor *t)
{
    if (peft_graph_failed(g)) return false;
    return t || peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: %s: expected a tensor, found NULL", op, what);
}

static void expected_text(char *text, size_t bytes, int32_t ndim, const int64_t *sizes)
{
    size_t used = 0;
    for (int32_t d = 0; d < ndim && used < bytes; d++) {
        const char *before = d ? ", " : "[";
        int n = sizes[d] == PEFT_ANY_SIZE ? snprintf(text + used, bytes - used, "%sany", before)
                                          : snprintf(text + used, bytes - used, "%s%lld", before, (long long)sizes[d]);
        used += (size_t)n;
    }
    if (used < bytes) snprintf(text + used, bytes - used, ndim ? "]" : "[]");
}

bool peft_check_shape(peft_graph *g, const char *op, const char *what, const peft_tensor *t, int32_t ndim,
                      const int64_t *sizes)
{
    if (!peft_check_given(g, op, what, t)) return false;
    bool fits = t->shape.ndim == ndim;
    for (int32_t d = 0; fits && d < ndim; d++) fits = sizes[d] == PEFT_ANY_SIZE || sizes[d] == t->shape.size[d];
    if (fits) return true;
    char expected[PEFT_SHAPE_TEXT], found[PEFT_SHAPE_TEXT];
    expected_text(expected, sizeof expected, ndim, sizes);
    return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s: %s%s%s: expected %s, found %s", op, what, t->name ? " " : "",
                           t->name ? t->name : "", expected, peft_shape_text(&t->shape, found));
}

bool peft_check_vector(peft_graph *g, const char *op, const char *what, const peft_tensor *t, int64_t size)
{
    return peft_check_shape(g, op, what, t, 1, &size);
}

bool peft_check_matrix(peft_graph *g, const char *op, const char *what, const peft_tensor *t, int64_t rows,
                       int64_t columns)
{
    const int64_t sizes[2] = {rows, columns};
    return peft_check_shape(g, op, what, t, 2, sizes);
}

bool peft_check_dtype(peft_graph *g, const char *op, const char *what, const peft_tensor *t, peft_dtype dtype)
{
    if (!peft_check_given(g, op, what, t)) return false;
    return t->dtype == dtype || peft_graph_fail(g, PEFT_ERR_DTYPE, "%s: %s: expected %s, found %s", op, what,
                                                peft_dtype_name(dtype), peft_dtype_name(t->dtype));
}

bool peft_check_real(peft_graph *g, const char *op, const char *what, const peft_tensor *t)
{
    if (!peft_check_given(g, op, what, t)) return false;
    return t->dtype == PEFT_F32 || t->dtype == PEFT_F64 ||
           peft_graph_fail(g, PEFT_ERR_DTYPE, "%s: %s: expected F32 or F64, found %s", op, what,
                           peft_dtype_name(t->dtype));
}

bool peft_check_starts(peft_graph *g, const char *op, const peft_tensor *starts)
{
    if (!peft_check_dtype(g, op, "starts", starts, PEFT_I32) ||
        !peft_check_vector(g, op, "starts", starts, PEFT_ANY_SIZE))
        return false;
    return starts->shape.size[0] >= 2 || peft_graph_fail(g, PEFT_ERR_SHAPE, "%s: starts: expected [sequences + 1]", op);
}
