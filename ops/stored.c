#include "ops/stored.h"

#include <string.h>

#include "ops/bf16.h"

/* ---- formats ---- */

static void read_f32(const unsigned char *from, int64_t count, float *to)
{
    if (count) memcpy(to, from, (size_t)count * sizeof *to);
}

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

static float read_half(const unsigned char *from)
{
    uint16_t half;
    memcpy(&half, from, sizeof half);
    return half_to_float(half);
}

static void read_f16(const unsigned char *from, int64_t count, float *to)
{
    for (int64_t k = 0; k < count; k++) to[k] = read_half(from + (size_t)k * sizeof(uint16_t));
}

/* BF16 is the upper half of a float. */
static void read_bf16(const unsigned char *from, int64_t count, float *to)
{
    for (int64_t k = 0; k < count; k++) {
        uint16_t upper;
        memcpy(&upper, from + (size_t)k * sizeof upper, sizeof upper);
        uint32_t bits = (uint32_t)upper << 16;
        memcpy(&to[k], &bits, sizeof bits);
    }
}

enum { Q8_0_NUMBERS = 32, Q8_0_BYTES = sizeof(uint16_t) + Q8_0_NUMBERS };

static void read_q8_0(const unsigned char *from, int64_t count, float *to)
{
    for (; count > 0; count -= Q8_0_NUMBERS, from += Q8_0_BYTES, to += Q8_0_NUMBERS) {
        float scale = read_half(from);
        int8_t integers[Q8_0_NUMBERS];
        memcpy(integers, from + sizeof(uint16_t), sizeof integers);
        for (int k = 0; k < Q8_0_NUMBERS; k++) to[k] = scale * (float)integers[k];
    }
}

static const struct {
    const char *name;
    int64_t block; /* numbers that belong together */
    size_t block_bytes;
    void (*read)(const unsigned char *from, int64_t count, float *to);
} formats[PEFT_NUM_FORMATS] = {
    [PEFT_FORMAT_F32] = {"F32", 1, sizeof(float), read_f32},
    [PEFT_FORMAT_F16] = {"F16", 1, sizeof(uint16_t), read_f16},
    [PEFT_FORMAT_BF16] = {"BF16", 1, sizeof(uint16_t), read_bf16},
    [PEFT_FORMAT_Q8_0] = {"Q8_0", Q8_0_NUMBERS, Q8_0_BYTES, read_q8_0},
};

const char *peft_format_name(peft_format format)
{
    return formats[format].name;
}

bool peft_format_of(peft_dtype dtype, peft_format *format)
{
    static const struct {
        peft_dtype dtype;
        peft_format format;
    } same[] = {{PEFT_F32, PEFT_FORMAT_F32}, {PEFT_F16, PEFT_FORMAT_F16}, {PEFT_BF16, PEFT_FORMAT_BF16}};
    for (size_t k = 0; k < sizeof same / sizeof same[0]; k++)
        if (same[k].dtype == dtype) return *format = same[k].format, true;
    return false;
}

void peft_format_read(peft_format format, const void *from, int64_t count, float *to)
{
    formats[format].read(from, count, to);
}

/* ---- matrices ---- */

peft_status peft_stored_check(const peft_stored *stored, const peft_shape *shape, peft_error *error)
{
    char text[PEFT_SHAPE_TEXT];
    const char *name = peft_format_name(stored->format);
    int64_t block = formats[stored->format].block, columns = shape->ndim ? shape->size[shape->ndim - 1] : 1;
    if (stored->transposed && (block > 1 || shape->ndim != 2))
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s of shape %s cannot be stored transposed", name,
                         peft_shape_text(shape, text));
    if (columns % block)
        return peft_fail(error, PEFT_ERR_SHAPE, "%s: expected rows of a multiple of %lld numbers, found shape %s", name,
                         (long long)block, peft_shape_text(shape, text));
    return PEFT_OK;
}

static size_t bytes_of(peft_format format, int64_t count)
{
    return (size_t)(count / formats[format].block) * formats[format].block_bytes;
}

size_t peft_stored_bytes(const peft_stored *stored, const peft_shape *shape)
{
    return bytes_of(stored->format, peft_shape_count(shape));
}

/* A column of the stored matrix, which is a row of the file, has numbers of all the rows that are wanted. */
static void read_transposed(const peft_stored *s, int64_t rows, int64_t columns, int64_t first, int64_t count,
                            float *to)
{
    enum { AT_ONCE = 64 };
    float part[AT_ONCE];
    for (int64_t c = 0; c < columns; c++)
        for (int64_t r = 0; r < count; r += AT_ONCE) {
            int64_t size = count - r < AT_ONCE ? count - r : AT_ONCE;
            const char *from = (const char *)s->data + bytes_of(s->format, c * rows + first + r);
            peft_format_read(s->format, from, size, part);
            for (int64_t k = 0; k < size; k++) to[(r + k) * columns + c] = part[k];
        }
}

void peft_stored_read(const peft_stored *stored, int64_t rows, int64_t columns, int64_t first, int64_t count, float *to)
{
    if (stored->transposed) {
        read_transposed(stored, rows, columns, first, count, to);
        return;
    }
    const char *from = (const char *)stored->data + bytes_of(stored->format, first * columns);
    peft_format_read(stored->format, from, count * columns, to);
}
