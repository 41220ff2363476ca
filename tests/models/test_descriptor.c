/* Descriptors of weights: the same for copies, others for others. */
#include "models/descriptor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/rng.h"
#include "tests/support/main.h"

enum { COUNT = 40001 };

static float weight[COUNT], other[COUNT];
static double first[PEFT_DESCRIPTOR_SIZE], second[PEFT_DESCRIPTOR_SIZE];

static void setup(void)
{
    peft_random_normal(weight, COUNT, 0, 0.05, 1, 2);
    peft_weight_describe(weight, COUNT, first);
}

static double difference_to_other(void)
{
    peft_weight_describe(other, COUNT, second);
    return peft_descriptors_differ(first, second);
}

START_TEST(norm_and_projections_are_linear_in_the_weight)
{
    double square = 0;
    for (int i = 0; i < COUNT; i++) square += (double)weight[i] * (double)weight[i];
    ck_assert_double_eq_tol(first[0], sqrt(square), 1e-12);
    for (int i = 0; i < COUNT; i++) other[i] = -2 * weight[i];
    peft_weight_describe(other, COUNT, second);
    ck_assert_double_eq_tol(second[0], 2 * first[0], 1e-12);
    for (int k = 1; k < PEFT_DESCRIPTOR_SIZE; k++) ck_assert_double_eq_tol(second[k], -2 * first[k], 1e-10);
}
END_TEST

/* A projection of a weight of one element is its value with a sign; of many it is about as large as the norm. */
START_TEST(projections_are_sums_with_signs)
{
    memset(other, 0, sizeof other);
    int positive = 0;
    for (int i = 0; i < 400; i++) {
        other[i] = 3;
        peft_weight_describe(other, 400, second);
        other[i] = 0;
        for (int k = 1; k < PEFT_DESCRIPTOR_SIZE; k++) {
            ck_assert(second[k] == 3 || second[k] == -3);
            positive += second[k] > 0;
        }
    }
    ck_assert_int_gt(positive, 700); /* of 1600: five deviations of 20 */
    ck_assert_int_lt(positive, 900);
}
END_TEST

/* Rounding to eight bits, as bfloat16 does, changes numbers by 2^-9 at most, half of that in the mean. */
START_TEST(copies_in_16_bits_are_within_half_a_percent)
{
    for (int i = 0; i < COUNT; i++) {
        uint32_t bits;
        memcpy(&bits, &weight[i], sizeof bits);
        bits = (bits + 0x8000U) & 0xFFFF0000U;
        memcpy(&other[i], &bits, sizeof bits);
    }
    double difference = difference_to_other();
    ck_assert_double_gt(difference, 0);
    ck_assert_double_lt(difference, 0.005);
}
END_TEST

/* The estimate of |w - v| / |w| from four projections: chi with 4 degrees of freedom, from a tenth to twice. */
START_TEST(other_weights_differ_by_as_much_as_they_do)
{
    const double changes[] = {0.03, 0.3, 3};
    for (size_t c = 0; c < sizeof changes / sizeof *changes; c++) {
        peft_random_normal(other, COUNT, 0, 0.05 * changes[c], 3, 4);
        for (int i = 0; i < COUNT; i++) other[i] += weight[i];
        double difference = difference_to_other();
        ck_assert_double_gt(difference, changes[c] / 10);
        ck_assert_double_lt(difference, 2 * changes[c]);
    }
    memset(other, 0, sizeof other);
    ck_assert_double_eq_tol(difference_to_other(), 1, 0.8);
    memset(first, 0, sizeof first);
    ck_assert(difference_to_other() == 0);
    setup();
}
END_TEST

TEST_MAIN("descriptor", tcase_add_checked_fixture(tc, setup, NULL);
          tcase_add_test(tc, norm_and_projections_are_linear_in_the_weight);
          tcase_add_test(tc, projections_are_sums_with_signs);
          tcase_add_test(tc, copies_in_16_bits_are_within_half_a_percent);
          tcase_add_test(tc, other_weights_differ_by_as_much_as_they_do))
