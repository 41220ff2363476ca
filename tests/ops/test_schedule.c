#include "ops/optimizer.h"

#include <math.h>

#include "tests/support/main.h"

/* The learning rates of transformers 5.23, with lr=1, num_warmup_steps=3, num_training_steps=10:
 *
 *     schedule = get_cosine_schedule_with_warmup(optimizer, 3, 10); schedule.get_last_lr()[0]; schedule.step() */
enum { WARMUP = 3, TOTAL = 10 };
static const struct {
    const char *name;
    peft_schedule schedule;
    double factors[TOTAL + 1], tolerance;
} cases[] = {
    {"constant", PEFT_SCHEDULE_CONSTANT, {0, 0.3333333333333333, 0.6666666666666666, 1, 1, 1, 1, 1, 1, 1, 1}, 0},
    {"linear",
     PEFT_SCHEDULE_LINEAR,
     {0, 0.3333333333333333, 0.6666666666666666, 1, 0.8571428571428571, 0.7142857142857143, 0.5714285714285714,
      0.42857142857142855, 0.2857142857142857, 0.14285714285714285, 0},
     0},
    {"cosine",
     PEFT_SCHEDULE_COSINE,
     {0, 0.3333333333333333, 0.6666666666666666, 1, 0.9504844339512095, 0.8117449009293668, 0.6112604669781572,
      0.38873953302184283, 0.18825509907063326, 0.04951556604879048, 0},
     1e-15}, /* cos is the C library's */
};

START_TEST(factors_are_those_of_transformers)
{
    for (int step = 0; step <= TOTAL; step++) {
        double found = peft_schedule_factor(cases[_i].schedule, step, WARMUP, TOTAL);
        ck_assert_msg(fabs(found - cases[_i].factors[step]) <= cases[_i].tolerance,
                      "%s, step %d: expected %.17g, found %.17g", cases[_i].name, step, cases[_i].factors[step], found);
    }
}
END_TEST

START_TEST(schedules_are_found_by_name)
{
    peft_schedule found;
    ck_assert(peft_schedule_find(cases[_i].name, &found));
    ck_assert_int_eq(found, cases[_i].schedule);
    ck_assert(!peft_schedule_find("polynomial", &found));
}
END_TEST

/* The rates of 30 steps with 6 of warm-up and lr=0.005, a run that Hugging Face's libraries recorded. */
START_TEST(learning_rates_of_a_recorded_run_are_exact)
{
    static const double rates[30] = {0.0,      0.0008333333333333333,  0.0016666666666666666,
                                     0.0025,   0.003333333333333333,   0.004166666666666667,
                                     0.005,    0.004791666666666667,   0.004583333333333333,
                                     0.004375, 0.004166666666666667,   0.003958333333333333,
                                     0.00375,  0.003541666666666667,   0.003333333333333333,
                                     0.003125, 0.002916666666666667,   0.002708333333333333,
                                     0.0025,   0.0022916666666666667,  0.0020833333333333333,
                                     0.001875, 0.0016666666666666666,  0.0014583333333333334,
                                     0.00125,  0.0010416666666666667,  0.0008333333333333333,
                                     0.000625, 0.00041666666666666664, 0.00020833333333333332};
    for (int step = 0; step < 30; step++)
        ck_assert(0.005 * peft_schedule_factor(PEFT_SCHEDULE_LINEAR, step, 6, 30) == rates[step]);
}
END_TEST

START_TEST(short_runs_have_a_factor_too)
{
    ck_assert(peft_schedule_factor(PEFT_SCHEDULE_LINEAR, 0, 0, 1) == 1); /* one step, no warm-up */
    ck_assert(peft_schedule_factor(PEFT_SCHEDULE_COSINE, 0, 0, 1) == 1);
    ck_assert(peft_schedule_factor(PEFT_SCHEDULE_LINEAR, 1, 2, 2) == 0.5); /* warm-up to the end */
    for (size_t k = 1; k < sizeof cases / sizeof *cases; k++)
        ck_assert(peft_schedule_factor(cases[k].schedule, 12, WARMUP, TOTAL) == 0); /* past the end */
}
END_TEST

TEST_MAIN("schedule", tcase_add_loop_test(tc, factors_are_those_of_transformers, 0, sizeof cases / sizeof *cases);
          tcase_add_loop_test(tc, schedules_are_found_by_name, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, learning_rates_of_a_recorded_run_are_exact);
          tcase_add_test(tc, short_runs_have_a_factor_too))
