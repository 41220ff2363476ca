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
static const float predicted[PAIRS] = {1, 1, 0, 1, 0, 0, 1, 0, 1, 1};
static const float classes[PAIRS] = {1, 0, 0, 1, 1, 0, 1, 0, 0, 1};

static peft_error error;

static double compute(const char *name, const float *predictions, const float *labels, size_t count)
{
    double value = -2;
    peft_status status = peft_metric_compute(name, predictions, labels, count, &value, &error);
    ck_assert_msg(status == PEFT_OK, "%s", error.message);
    return value;
}

START_TEST(correlations_equal_those_of_scipy)
{
    /* scipy.stats.pearsonr(scores, gold)[0], spearmanr(scores, gold)[0]; both lists have ties */
    ck_assert_double_eq_tol(compute("pearson", scores, gold, COUNT), 0.9759281646287012, tolerance);
    ck_assert_double_eq_tol(compute("spearman", scores, gold, COUNT), 0.9788046973226829, tolerance);
}
END_TEST

START_TEST(class_metrics_equal_their_definitions)
{
    ck_assert_double_eq_tol(compute("accuracy", predicted, classes, PAIRS), 7.0 / 10, tolerance);
    ck_assert_double_eq_tol(compute("f1", predicted, classes, PAIRS), 2.0 * 4 / (2 * 4 + 2 + 1), tolerance);
    ck_assert_double_eq_tol(compute("matthews", predicted, classes, PAIRS), (4.0 * 3 - 2 * 1) / sqrt(6.0 * 5 * 5 * 4),
                            tolerance);
}
END_TEST

START_TEST(accuracy_takes_any_number_of_classes)
{
    const float a[] = {0, 1, 2, 7, 4}, b[] = {0, 2, 2, 7, 3};
    ck_assert_double_eq_tol(compute("accuracy", a, b, 5), 3.0 / 5, tolerance);
}
END_TEST

START_TEST(matthews_is_the_correlation_of_two_classes)
{
    ck_assert_double_eq_tol(compute("matthews", predicted, classes, PAIRS),
                            compute("pearson", predicted, classes, PAIRS), tolerance);
}
END_TEST

START_TEST(pearson_ignores_scale_and_offset)
{
    float moved[COUNT];
    for (size_t i = 0; i < COUNT; i++) moved[i] = 1024 + 4 * scores[i];
    double value = compute("pearson", scores, gold, COUNT);
    ck_assert_double_eq_tol(compute("pearson", moved, gold, COUNT), value, tolerance);
    for (size_t i = 0; i < COUNT; i++) moved[i] = -scores[i];
    ck_assert_double_eq_tol(compute("pearson", moved, gold, COUNT), -value, tolerance);
    ck_assert_double_eq_tol(compute("pearson", gold, gold, COUNT), 1.0, tolerance);
}
END_TEST

START_TEST(spearman_sees_the_order_alone)
{
    float bent[COUNT];
    for (size_t i = 0; i < COUNT; i++) bent[i] = expf(scores[i]);
    ck_assert_double_eq_tol(compute("spearman", bent, gold, COUNT), compute("spearman", scores, gold, COUNT),
                            tolerance);
    ck_assert_double_ne(compute("pearson", bent, gold, COUNT), compute("pearson", scores, gold, COUNT));
    ck_assert_double_eq_tol(compute("spearman", bent, scores, COUNT), 1.0, tolerance);
}
END_TEST

START_TEST(nothing_learned_is_zero)
{
    const float constant[COUNT] = {0}, tenths[] = {0.1f, 0.1f, 0.1f}, three[] = {1, 2, 4};
    ck_assert_double_eq(compute("matthews", constant, classes, PAIRS), 0.0);
    ck_assert_double_eq(compute("matthews", classes, constant, PAIRS), 0.0);
    ck_assert_double_eq(compute("f1", constant, classes, PAIRS), 0.0);
    ck_assert_double_eq(compute("f1", constant, constant, PAIRS), 0.0);
    ck_assert_double_eq(compute("pearson", constant, gold, COUNT), 0.0);
    ck_assert_double_eq(compute("spearman", gold, constant, COUNT), 0.0);
    ck_assert_double_eq(compute("pearson", tenths, three, 3), 0.0);
    ck_assert_double_eq(compute("pearson", three, three, 1), 0.0);
}
END_TEST

START_TEST(what_cannot_be_scored_is_an_error)
{
    const float two[] = {0, 2}, nan[] = {1, NAN}, good[] = {0, 1};
    double value = 1;
    ck_assert_int_eq(peft_metric_compute("acuracy", good, good, 2, &value, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "metric \"acuracy\": unknown; did you mean \"accuracy\"? Known: accuracy, f1, "
                                    "matthews, pearson, spearman");
    ck_assert_double_eq(value, 0.0);
    ck_assert_int_eq(peft_metric_compute("accuracy", good, good, 0, &value, &error), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(peft_metric_compute("f1", two, good, 2, &value, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "prediction of example 1: expected class 0 or 1, found 2"));
    ck_assert_int_eq(peft_metric_compute("pearson", good, nan, 2, &value, &error), PEFT_ERR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "label of example 1"));
}
END_TEST

START_TEST(running_out_of_memory_is_reported)
{
    bool failed = true;
    int64_t call = 0;
    for (; failed; call++) {
        double value = 1;
        fail_allocation(call);
        peft_status status = peft_metric_compute("spearman", scores, gold, COUNT, &value, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        if (failed) ck_assert_double_eq(value, 0.0);
    }
    ck_assert_int_gt(call, 1);
}
END_TEST

TEST_MAIN("metrics", tcase_add_test(tc, correlations_equal_those_of_scipy);
          tcase_add_test(tc, class_metrics_equal_their_definitions);
          tcase_add_test(tc, accuracy_takes_any_number_of_classes);
          tcase_add_test(tc, matthews_is_the_correlation_of_two_classes);
          tcase_add_test(tc, pearson_ignores_scale_and_offset); tcase_add_test(tc, spearman_sees_the_order_alone);
          tcase_add_test(tc, nothing_learned_is_zero); tcase_add_test(tc, what_cannot_be_scored_is_an_error);
          tcase_add_test(tc, running_out_of_memory_is_reported))
