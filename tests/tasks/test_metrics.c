/* Tests of tasks/metrics.c: values of SciPy 1.17, identities, the cases without a value. */
#include "tasks/metrics.h"

#include <math.h>
#include <string.h>

#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

enum { COUNT = 12, PAIRS = 10 };

/* Sums of a dozen values in double: a few ulp. */
static const double tolerance = 1e-14;

static const float scores[COUNT] = {2.5f, 0, 2, 8, 1, 4.25f, 3, 2, 5, -1, 2, 7};
static const float gold[COUNT] = {3, -0.5f, 2, 7, 1, 4, 4, 2.5f, 5, 0, 2.5f, 7.5f};

/* 4 true positives, 2 false positives, 1 false negative, 3 true negatives */
static const int32_t predicted[PAIRS] = {1, 1, 0, 1, 0, 0, 1, 0, 1, 1};
static const int32_t classes[PAIRS] = {1, 0, 0, 1, 1, 0, 1, 0, 0, 1};

static peft_error error;

static double compute(const char *name, const peft_outcomes *outcomes)
{
    double value = -2;
    peft_status status = peft_metric_compute(name, outcomes, &value, &error);
    ck_assert_msg(status == PEFT_OK, "%s", error.message);
    return value;
}

static double of_classes(const char *name, const int32_t *predictions, const int32_t *labels, size_t count)
{
    return compute(name, &(peft_outcomes){.count = count, .predicted = predictions, .classes = labels, .positive = 1});
}

static double of_scores(const char *name, const float *predictions, const float *labels, size_t count)
{
    return compute(name, &(peft_outcomes){.count = count, .predicted_scores = predictions, .scores = labels});
}

START_TEST(correlations_equal_those_of_scipy)
{
    /* scipy.stats.pearsonr(scores, gold)[0], spearmanr(scores, gold)[0]; both lists have ties */
    ck_assert_double_eq_tol(of_scores("pearson", scores, gold, COUNT), 0.9759281646287012, tolerance);
    ck_assert_double_eq_tol(of_scores("spearman", scores, gold, COUNT), 0.9788046973226829, tolerance);
}
END_TEST

START_TEST(class_metrics_equal_their_definitions)
{
    ck_assert_double_eq_tol(of_classes("accuracy", predicted, classes, PAIRS), 7.0 / 10, tolerance);
    ck_assert_double_eq_tol(of_classes("f1", predicted, classes, PAIRS), 2.0 * 4 / (2 * 4 + 2 + 1), tolerance);
    ck_assert_double_eq_tol(of_classes("matthews", predicted, classes, PAIRS),
                            (4.0 * 3 - 2 * 1) / sqrt(6.0 * 5 * 5 * 4), tolerance);
}
END_TEST

START_TEST(f1_is_about_the_class_that_is_called_positive)
{
    peft_outcomes outcomes = {.count = PAIRS, .predicted = predicted, .classes = classes, .positive = 0};
    ck_assert_double_eq_tol(compute("f1", &outcomes), 2.0 * 3 / (2 * 3 + 1 + 2), tolerance);
    double matthews = compute("matthews", &outcomes);
    outcomes.positive = 1;
    ck_assert_double_eq_tol(compute("matthews", &outcomes), matthews, tolerance);
}
END_TEST

START_TEST(accuracy_takes_any_number_of_classes)
{
    const int32_t a[] = {0, 1, 2, 7, 4}, b[] = {0, 2, 2, 7, 3};
    ck_assert_double_eq_tol(of_classes("accuracy", a, b, 5), 3.0 / 5, tolerance);
}
END_TEST

START_TEST(matthews_is_the_correlation_of_two_classes)
{
    float as_scores[2][PAIRS];
    for (size_t i = 0; i < PAIRS; i++) {
        as_scores[0][i] = (float)predicted[i];
        as_scores[1][i] = (float)classes[i];
    }
    ck_assert_double_eq_tol(of_classes("matthews", predicted, classes, PAIRS),
                            of_scores("pearson", as_scores[0], as_scores[1], PAIRS), tolerance);
}
END_TEST

START_TEST(pearson_ignores_scale_and_offset)
{
    float moved[COUNT];
    for (size_t i = 0; i < COUNT; i++) moved[i] = 1024 + 4 * scores[i];
    double value = of_scores("pearson", scores, gold, COUNT);
    ck_assert_double_eq_tol(of_scores("pearson", moved, gold, COUNT), value, tolerance);
    for (size_t i = 0; i < COUNT; i++) moved[i] = -scores[i];
    ck_assert_double_eq_tol(of_scores("pearson", moved, gold, COUNT), -value, tolerance);
    ck_assert_double_eq_tol(of_scores("pearson", gold, gold, COUNT), 1.0, tolerance);
}
END_TEST

START_TEST(spearman_sees_the_order_alone)
{
    float bent[COUNT];
    for (size_t i = 0; i < COUNT; i++) bent[i] = expf(scores[i]);
    ck_assert_double_eq_tol(of_scores("spearman", bent, gold, COUNT), of_scores("spearman", scores, gold, COUNT),
                            tolerance);
    ck_assert_double_ne(of_scores("pearson", bent, gold, COUNT), of_scores("pearson", scores, gold, COUNT));
    ck_assert_double_eq_tol(of_scores("spearman", bent, scores, COUNT), 1.0, tolerance);
}
END_TEST

START_TEST(nothing_learned_is_zero)
{
    const int32_t none[COUNT] = {0};
    const float constant[COUNT] = {0}, tenths[] = {0.1f, 0.1f, 0.1f}, three[] = {1, 2, 4};
    ck_assert_double_eq(of_classes("matthews", none, classes, PAIRS), 0.0);
    ck_assert_double_eq(of_classes("matthews", classes, none, PAIRS), 0.0);
    ck_assert_double_eq(of_classes("f1", none, classes, PAIRS), 0.0);
    ck_assert_double_eq(of_classes("f1", none, none, PAIRS), 0.0);
    ck_assert_double_eq(of_scores("pearson", constant, gold, COUNT), 0.0);
    ck_assert_double_eq(of_scores("spearman", gold, constant, COUNT), 0.0);
    ck_assert_double_eq(of_scores("pearson", tenths, three, 3), 0.0);
    ck_assert_double_eq(of_scores("pearson", three, three, 1), 0.0);
}
END_TEST

START_TEST(what_cannot_be_scored_is_an_error)
{
    const int32_t two[] = {0, 2}, good[] = {0, 1};
    const float nan[] = {1, NAN}, finite[] = {0, 1};
    double value = 1;
    peft_outcomes of_classes = {.count = 2, .predicted = good, .classes = good};
    peft_outcomes of_scores = {.count = 2, .predicted_scores = finite, .scores = nan};
    ck_assert_int_eq(peft_metric_compute("acuracy", &of_classes, &value, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "metric \"acuracy\": unknown; did you mean \"accuracy\"? Known: accuracy, f1, "
                                    "matthews, pearson, spearman");
    ck_assert_double_eq(value, 0.0);
    ck_assert_int_eq(peft_metric_compute("pearson", &of_scores, &value, &error), PEFT_ERR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "label of example 1"));
    ck_assert_int_eq(peft_metric_compute("f1", &of_scores, &value, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "f1: expected classes, found scores");
    ck_assert_int_eq(peft_metric_compute("spearman", &of_classes, &value, &error), PEFT_ERR_ARGUMENT);
    of_classes.predicted = two;
    ck_assert_int_eq(peft_metric_compute("f1", &of_classes, &value, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "prediction of example 1: expected class 0 or 1, found 2"));
    of_classes.count = 0;
    ck_assert_int_eq(peft_metric_compute("accuracy", &of_classes, &value, &error), PEFT_ERR_ARGUMENT);
}
END_TEST

START_TEST(running_out_of_memory_is_reported)
{
    bool failed = true;
    int64_t call = 0;
    for (; failed; call++) {
        double value = 1;
        fail_allocation(call);
        const peft_outcomes outcomes = {.count = COUNT, .predicted_scores = scores, .scores = gold};
        peft_status status = peft_metric_compute("spearman", &outcomes, &value, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        if (failed) ck_assert_double_eq(value, 0.0);
    }
    ck_assert_int_gt(call, 1);
}
END_TEST

TEST_MAIN("metrics", tcase_add_test(tc, correlations_equal_those_of_scipy);
          tcase_add_test(tc, class_metrics_equal_their_definitions);
          tcase_add_test(tc, f1_is_about_the_class_that_is_called_positive);
          tcase_add_test(tc, accuracy_takes_any_number_of_classes);
          tcase_add_test(tc, matthews_is_the_correlation_of_two_classes);
          tcase_add_test(tc, pearson_ignores_scale_and_offset); tcase_add_test(tc, spearman_sees_the_order_alone);
          tcase_add_test(tc, nothing_learned_is_zero); tcase_add_test(tc, what_cannot_be_scored_is_an_error);
          tcase_add_test(tc, running_out_of_memory_is_reported))
