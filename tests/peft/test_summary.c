/* Tests of peft/statistics/summary.c against scipy 1.16's stats.t, whose values are exact to a few units in the
 * last place, and against what is known of small samples. */
#include "peft/statistics/summary.h"
#include "tests/support/main.h"

#include <math.h>

static const double RELATIVE = 1e-13; /* the series has up to fifty terms of one sign */

static void check_near(double value, double expected)
{
    ck_assert_double_eq_tol(value, expected, RELATIVE * fabs(expected));
}

START_TEST(quantiles_are_those_of_scipy)
{
    static const struct {
        double probability;
        size_t freedom;
        double t;
    } known[] = {{0.5, 1, 1.0},
                 {0.5, 2, 0.8164965809277261},
                 {0.5, 3, 0.7648923284043444},
                 {0.5, 29, 0.6830438608216131},
                 {0.5, 100, 0.6769510430114717},
                 {0.95, 1, 12.706204736174694},
                 {0.95, 2, 4.302652729749462},
                 {0.95, 3, 3.1824463052837078},
                 {0.95, 4, 2.7764451051977934},
                 {0.95, 5, 2.5705818356363146},
                 {0.95, 9, 2.262157162798205},
                 {0.95, 29, 2.045229642132703},
                 {0.95, 100, 1.9839715185235518},
                 {0.99, 1, 63.656741162871526},
                 {0.99, 2, 9.924843200918287},
                 {0.99, 4, 4.604094871349992},
                 {0.99, 9, 3.249835541592126},
                 {0.99, 100, 2.6258905214380173}};
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
        check_near(peft_student_t(known[k].probability, known[k].freedom), known[k].t);
}
END_TEST

START_TEST(many_degrees_of_freedom_are_the_normal_distribution)
{
    ck_assert_double_eq_tol(peft_student_t(0.95, 100000), 1.959963984540054, 1e-4);
}
END_TEST

START_TEST(five_runs_have_the_interval_of_scipy)
{
    static const double scores[] = {0.874, 0.861, 0.893, 0.88, 0.869};
    peft_statistics s = peft_statistics_of(scores, 5);
    ck_assert_uint_eq(s.n, 5);
    check_near(s.mean, 0.8754);
    check_near(s.deviation, 0.012054044964243341);
    check_near(s.low, 0.8604329263351697);
    check_near(s.high, 0.8903670736648303);
}
END_TEST

START_TEST(a_shift_of_all_values_shifts_the_mean_alone)
{
    static const double values[] = {1.0, 2.0, 4.0}, shifted[] = {1.0e6 + 1.0, 1.0e6 + 2.0, 1.0e6 + 4.0};
    peft_statistics s = peft_statistics_of(values, 3), t = peft_statistics_of(shifted, 3);
    ck_assert_double_eq_tol(t.mean, s.mean + 1.0e6, 1e-9);
    ck_assert_double_eq_tol(t.deviation, s.deviation, 1e-9);
}
END_TEST

START_TEST(one_run_has_no_deviation_and_no_interval)
{
    const double value = 0.5;
    peft_statistics s = peft_statistics_of(&value, 1);
    ck_assert_double_eq(s.mean, 0.5);
    ck_assert_double_nan(s.deviation);
    ck_assert_double_nan(s.low);
    ck_assert_double_nan(s.high);
}
END_TEST

START_TEST(no_run_has_no_mean)
{
    peft_statistics s = peft_statistics_of(NULL, 0);
    ck_assert_uint_eq(s.n, 0);
    ck_assert_double_nan(s.mean);
    ck_assert_double_nan(s.deviation);
}
END_TEST

TEST_MAIN("summary", tcase_add_test(tc, quantiles_are_those_of_scipy);
          tcase_add_test(tc, many_degrees_of_freedom_are_the_normal_distribution);
          tcase_add_test(tc, five_runs_have_the_interval_of_scipy);
          tcase_add_test(tc, a_shift_of_all_values_shifts_the_mean_alone);
          tcase_add_test(tc, one_run_has_no_deviation_and_no_interval); tcase_add_test(tc, no_run_has_no_mean))
