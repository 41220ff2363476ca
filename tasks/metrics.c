#include "tasks/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "ops/nearest.h"

typedef struct confusion {
    double true_positive, false_positive, false_negative, true_negative;
} confusion;

static confusion count_outcomes(const peft_outcomes *o)
{
    size_t outcomes[2][2] = {{0}}; /* [predicted][gold] */
    for (size_t i = 0; i < o->count; i++) outcomes[o->predicted[i] == o->positive][o->classes[i] == o->positive]++;
    return (confusion){.true_positive = (double)outcomes[1][1],
                       .false_positive = (double)outcomes[1][0],
                       .false_negative = (double)outcomes[0][1],
                       .true_negative = (double)outcomes[0][0]};
}

static peft_status accuracy(const peft_outcomes *o, double *value, peft_error *error)
{
    (void)error;
    size_t right = 0;
    for (size_t i = 0; i < o->count; i++) right += o->predicted[i] == o->classes[i];
    *value = (double)right / (double)o->count;
    return PEFT_OK;
}

static peft_status f1(const peft_outcomes *o, double *value, peft_error *error)
{
    (void)error;
    confusion c = count_outcomes(o);
    double denominator = 2.0 * c.true_positive + c.false_positive + c.false_negative;
    *value = denominator > 0.0 ? 2.0 * c.true_positive / denominator : 0.0;
    return PEFT_OK;
}

static peft_status matthews(const peft_outcomes *o, double *value, peft_error *error)
{
    (void)error;
    confusion c = count_outcomes(o);
    double denominator = sqrt(c.true_positive + c.false_positive) * sqrt(c.true_positive + c.false_negative) *
                         sqrt(c.true_negative + c.false_positive) * sqrt(c.true_negative + c.false_negative);
    double numerator = c.true_positive * c.true_negative - c.false_positive * c.false_negative;
    *value = denominator > 0.0 ? numerator / denominator : 0.0;
    return PEFT_OK;
}

static double mean(const double *x, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += x[i];
    return sum / (double)count;
}

/* Sums of products of deviations, after the means are known: one pass over raw squares would cancel. */
static double correlation(const double *x, const double *y, size_t count)
{
    double mean_x = mean(x, count), mean_y = mean(y, count);
    double xx = 0.0, yy = 0.0, xy = 0.0;
    for (size_t i = 0; i < count; i++) {
        double dx = x[i] - mean_x, dy = y[i] - mean_y;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    double denominator = sqrt(xx) * sqrt(yy);
    return denominator > 0.0 ? fmax(-1.0, fmin(1.0, xy / denominator)) : 0.0;
}

/* A constant has no correlation; its deviations need not be exactly 0, since its mean is rounded. */
static bool is_constant(const float *x, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (x[i] < x[0] || x[i] > x[0]) return false;
    return true;
}

typedef struct ranked {
    float value;
    size_t index;
} ranked;

static int by_value(const void *a, const void *b)
{
    float x = ((const ranked *)a)->value, y = ((const ranked *)b)->value;
    return (x > y) - (x < y);
}

/* rank[i]: 1 for the smallest value; equal values share the mean of the ranks they take up. */
static void mean_ranks(const float *x, size_t count, ranked *sorted, double *rank)
{
    for (size_t i = 0; i < count; i++) sorted[i] = (ranked){x[i], i};
    qsort(sorted, count, sizeof *sorted, by_value);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && !by_value(&sorted[first], &sorted[end]);) end++;
        double shared = 0.5 * (double)(first + 1 + end);
        for (size_t i = first; i < end; i++) rank[sorted[i].index] = shared;
    }
}

static void as_double(const float *x, size_t count, ranked *sorted, double *out)
{
    (void)sorted;
    for (size_t i = 0; i < count; i++) out[i] = (double)x[i];
}

typedef void transform(const float *x, size_t count, ranked *sorted, double *out);

static peft_status correlate(transform *apply, const peft_outcomes *o, double *value, peft_error *error)
{
    const float *predictions = o->predicted_scores, *labels = o->scores;
    size_t count = o->count;
    if (is_constant(predictions, count) || is_constant(labels, count)) return PEFT_OK;
    double *x = calloc(count, sizeof *x), *y = calloc(count, sizeof *y);
    ranked *sorted = calloc(count, sizeof *sorted);
    peft_status status = PEFT_OK;
    if (x && y && sorted) {
        apply(predictions, count, sorted, x);
        apply(labels, count, sorted, y);
        *value = correlation(x, y, count);
    } else {
        status = peft_fail(error, PEFT_ERR_MEMORY, "correlation of %zu examples: out of memory", count);
    }
    free(x);
    free(y);
    free(sorted);
    return status;
}

static peft_status pearson(const peft_outcomes *o, double *value, peft_error *error)
{
    return correlate(as_double, o, value, error);
}

static peft_status spearman(const peft_outcomes *o, double *value, peft_error *error)
{
    return correlate(mean_ranks, o, value, error);
}

static const peft_metric metrics[] = {
    {"accuracy", PEFT_METRIC_CLASSES, accuracy}, {"f1", PEFT_METRIC_BINARY, f1},
    {"matthews", PEFT_METRIC_BINARY, matthews},  {"pearson", PEFT_METRIC_SCORES, pearson},
    {"spearman", PEFT_METRIC_SCORES, spearman},
};
enum { NUM_METRICS = sizeof metrics / sizeof metrics[0] };

const peft_metric *peft_metric_find(const char *name, peft_error *error)
{
    peft_names known = {&metrics[0].name, NUM_METRICS, sizeof metrics[0]};
    size_t index = peft_names_find(&known, name);
    if (index < known.count) return &metrics[index];
    peft_fail_unknown(error, PEFT_ERR_ARGUMENT, "metric", name, &known);
    return NULL;
}

static peft_status check_scores(const peft_metric *metric, const char *what, const float *values, size_t count,
                                peft_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return peft_fail(error, PEFT_ERR_NUMERIC, "%s: %s of example %zu: expected a finite number, found %g",
                             metric->name, what, i, (double)values[i]);
    return PEFT_OK;
}

static peft_status check_two(const peft_metric *metric, const char *what, const int32_t *values, size_t count,
                             peft_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] != 0 && values[i] != 1)
            return peft_fail(error, PEFT_ERR_ARGUMENT,
                             "%s: %s of example %zu: expected class 0 or 1, found %d; use accuracy for more classes",
                             metric->name, what, i, values[i]);
    return PEFT_OK;
}

static peft_status check(const peft_metric *metric, const peft_outcomes *o, peft_error *error)
{
    static const char prediction[] = "prediction", label[] = "label";
    bool of_scores = metric->kind == PEFT_METRIC_SCORES;
    if (of_scores ? !o->predicted_scores || !o->scores : !o->predicted || !o->classes)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected %s", metric->name,
                         of_scores ? "scores, found classes" : "classes, found scores");
    peft_status status = PEFT_OK;
    if (of_scores) {
        status = check_scores(metric, prediction, o->predicted_scores, o->count, error);
        return status == PEFT_OK ? check_scores(metric, label, o->scores, o->count, error) : status;
    }
    if (metric->kind == PEFT_METRIC_BINARY) {
        status = check_two(metric, prediction, o->predicted, o->count, error);
        if (status == PEFT_OK) status = check_two(metric, label, o->classes, o->count, error);
    }
    return status;
}

peft_status peft_metric_compute(const char *name, const peft_outcomes *outcomes, double *value, peft_error *error)
{
    *value = 0.0;
    const peft_metric *metric = peft_metric_find(name, error);
    if (!metric) return PEFT_ERR_ARGUMENT;
    if (outcomes->count == 0) return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: no examples to score", name);
    peft_status status = check(metric, outcomes, error);
    return status == PEFT_OK ? metric->compute(outcomes, value, error) : status;
}
