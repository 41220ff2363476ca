/* ops/tensor.h - element types and shapes: what a value looks like, apart from where it lives. */
#ifndef PEFT_OPS_TENSOR_H
#define PEFT_OPS_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* name in C, name in safetensors, bytes */
#define PEFT_DTYPE_MAP(X)                                                                                              \
    X(F32, "F32", 4)                                                                                                   \
    X(F64, "F64", 8) /* in graphs: portable kernels only, for gradient checks */                                       \
    X(BF16, "BF16", 2)                                                                                                 \
    X(F16, "F16", 2)                                                                                                   \
    X(I64, "I64", 8)                                                                                                   \
    X(I32, "I32", 4)                                                                                                   \
    X(U8, "U8", 1)                                                                                                     \
    X(BOOL, "BOOL", 1)

typedef enum peft_dtype {
#define X(name, text, bytes) PEFT_##name,
    PEFT_DTYPE_MAP(X)
#undef X
        PEFT_NUM_DTYPES
} peft_dtype;

PEFT_API const char *peft_dtype_name(peft_dtype dtype); /* "F32" */
PEFT_API size_t peft_dtype_bytes(peft_dtype dtype);     /* 4 */

enum { PEFT_MAX_DIMS = 4 };

/* Outermost dimension first, as in PyTorch and safetensors; row-major without gaps. ndim 0 is a single element. */
typedef struct peft_shape {
    int32_t ndim;
    int64_t size[PEFT_MAX_DIMS];
} peft_shape;

PEFT_API peft_shape peft_shape_1(int64_t a);
PEFT_API peft_shape peft_shape_2(int64_t a, int64_t b);
PEFT_API peft_shape peft_shape_3(int64_t a, int64_t b, int64_t c);
PEFT_API int64_t peft_shape_count(const peft_shape *shape); /* number of elements */
PEFT_API bool peft_shape_equal(const peft_shape *a, const peft_shape *b);

/* "[8, 768]"; `text` needs PEFT_SHAPE_TEXT bytes and is returned. */
enum { PEFT_SHAPE_TEXT = 96 };
PEFT_API const char *peft_shape_text(const peft_shape *shape, char text[PEFT_SHAPE_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
