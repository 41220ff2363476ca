#include <math.h>
#include <stdbool.h>

#include "ops/rng.h"
#include "tests/support/main.h"

/* philox4x32-10 of the file kat_vectors of Random123 (D. E. Shaw Research): counter, key, result. */
static const struct {
    uint32_t counter[4];
    uint64_t key;
    uint32_t expected[4];
} known[] = {
    {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     0xffffffffffffffff,
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     0x299f31d0a4093822,
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

START_TEST(philox_gives_the_published_vectors)
{
    uint32_t out[4];
    peft_philox(known[_i].key, known[_i].counter, out);
    ck_assert_mem_eq(out, known[_i].expected, sizeof out);
}
END_TEST

START_TEST(a_draw_depends_on_seed_stream_and_number)
{
    const uint64_t keys[][3] = {{1, 2, 3}, {2, 2, 3}, {1, 3, 3}, {1, 2, 4}, {1, 2, 3 + (1ULL << 32)}, {3, 2, 1}};
    enum { NUM_KEYS = sizeof keys / sizeof *keys };
    uint64_t drawn[NUM_KEYS];
    for (int k = 0; k < NUM_KEYS; k++) {
        drawn[k] = peft_random_u64(keys[k][0], keys[k][1], keys[k][2]);
        ck_assert_uint_eq(drawn[k], peft_random_u64(keys[k][0], keys[k][1], keys[k][2]));
        for (int j = 0; j < k; j++) ck_assert_uint_ne(drawn[j], drawn[k]);
    }
    ck_assert_uint_eq(peft_stream("lora_A"), peft_stream("lora_A"));
    ck_assert_uint_ne(peft_stream("lora_A"), peft_stream("lora_B"));
}
END_TEST

enum { MANY = 100000 };
static float sample[MANY];

/* Power sums of the sample around a point, divided by the count. */
static double moment(double around, int power)
{
    double total = 0;
    for (int i = 0; i < MANY; i++) total += pow((double)sample[i] - around, power);
    return total / MANY;
}

/* Five standard errors of a mean of MANY numbers: one run of the test in two million would fail, were it random. */
static void check_mean(double found, double expected, double sd)
{
    double limit = 5 * sd / sqrt(MANY);
    ck_assert_msg(fabs(found - expected) <= limit, "expected %g within %g, found %g", expected, limit, found);
}

START_TEST(uniform_numbers_fill_their_range)
{
    peft_random_uniform(sample, MANY, -2, 3, 7, 1);
    for (int i = 0; i < MANY; i++) ck_assert(sample[i] >= -2 && sample[i] <= 3);
    check_mean(moment(0, 1), 0.5, 5 / sqrt(12));
    check_mean(moment(0.5, 2), 25.0 / 12, 25 * sqrt(1.0 / 180));
}
END_TEST

START_TEST(normal_numbers_have_the_moments_of_a_normal)
{
    const double sd = 0.5;
    peft_random_normal(sample, MANY, 3, sd, 7, 1);
    check_mean(moment(3, 1), 0, sd);
    check_mean(moment(3, 2), pow(sd, 2), pow(sd, 2) * sqrt(2));
    check_mean(moment(3, 3), 0, pow(sd, 3) * sqrt(15));
    check_mean(moment(3, 4), 3 * pow(sd, 4), pow(sd, 4) * sqrt(96));
    double neighbours = 0;
    for (int i = 0; i + 1 < MANY; i++) neighbours += ((double)sample[i] - 3) * ((double)sample[i + 1] - 3);
    check_mean(neighbours / MANY, 0, sd * sd);
}
END_TEST

START_TEST(an_element_does_not_depend_on_the_number_of_elements)
{
    float few[5];
    peft_random_normal(sample, MANY, 0, 1, 3, 4);
    peft_random_normal(few, 5, 0, 1, 3, 4);
    ck_assert_mem_eq(few, sample, sizeof few);
    peft_random_uniform(sample, MANY, 0, 1, 3, 4);
    peft_random_uniform(few, 5, 0, 1, 3, 4);
    ck_assert_mem_eq(few, sample, sizeof few);
}
END_TEST

START_TEST(permutations_hold_every_number_once)
{
    enum { COUNT = 1000 };
    uint32_t order[COUNT];
    bool seen[COUNT] = {false};
    peft_random_permutation(order, COUNT, 5, 6);
    for (int i = 0; i < COUNT; i++) {
        ck_assert(order[i] < COUNT && !seen[order[i]]);
        seen[order[i]] = true;
    }
    uint32_t one = 7;
    peft_random_permutation(&one, 0, 5, 6);
    ck_assert_uint_eq(one, 7);
    peft_random_permutation(&one, 1, 5, 6);
    ck_assert_uint_eq(one, 0);
}
END_TEST

/* The 24 orders of four: chi squared with 23 degrees of freedom exceeds 58 once in ten thousand. */
START_TEST(all_orders_are_as_probable)
{
    enum { TRIES = 24000, ORDERS = 24 };
    int found[4 * 4 * 4] = {0};
    for (uint64_t stream = 0; stream < TRIES; stream++) {
        uint32_t order[4];
        peft_random_permutation(order, 4, 11, stream);
        found[order[0] * 16 + order[1] * 4 + order[2]]++;
    }
    double chi_squared = 0, expected = (double)TRIES / ORDERS;
    int orders = 0;
    for (int k = 0; k < 4 * 4 * 4; k++) {
        if (!found[k]) continue;
        orders++;
        chi_squared += pow(found[k] - expected, 2) / expected;
    }
    ck_assert_int_eq(orders, ORDERS);
    ck_assert_msg(chi_squared < 58, "chi squared %g", chi_squared);
}
END_TEST

TEST_MAIN("rng", tcase_add_loop_test(tc, philox_gives_the_published_vectors, 0, sizeof known / sizeof *known);
          tcase_add_test(tc, a_draw_depends_on_seed_stream_and_number);
          tcase_add_test(tc, uniform_numbers_fill_their_range);
          tcase_add_test(tc, normal_numbers_have_the_moments_of_a_normal);
          tcase_add_test(tc, an_element_does_not_depend_on_the_number_of_elements);
          tcase_add_test(tc, permutations_hold_every_number_once); tcase_add_test(tc, all_orders_are_as_probable))
