/* Tests of peft/statistics/sign_flip.c against scipy 1.17's permutation_test over all signs, and against the power of
 * the t-test by numerical integration. */
#include "peft/statistics/sign_flip.h"

#include <math.h>

#include "ops/rng.h"
#include "tests/support/main.h"

static const double six[] = {0.011, 0.024, -0.003, 0.017, 0.009, 0.021},
                    eight[] = {0.5, -0.25, 0.125, 0.75, -0.0625, 0.3, 0.2, -0.1}, three[] = {0.01, 0.02, 0.03},
                    ones[] = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0},
                    twelve[] = {0.02, -0.01, 0.0, 0.03, 0.04, -0.02, 0.05, 0.01, 0.015, -0.005, 0.025, 0.035};

START_TEST(few_differences_have_the_exact_p_of_scipy)
{
    static const struct {
        const double *d;
        size_t n;
        double p;
    } known[] = {
        {six, 6, 0.0625}, {eight, 8, 0.171875}, {three, 3, 0.25}, {ones, 6, 0.03125}, {twelve, 12, 0.03515625}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        ck_assert_double_eq(peft_sign_flip(known[k].d, known[k].n), known[k].p);
}
END_TEST

START_TEST(all_on_one_side_is_the_smallest_p)
{
    double d[20];
    for (size_t n = 1; n <= 20; n++) {
        d[n - 1] = 0.1 * (double)n;
        ck_assert_double_eq(peft_sign_flip(d, n), peft_sign_flip_smallest(n));
    }
    ck_assert_double_eq(peft_sign_flip_smallest(5), 0.0625);
    ck_assert_double_eq(peft_sign_flip_smallest(6), 0.03125);
    ck_assert_double_eq(peft_sign_flip_smallest(0), 1.0);
    ck_assert_double_eq(peft_sign_flip(d, 0), 1.0);
}
END_TEST

START_TEST(fewest_seeds_of_a_level)
{
    ck_assert_uint_eq(peft_sign_flip_fewest(1.0), 1);
    ck_assert_uint_eq(peft_sign_flip_fewest(0.05), 6);
    ck_assert_uint_eq(peft_sign_flip_fewest(0.05 / 3), 7);
    ck_assert_uint_eq(peft_sign_flip_fewest(0.05 / 15), 10);
}
END_TEST

START_TEST(signs_and_order_change_nothing)
{
    double mirrored[8], shuffled[8];
    for (size_t i = 0; i < 8; i++) mirrored[i] = -eight[i], shuffled[i] = eight[(3 * i + 1) % 8];
    ck_assert_double_eq(peft_sign_flip(mirrored, 8), 0.171875);
    ck_assert_double_eq(peft_sign_flip(shuffled, 8), 0.171875);
}
END_TEST

START_TEST(equal_runs_are_not_different)
{
    const double none[30] = {0};
    ck_assert_double_eq(peft_sign_flip(none, 8), 1.0);
    ck_assert_double_eq(peft_sign_flip(none, 30), 1.0);
}
END_TEST

/* 24 differences of 1 and 6 of -1: at least 24 of 30 coins alike, 2 x 0.00071546... by the binomial distribution. */
START_TEST(many_differences_are_drawn_and_agree_with_the_binomial_distribution)
{
    double d[30];
    for (size_t i = 0; i < 30; i++) d[i] = i % 5 ? 1.0 : -1.0;
    const double exact = 0.0014309063553810, deviation = 1.2e-4; /* of 99,999 draws */
    ck_assert_double_eq_tol(peft_sign_flip(d, 30), exact, 4.0 * deviation);
    ck_assert_double_eq(peft_sign_flip(d, 30), peft_sign_flip(d, 30));
}
END_TEST

START_TEST(what_is_detectable_is_that_of_independent_simulations)
{
    static const struct {
        size_t n;
        double level, effect;
    } known[] = {/* numpy, 4,000 samples, all signs */
                 {6, 0.05, 1.783},
                 {8, 0.05, 1.184},
                 {10, 0.05, 1.007},
                 {12, 0.05, 0.890},
                 {10, 0.05 / 3, 1.255},
                 {12, 0.05 / 15, 1.457},
                 /* the t-test by integration */
                 {13, 0.05, 0.8467},
                 {20, 0.05, 0.6604},
                 {40, 0.05, 0.4543},
                 {20, 0.05 / 15, 0.9539}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        ck_assert_double_eq_tol(peft_sign_flip_detectable(known[k].n, known[k].level, 0.8), known[k].effect,
                                0.03 * known[k].effect);
}
END_TEST

START_TEST(nothing_is_detectable_below_the_smallest_p)
{
    ck_assert(isinf(peft_sign_flip_detectable(5, 0.05, 0.8)));
    ck_assert(isinf(peft_sign_flip_detectable(6, 0.05 / 3, 0.8)));
    ck_assert(isinf(peft_sign_flip_detectable(0, 0.05, 0.8)));
}
END_TEST

/* The promise that the word "detectable" makes: a shift of that size is found in 80 of 100. */
START_TEST(a_detectable_difference_is_found_as_often_as_promised)
{
    enum { SAMPLES = 1000, SEEDS = 10 };
    const double effect = peft_sign_flip_detectable(SEEDS, 0.05, 0.8);
    size_t found = 0, claimed = 0;
    for (uint64_t sample = 0; sample < SAMPLES; sample++) {
        float noise[SEEDS];
        double d[SEEDS], equal[SEEDS];
        peft_random_normal(noise, SEEDS, 0.0, 1.0, sample, 77);
        for (size_t i = 0; i < SEEDS; i++) equal[i] = (double)noise[i], d[i] = effect + equal[i];
        found += peft_sign_flip(d, SEEDS) <= 0.05;
        claimed += peft_sign_flip(equal, SEEDS) <= 0.05;
    }
    ck_assert_msg(found >= 760 && found <= 840, "%zu of 1000 found", found); /* 800 -+ 3 deviations */
    ck_assert_msg(claimed <= 65, "%zu of 1000 claimed", claimed);
}
END_TEST

TEST_MAIN("sign_flip", tcase_add_test(tc, few_differences_have_the_exact_p_of_scipy);
          tcase_add_test(tc, all_on_one_side_is_the_smallest_p); tcase_add_test(tc, fewest_seeds_of_a_level);
          tcase_add_test(tc, signs_and_order_change_nothing); tcase_add_test(tc, equal_runs_are_not_different);
          tcase_add_test(tc, many_differences_are_drawn_and_agree_with_the_binomial_distribution);
          tcase_add_test(tc, what_is_detectable_is_that_of_independent_simulations);
          tcase_add_test(tc, nothing_is_detectable_below_the_smallest_p);
          tcase_add_test(tc, a_detectable_difference_is_found_as_often_as_promised))
