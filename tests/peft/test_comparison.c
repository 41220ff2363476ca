/* Tests of peft/statistics/comparison.c: what is claimed of simulated runs, and in which words. */
#include "peft/statistics/comparison.h"

#include <math.h>
#include <string.h>

#include "ops/rng.h"
#include "tests/support/main.h"

static peft_error error;

static void says(const peft_comparison *c, const char *expected)
{
    char text[512];
    peft_comparison_sentence(c, "head", "lora", text, sizeof text);
    ck_assert_str_eq(text, expected);
}

static peft_comparison compare(const double *a, const double *b, size_t n)
{
    peft_comparison c = peft_comparison_of(a, b, n);
    ck_assert_int_eq(peft_comparisons_correct(&c, 1, &error), PEFT_OK);
    return c;
}

static const double low[] = {0.50, 0.51, 0.52, 0.50, 0.49, 0.51, 0.50, 0.52},
                    high[] = {0.60, 0.62, 0.61, 0.63, 0.60, 0.61, 0.62, 0.60},
                    near[] = {0.51, 0.50, 0.53, 0.49, 0.50, 0.50, 0.52, 0.51};

START_TEST(a_difference_that_is_shown)
{
    peft_comparison c = compare(low, high, 8);
    ck_assert_int_eq(peft_comparison_verdict(&c), PEFT_VERDICT_ABOVE);
    says(&c, "lora is above head by 10.5 points (95 % interval 9.2 to 11.8; p = 0.0078 over 8 seeds).");
    c.examples = 277;
    c.p_examples = 0.21;
    says(&c,
         "lora is above head by 10.5 points (95 % interval 9.2 to 11.8; p = 0.0078 over 8 seeds). It may be otherwise "
         "on other examples (p = 0.21 over these 277).");
    c = compare(high, low, 8);
    ck_assert_int_eq(peft_comparison_verdict(&c), PEFT_VERDICT_BELOW);
    says(&c, "lora is below head by 10.5 points (95 % interval -11.8 to -9.2; p = 0.0078 over 8 seeds).");
}
END_TEST

START_TEST(a_difference_that_is_not_shown_says_what_would_have_been)
{
    peft_comparison c = compare(low, near, 8);
    ck_assert_int_eq(peft_comparison_verdict(&c), PEFT_VERDICT_NONE);
    ck_assert_double_eq_tol(c.detectable, 1.184 * c.deviation, 0.03 * c.detectable);
    char text[512];
    peft_comparison_sentence(&c, "head", "lora", text, sizeof text);
    ck_assert_ptr_nonnull(
        strstr(text, "No difference between head and lora could be shown with these 8 seeds: one of 1."));
    ck_assert_ptr_nonnull(
        strstr(text, " points would have been found with probability 0.8. Found: 0.1 points, 95 % interval "));
}
END_TEST

START_TEST(too_few_seeds_are_called_too_few)
{
    peft_comparison c = compare(low, high, 3);
    ck_assert_int_eq(peft_comparison_verdict(&c), PEFT_VERDICT_NONE);
    says(&c,
         "No difference between head and lora could be shown with these 3 seeds, nor could one have been, however "
         "large: "
         "the smallest p is 0.25, and it takes 6 seeds. Found: 10.0 points, 95 % interval 7.5 to 12.5; p = 0.25 over 3 "
         "seeds.");
    c = compare(low, high, 1);
    c.examples = 277;
    c.p_examples = 0.001;
    says(&c,
         "No difference between head and lora could be shown with 1 seed, nor could one have been, however large: the "
         "smallest p is 1, and it takes 6 seeds. Found: 10.0 points. These runs answer the same 277 examples "
         "differently "
         "by more than chance (p = 0.001); other seeds may not.");
}
END_TEST

START_TEST(equal_scores_and_none)
{
    peft_comparison c = compare(low, low, 8);
    says(&c,
         "No difference between head and lora could be shown with these 8 seeds: their scores are the same, seed by "
         "seed. Found: 0.0 points, 95 % interval 0.0 to 0.0; p = 1 over 8 seeds.");
    c = compare(low, low, 0);
    says(&c, "head and lora have no seed in common that is done.");
}
END_TEST

START_TEST(comparisons_that_are_read_together_are_corrected_together)
{
    peft_comparison c[3] = {peft_comparison_of(low, high, 8), peft_comparison_of(low, near, 8),
                            peft_comparison_of(near, high, 8)};
    ck_assert_int_eq(peft_comparisons_correct(c, 3, &error), PEFT_OK);
    ck_assert_double_eq(c[0].p, 0.0078125);
    ck_assert_double_eq(c[0].adjusted, 3 * 0.0078125);
    ck_assert_double_ge(c[2].adjusted, c[0].adjusted);
    ck_assert_int_eq(peft_comparison_verdict(&c[0]), PEFT_VERDICT_ABOVE);
    peft_comparison few[20];
    for (size_t k = 0; k < 20; k++) few[k] = peft_comparison_of(low, high, 8);
    ck_assert_int_eq(peft_comparisons_correct(few, 20, &error), PEFT_OK);
    ck_assert_int_eq(peft_comparison_verdict(&few[0]), PEFT_VERDICT_NONE);
    ck_assert(isinf(few[0].detectable));
    char text[512];
    peft_comparison_sentence(&few[0], "head", "lora", text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "it takes 10 seeds for so many comparisons"));
}
END_TEST

START_TEST(a_long_sentence_is_cut)
{
    char text[20];
    peft_comparison c = compare(low, high, 8);
    peft_comparison_sentence(&c, "head", "lora", text, sizeof text);
    ck_assert_str_eq(text, "lora is above head ");
}
END_TEST

/* Scores of the same method under two names, or of one with a handicap: a share of right answers of a quarter that
 * varies by 3 points from seed to seed, as an encoder's do on a small task. */
static size_t count_claims(double handicap, size_t seeds)
{
    enum { COMPARISONS = 1000, MOST = 20 };
    const double mean = 0.75, deviation = 0.03;
    size_t claims = 0;
    for (uint64_t k = 0; k < COMPARISONS; k++) {
        float scores[2 * MOST];
        double a[MOST], b[MOST];
        peft_random_normal(scores, 2 * seeds, mean, deviation, k, 11);
        for (size_t i = 0; i < seeds; i++) a[i] = (double)scores[i] - handicap, b[i] = (double)scores[seeds + i];
        peft_comparison c = peft_comparison_of(a, b, seeds);
        claims += peft_comparison_verdict(&c) == PEFT_VERDICT_ABOVE;
        claims += handicap > 0.0 ? 0 : peft_comparison_verdict(&c) == PEFT_VERDICT_BELOW;
    }
    return claims;
}

/* docs/comparing.md promises both for ten seeds. */
START_TEST(of_a_thousand_comparisons_of_equals_few_claim_a_difference)
{
    for (size_t seeds = 3; seeds <= 14; seeds++) {
        size_t claims = count_claims(0.0, seeds);
        ck_assert_msg(claims <= 65, "%zu seeds: %zu of 1000", seeds, claims);
        if (seeds < 6) ck_assert_uint_eq(claims, 0);
    }
}
END_TEST

START_TEST(a_handicap_of_five_points_is_found)
{
    size_t found = count_claims(0.05, 10);
    ck_assert_msg(found >= 800, "%zu of 1000", found);
}
END_TEST

TEST_MAIN("comparison", tcase_add_test(tc, a_difference_that_is_shown);
          tcase_add_test(tc, a_difference_that_is_not_shown_says_what_would_have_been);
          tcase_add_test(tc, too_few_seeds_are_called_too_few); tcase_add_test(tc, equal_scores_and_none);
          tcase_add_test(tc, comparisons_that_are_read_together_are_corrected_together);
          tcase_add_test(tc, a_long_sentence_is_cut);
          tcase_add_test(tc, of_a_thousand_comparisons_of_equals_few_claim_a_difference);
          tcase_add_test(tc, a_handicap_of_five_points_is_found))
