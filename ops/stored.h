/* ops/stored.h - numbers as a file has them, and how they become floats.
 *
 *   F32, F16, BF16   one after another, each exactly a float
 *   Q8_0             blocks of 32 numbers: a scale d in F16, then 32 integers q from -127 to 127; a number is d q
 *
 * A matrix may be stored transposed, as GPT-2 has its layers: [columns, rows]. Blocks lie along rows, which hold whole
 * ones, and are not transposed. */
#ifndef PEFT_OPS_STORED_H
#define PEFT_OPS_STORED_H

#include "ops/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum peft_format {
    PEFT_FORMAT_F32,
    PEFT_FORMAT_F16,
    PEFT_FORMAT_BF16,
    PEFT_FORMAT_Q8_0,
    PEFT_NUM_FORMATS
} peft_format;

PEFT_API const char *peft_format_name(peft_format format); /* "Q8_0" */

/* The format of numbers of this type; false: there is none. */
PEFT_API bool peft_format_of(peft_dtype dtype, peft_format *format);

/* So many numbers, whole blocks of them, from any address. */
PEFT_API void peft_format_read(peft_format format, const void *from, int64_t count, float *to);

typedef struct peft_stored {
    const void *data; /* at any address, but for F32, whose numbers lie as the CPU's floats do */
    peft_format format;
    bool transposed;
} peft_stored;

/* PEFT_ERR_SHAPE, PEFT_ERR_UNSUPPORTED: this shape cannot be stored so. */
PEFT_API peft_status peft_stored_check(const peft_stored *stored, const peft_shape *shape, peft_error *error);

/* Of all numbers of the shape. */
PEFT_API size_t peft_stored_bytes(const peft_stored *stored, const peft_shape *shape);

/* Rows first ... first + count - 1 of a matrix [rows, columns] -> to [count, columns] */
PEFT_API void peft_stored_read(const peft_stored *stored, int64_t rows, int64_t columns, int64_t first, int64_t count,
                               float *to);

#ifdef __cplusplus
}
#endif
#endif
