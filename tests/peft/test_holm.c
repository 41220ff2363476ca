/* Tests of peft/statistics/holm.c against the step-down procedure written out with numpy. */
#include "peft/statistics/holm.h"

#include "tests/support/main.h"

static void check(const double *p, const double *expected, size_t m)
{
    double adjusted[8];
    peft_holm(p, m, adjusted);
    for (size_t k = 0; k < m; k++) ck_assert_double_eq_tol(adjusted[k], expected[k], 1e-15);
}

START_TEST(adjusted_values_are_those_of_the_procedure)
{
    check((const double[]){0.01, 0.04, 0.03, 0.005}, (const double[]){0.03, 0.06, 0.06, 0.02}, 4);
    check((const double[]){0.02, 0.02, 0.5, 0.9, 0.001}, (const double[]){0.08, 0.08, 1.0, 1.0, 0.005}, 5);
}
END_TEST

START_TEST(one_test_is_not_corrected)
{
    check((const double[]){0.03}, (const double[]){0.03}, 1);
}
END_TEST

START_TEST(no_value_exceeds_one_and_none_gets_smaller)
{
    check((const double[]){0.6, 0.7, 0.8}, (const double[]){1.0, 1.0, 1.0}, 3);
}
END_TEST

TEST_MAIN("holm", tcase_add_test(tc, adjusted_values_are_those_of_the_procedure);
          tcase_add_test(tc, one_test_is_not_corrected); tcase_add_test(tc, no_value_exceeds_one_and_none_gets_smaller))
