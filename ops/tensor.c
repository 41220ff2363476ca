#include "ops/tensor.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    const char *name;
    size_t bytes;
} dtypes[PEFT_NUM_DTYPES] = {
#define X(name, text, bytes) [PEFT_##name] = {text, bytes},
    PEFT_DTYPE_MAP(X)
#undef X
};

const char *peft_dtype_name(peft_dtype dtype)
{
    return (unsigned)dtype < PEFT_NUM_DTYPES ? dtypes[dtype].name : "unknown";
}

size_t peft_dtype_bytes(peft_dtype dtype)
{
    return (unsigned)dtype < PEFT_NUM_DTYPES ? dtypes[dtype].bytes : 0;
}

peft_shape peft_shape_1(int64_t a)
{
    return (peft_shape){1, {a}};
}

peft_shape peft_shape_2(int64_t a, int64_t b)
{
    return (peft_shape){2, {a, b}};
}

peft_shape peft_shape_3(int64_t a, int64_t b, int64_t c)
{
    return (peft_shape){3, {a, b, c}};
}

int64_t peft_shape_count(const peft_shape *shape)
{
    int64_t count = 1;
    for (int32_t d = 0; d < shape->ndim; d++) count *= shape->size[d];
    return count;
}

bool peft_shape_equal(const peft_shape *a, const peft_shape *b)
{
    if (a->ndim != b->ndim) return false;
    for (int32_t d = 0; d < a->ndim; d++)
        if (a->size[d] != b->size[d]) return false;
    return true;
}

const char *peft_shape_text(const peft_shape *shape, char text[PEFT_SHAPE_TEXT])
{
    int used = snprintf(text, PEFT_SHAPE_TEXT, "[");
    for (int32_t d = 0; d < shape->ndim; d++)
        used += snprintf(text + used, (size_t)(PEFT_SHAPE_TEXT - used), d ? ", %" PRId64 : "%" PRId64, shape->size[d]);
    snprintf(text + used, (size_t)(PEFT_SHAPE_TEXT - used), "]");
    return text;
}
