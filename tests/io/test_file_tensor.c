/* Tests of io/file_tensor.c: conversions agree with the definition of each type, at any address. */
#include "io/file_tensor.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/io/scratch.h"

static peft_error error;

/* Converts one element that lies `offset` bytes after an aligned address. */
static float convert(peft_dtype dtype, const void *element, size_t offset)
{
    unsigned char room[16];
    float value;
    memcpy(room + offset, element, peft_dtype_bytes(dtype));
    peft_file_tensor tensor = {.name = "t", .dtype = dtype, .data = room + offset, .bytes = peft_dtype_bytes(dtype)};
    ck_assert_int_eq(peft_file_tensor_read_f32(&tensor, &value, &error), PEFT_OK);
    return value;
}

static void expect_same(float found, double expected, unsigned bits)
{
    ck_assert_msg(isnan(expected) ? isnan(found) : (double)found == expected && !signbit(found) == !signbit(expected),
                  "0x%04x: expected %.9g, found %.9g", bits, expected, (double)found);
}

/* (-1)^s 2^(e - bias) (1 + f / 2^width), with the usual exceptions at the ends of the exponent. */
static double by_definition(unsigned bits, int exponent_bits, int fraction_bits)
{
    int top = (1 << exponent_bits) - 1, bias = top / 2;
    int exponent = (int)(bits >> fraction_bits) & top;
    double fraction = ldexp((double)(bits & ((1u << fraction_bits) - 1)), -fraction_bits);
    double sign = bits >> (exponent_bits + fraction_bits) ? -1 : 1;
    if (exponent == top) return fraction > 0 ? (double)NAN : sign * (double)INFINITY;
    return exponent ? sign * ldexp(1 + fraction, exponent - bias) : sign * ldexp(fraction, 1 - bias);
}

START_TEST(every_f16_is_exact)
{
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        uint16_t half = (uint16_t)bits;
        expect_same(convert(PEFT_F16, &half, bits & 1), by_definition(bits, 5, 10), bits);
    }
}
END_TEST

START_TEST(every_bf16_is_exact)
{
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        uint16_t upper = (uint16_t)bits;
        expect_same(convert(PEFT_BF16, &upper, bits & 1), by_definition(bits, 8, 7), bits);
    }
}
END_TEST

/* ---- writing ---- */

static uint16_t narrowed(float value, peft_dtype dtype, bool *within)
{
    uint16_t bits;
    *within = peft_floats_write(&value, 1, dtype, &bits);
    return bits;
}

static const struct {
    peft_dtype dtype;
    int exponent_bits, fraction_bits;
} narrow[] = {{PEFT_F16, 5, 10}, {PEFT_BF16, 8, 7}};

/* What is between two neighbours goes to the nearer one, and from the middle to the even one. */
START_TEST(every_16_bit_number_and_what_lies_between_is_rounded_right)
{
    int e = narrow[_i].exponent_bits, f = narrow[_i].fraction_bits;
    unsigned infinity = ((1u << e) - 1) << f;
    bool within;
    for (unsigned bits = 0; bits < infinity; bits++) {
        double low = by_definition(bits, e, f),
               high = bits + 1 < infinity ? by_definition(bits + 1, e, f) : 2 * low - by_definition(bits - 1, e, f);
        double middle = (low + high) / 2;
        unsigned even = bits & 1 ? bits + 1 : bits;
        ck_assert_uint_eq(narrowed((float)low, narrow[_i].dtype, &within), bits);
        ck_assert(within);
        ck_assert_uint_eq(narrowed(-(float)low, narrow[_i].dtype, &within), bits | 0x8000);
        if ((double)(float)middle != middle) continue; /* only among the smallest bfloat16 */
        ck_assert_uint_eq(narrowed((float)middle, narrow[_i].dtype, &within), even);
        ck_assert_int_eq(within, even < infinity);
        ck_assert_uint_eq(narrowed(nextafterf((float)middle, 0), narrow[_i].dtype, &within), bits);
        ck_assert_uint_eq(narrowed(nextafterf((float)middle, INFINITY), narrow[_i].dtype, &within), bits + 1);
    }
    ck_assert_uint_eq(narrowed(-INFINITY, narrow[_i].dtype, &within), infinity | 0x8000);
    ck_assert(within);
    ck_assert_uint_gt(narrowed(NAN, narrow[_i].dtype, &within) & 0x7FFFu, infinity);
    ck_assert(within);
    narrowed(FLT_MAX, narrow[_i].dtype, &within);
    ck_assert(!within);
}
END_TEST

START_TEST(floats_are_written_as_they_are_and_other_types_refused)
{
    static const float values[] = {1.5F, -0.0F, 1e-40F};
    float copy[3];
    int64_t integers[3];
    ck_assert(peft_floats_write(values, 3, PEFT_F32, copy));
    ck_assert_mem_eq(copy, values, sizeof copy);
    ck_assert(!peft_floats_write(values, 3, PEFT_I64, integers));
    ck_assert(peft_floats_write(NULL, 0, PEFT_F16, NULL));
}
END_TEST

START_TEST(f32_is_copied_and_f64_rounded)
{
    static const double values[] = {0, -0.0, 1.5, 0.1, -1e-40, 1e300, -1e300, 0x1p-200, (double)INFINITY, (double)NAN};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        float single = (float)values[i];
        expect_same(convert(PEFT_F32, &single, i % 4), (double)single, (unsigned)i);
        expect_same(convert(PEFT_F64, &values[i], i % 8), (double)single, (unsigned)i);
    }
}
END_TEST

START_TEST(integers_are_refused)
{
    float value;
    peft_file_tensor tensor = {.name = "ids", .dtype = PEFT_I64, .path = "m.safetensors", .data = "", .bytes = 0};
    ck_assert_int_eq(peft_file_tensor_read_f32(&tensor, &value, &error), PEFT_ERR_DTYPE);
    ck_assert_str_eq(error.message, "m.safetensors: ids: expected F32, F16, BF16 or F64, found I64");
}
END_TEST

START_TEST(the_first_element_that_is_not_finite_is_named)
{
    const double values[3] = {1, 1e300, (double)NAN}; /* the second is infinite as a float */
    float read[3];
    peft_file_tensor tensor = {
        .name = "t", .dtype = PEFT_F64, .shape = peft_shape_1(3), .data = values, .bytes = sizeof values, .path = "m"};
    ck_assert_int_eq(peft_file_tensor_read_finite(&tensor, read, &error), PEFT_ERR_NUMERIC);
    ck_assert_str_eq(error.message, "m: t: element 1 is inf");
    tensor.shape = peft_shape_1(1);
    tensor.bytes = sizeof *values;
    ck_assert_int_eq(peft_file_tensor_read_finite(&tensor, read, &error), PEFT_OK);
    ck_assert_double_eq((double)read[0], 1);
}
END_TEST

START_TEST(no_elements_are_no_work)
{
    peft_file_tensor tensor = {.name = "t", .dtype = PEFT_F32};
    ck_assert_int_eq(peft_file_tensor_read_f32(&tensor, NULL, &error), PEFT_OK);
}
END_TEST

static const struct {
    peft_shape shape;
    peft_dtype dtype;
    int64_t count;
} counts[] = {
    {{0, {0}}, PEFT_F32, 1},
    {{3, {2, 3, 4}}, PEFT_F64, 24},
    {{2, {0, 5}}, PEFT_F32, 0},
    {{1, {-1}}, PEFT_U8, -1},
    {{2, {0, -1}}, PEFT_U8, -1},
    {{1, {INT64_MAX}}, PEFT_U8, INT64_MAX},
    {{1, {INT64_MAX}}, PEFT_F16, -1},
    {{1, {INT64_MAX / 8}}, PEFT_F64, INT64_MAX / 8},
    {{1, {INT64_MAX / 8 + 1}}, PEFT_F64, -1},
    {{2, {INT64_MAX, 2}}, PEFT_U8, -1},
    {{4, {1LL << 16, 1LL << 16, 1LL << 16, 1LL << 16}}, PEFT_U8, -1},
    {{3, {0, 1LL << 40, 1LL << 40}}, PEFT_U8, -1},
};

START_TEST(counts_that_overflow_are_refused)
{
    ck_assert_int_eq(peft_shape_checked_count(&counts[_i].shape, counts[_i].dtype), counts[_i].count);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("file_tensor");
    tcase_add_test(tests, every_f16_is_exact);
    tcase_add_test(tests, every_bf16_is_exact);
    tcase_add_test(tests, f32_is_copied_and_f64_rounded);
    tcase_add_loop_test(tests, every_16_bit_number_and_what_lies_between_is_rounded_right, 0, 2);
    tcase_add_test(tests, floats_are_written_as_they_are_and_other_types_refused);
    tcase_add_test(tests, integers_are_refused);
    tcase_add_test(tests, the_first_element_that_is_not_finite_is_named);
    tcase_add_test(tests, no_elements_are_no_work);
    tcase_add_loop_test(tests, counts_that_overflow_are_refused, 0, sizeof counts / sizeof counts[0]);
    return run_tests(tests);
}
