#include "io/file_tensor.h"

#include <string.h>

/* The exponent of a half-precision number says what it is: 0 a multiple of 2^-24, 31 infinity or NaN. */
static float half_to_float(uint16_t half)
{
    uint32_t exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f;
        return half >> 15 ? -magnitude : magnitude;
    }
    uint32_t wide = exponent == 31 ? 255 : exponent + (127 - 15);
    uint32_t bits = (uint32_t)(half >> 15) << 31 | wide << 23 | fraction << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void read_f32(const unsigned char *in, size_t count, float *out)
{
    if (count) memcpy(out, in, count * sizeof *out);
}

static void read_f64(const unsigned char *in, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, in + i * sizeof value, sizeof value);
        out[i] = (float)value;
    }
}

/* BF16 is the upper half of a float. */
static void read_bf16(const unsigned char *in, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t upper;
        memcpy(&upper, in + i * sizeof upper, sizeof upper);
        uint32_t bits = (uint32_t)upper << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static void read_f16(const unsigned char *in, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, in + i * sizeof half, sizeof half);
        out[i] = half_to_float(half);
    }
}

static void (*const readers[PEFT_NUM_DTYPES])(const unsigned char *, size_t, float *) = {
    [PEFT_F32] = read_f32,
    [PEFT_F64] = read_f64,
    [PEFT_BF16] = read_bf16,
    [PEFT_F16] = read_f16,
};

peft_status peft_file_tensor_read_f32(const peft_file_tensor *tensor, float *out, peft_error *error)
{
    if (!readers[tensor->dtype])
        return peft_fail(error, PEFT_ERR_DTYPE, "%s: %s: expected F32, F16, BF16 or F64, found %s",
                         tensor->path ? tensor->path : "tensor", tensor->name, peft_dtype_name(tensor->dtype));
    readers[tensor->dtype](tensor->data, tensor->bytes / peft_dtype_bytes(tensor->dtype), out);
    return PEFT_OK;
}

int64_t peft_shape_checked_count(const peft_shape *shape, peft_dtype dtype)
{
    int64_t room = PTRDIFF_MAX / (int64_t)peft_dtype_bytes(dtype);
    bool empty = false;
    for (int32_t d = 0; d < shape->ndim; d++) {
        if (shape->size[d] < 0) return -1;
        if (shape->size[d] == 0)
            empty = true;
        else
            room /= shape->size[d];
    }
    if (room == 0) return -1;
    return empty ? 0 : peft_shape_count(shape);
}
