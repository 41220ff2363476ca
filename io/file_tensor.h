/* io/file_tensor.h - a tensor as it lies in a file: name, type, shape, and bytes at any address. */
#ifndef PEFT_IO_FILE_TENSOR_H
#define PEFT_IO_FILE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/status.h"
#include "ops/tensor.h"

/* Borrowed from the open file. `data` may have any address: a file aligns nothing. */
typedef struct peft_file_tensor {
    const char *name;
    peft_dtype dtype;
    peft_shape shape;
    const void *data;
    size_t bytes;
    const char *path; /* the file it was read from, for messages; ignored by the writer, may be NULL */
} peft_file_tensor;

/* Converts to float: F32, F16 and BF16 exactly, F64 rounded to the nearest. out [number of elements]. PEFT_ERR_DTYPE
 * for integers. */
peft_status peft_file_tensor_read_f32(const peft_file_tensor *tensor, float *out, peft_error *error);

/* The same, and PEFT_ERR_NUMERIC that names the first element that is not finite. */
peft_status peft_file_tensor_read_finite(const peft_file_tensor *tensor, float *out, peft_error *error);

/* The other way round, each number rounded to the nearest, ties to even: values [count] to PEFT_F32, PEFT_F16 or
 * PEFT_BF16 in `out`. False: a finite number is beyond the type's range, or it is another type. */
bool peft_floats_write(const float *values, int64_t count, peft_dtype dtype, void *out);

/* Elements of a shape, or -1 if it has a negative dimension or dtype and shape take more bytes than memory can have. A
 * dimension of 0 does not excuse the others: products over part of a shape are safe as well. */
int64_t peft_shape_checked_count(const peft_shape *shape, peft_dtype dtype);

#endif
