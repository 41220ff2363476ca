#include "io/file_tensor.h"

#include <math.h>
#include <string.h>

#include "ops/bf16.h"
#include "ops/stored.h"

static void read_f64(const unsigned char *in, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, in + i * sizeof value, sizeof value);
        out[i] = (float)value;
    }
}

peft_status peft_file_tensor_read_f32(const peft_file_tensor *tensor, float *out, peft_error *error)
{
    peft_format format;
    size_t count = tensor->bytes / peft_dtype_bytes(tensor->dtype);
    if (peft_format_of(tensor->dtype, &format))
        peft_format_read(format, tensor->data, (int64_t)count, out);
    else if (tensor->dtype == PEFT_F64)
        read_f64(tensor->data, count, out);
    else
        return peft_fail(error, PEFT_ERR_DTYPE, "%s: %s: expected F32, F16, BF16 or F64, found %s",
                         tensor->path ? tensor->path : "tensor", tensor->name, peft_dtype_name(tensor->dtype));
    return PEFT_OK;
}

peft_status peft_file_tensor_read_finite(const peft_file_tensor *tensor, float *out, peft_error *error)
{
    peft_status status = peft_file_tensor_read_f32(tensor, out, error);
    const int64_t count = peft_shape_count(&tensor->shape);
    for (int64_t i = 0; i < count && status == PEFT_OK; i++)
        if (!isfinite(out[i]))
            status = peft_fail(error, PEFT_ERR_NUMERIC, "%s: %s: element %lld is %g",
                               tensor->path ? tensor->path : "tensor", tensor->name, (long long)i, (double)out[i]);
    return status;
}

/* ---- writing ---- */

static bool write_f32(const float *in, int64_t count, void *out)
{
    if (count) memcpy(out, in, (size_t)count * sizeof *in);
    return true;
}

enum { SIGN = 0x8000, BF16_INFINITY = 0x7F80, F16_INFINITY = 0x7C00, QUIET_NAN = 0x40 };

static uint16_t float_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return peft_bf16_of_bits(bits);
}

static uint16_t float_to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & SIGN, magnitude = bits & 0x7FFFFFFF;
    float size = fabsf(value);
    if (isnan(value)) return (uint16_t)(sign | F16_INFINITY | QUIET_NAN);
    if (size < 0x1p-14f) return (uint16_t)(sign | (uint32_t)lrintf(size * 0x1p24f)); /* multiples of 2^-24 */
    if (size >= 65520.0F) return (uint16_t)(sign | F16_INFINITY);
    return (uint16_t)(sign | peft_cut_bits(magnitude - (112U << 23), 13)); /* another bias of the exponent */
}

static bool write_16(const float *in, int64_t count, uint16_t (*convert)(float), uint32_t infinity, void *out)
{
    uint16_t *to = out;
    bool within = true;
    for (int64_t i = 0; i < count; i++) {
        to[i] = convert(in[i]);
        within &= (to[i] & ~(uint32_t)SIGN) != infinity || !isfinite(in[i]);
    }
    return within;
}

static bool write_bf16(const float *in, int64_t count, void *out)
{
    return write_16(in, count, float_to_bf16, BF16_INFINITY, out);
}

static bool write_f16(const float *in, int64_t count, void *out)
{
    return write_16(in, count, float_to_half, F16_INFINITY, out);
}

static bool (*const writers[PEFT_NUM_DTYPES])(const float *, int64_t, void *) = {
    [PEFT_F32] = write_f32,
    [PEFT_BF16] = write_bf16,
    [PEFT_F16] = write_f16,
};

bool peft_floats_write(const float *values, int64_t count, peft_dtype dtype, void *out)
{
    return writers[dtype] && writers[dtype](values, count, out);
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
