#include "ops/describe/check.h"

#include "ops/engine/graph_internal.h"

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

bool peft_check_dimension(peft_graph *g, const char *op, const peft_tensor *x, int32_t dim)
{
    return (dim >= 0 && dim < x->shape.ndim) ||
           peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: dimension: expected less than %d, found %d", op, x->shape.ndim,
                           dim);
}

bool peft_check_starts(peft_graph *g, const char *op, const char *what, peft_tensor *starts, int64_t tokens)
{
    if (!peft_check_dtype(g, op, what, starts, PEFT_I32) || !peft_check_vector(g, op, what, starts, PEFT_ANY_SIZE))
        return false;
    int64_t sequences = starts->shape.size[0] - 1;
    if (sequences < 1) return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s: %s: expected [sequences + 1]", op, what);
    const int32_t *start = starts->host;
    if (!starts->leaf || !start)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: %s: expected a leaf with values", op, what);
    if (start[0] != 0)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: %s[0]: expected 0, found %d", op, what, start[0]);
    for (int64_t s = 0; s < sequences; s++)
        if (start[s + 1] <= start[s])
            return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: %s[%lld]: expected more than %d, found %d", op, what,
                                   (long long)s + 1, start[s], start[s + 1]);
    if (start[sequences] == tokens) return peft_graph_rely_on(g, starts);
    return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: %s[%lld]: expected %lld tokens, found %d", op, what,
                           (long long)sequences, (long long)tokens, start[sequences]);
}

bool peft_check_no_gradient(peft_graph *g, const char *op, const char *what, const peft_tensor *t)
{
    return !t->requires_grad ||
           peft_graph_fail(g, PEFT_ERR_UNSUPPORTED, "%s: %s: its gradient is not computed", op, what);
}
