#include "peft/statistics/same_examples.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ops/rng.h"

static peft_status fail_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "paired answers: out of memory");
}

/* ---- counts ---- */

/* Of fair coins: log of (count over k) / 2^count. */
static double log_binomial(size_t count, size_t k)
{
    return lgamma((double)count + 1.0) - lgamma((double)k + 1.0) - lgamma((double)(count - k) + 1.0) -
           (double)count * log(2.0);
}

/* The distribution of a sum, from -range to range: that of `from`, plus `count` numbers +-size. */
static void add_numbers(const double *from, int64_t range, size_t count, int32_t size, double *to, int64_t to_range)
{
    for (size_t k = 0; k <= count; k++) {
        double weight = exp(log_binomial(count, k));
        int64_t moved = (int64_t)size * ((int64_t)k - (int64_t)(count - k));
        for (int64_t s = -range; s <= range; s++) to[to_range + s + moved] += weight * from[range + s];
    }
}

/* How many numbers have each size, and their sum. */
static int64_t count_sizes(const int32_t *gains, size_t count, size_t *sizes)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sizes[abs(gains[i])]++;
        sum += gains[i];
    }
    return sum;
}

/* Probability of a sum at least as far from 0, in a distribution from -range to range. */
static double tails(const double *distribution, int64_t range, int64_t sum)
{
    double p = 0.0;
    for (int64_t s = llabs(sum); s <= range; s++) p += distribution[range + s] + (s ? distribution[range - s] : 0.0);
    return fmin(1.0, p);
}

peft_status peft_sign_flip_counts(const int32_t *gains, size_t count, int32_t most, double *p, peft_error *error)
{
    *p = 1.0;
    size_t *sizes = calloc((size_t)most + 1, sizeof *sizes);
    double *now = calloc(1, sizeof *now);
    peft_status status = sizes && now ? PEFT_OK : fail_memory(error);
    int64_t sum = status == PEFT_OK ? count_sizes(gains, count, sizes) : 0, range = 0;
    if (now) now[0] = 1.0;
    for (int32_t size = 1; status == PEFT_OK && size <= most; size++) {
        int64_t wider = range + size * (int64_t)sizes[size];
        if (wider == range) continue;
        double *next = calloc((size_t)(2 * wider + 1), sizeof *next);
        if (!next) {
            status = fail_memory(error);
            break;
        }
        add_numbers(now, range, sizes[size], size, next, wider);
        free(now);
        now = next;
        range = wider;
    }
    if (status == PEFT_OK) *p = tails(now, range, sum);
    free(now);
    free(sizes);
    return status;
}

/* How many runs of B are right about each example, less those of A. */
static peft_status test_right(const peft_answer_pair *pairs, size_t num_pairs, double *p, peft_error *error)
{
    size_t count = pairs[0].a.count;
    int32_t *gains = calloc(count, sizeof *gains);
    if (!gains) return fail_memory(error);
    for (size_t k = 0; k < num_pairs; k++)
        for (size_t i = 0; i < count; i++)
            gains[i] +=
                (pairs[k].b.predicted[i] == pairs[k].b.classes[i]) - (pairs[k].a.predicted[i] == pairs[k].a.classes[i]);
    peft_status status = peft_sign_flip_counts(gains, count, (int32_t)num_pairs, p, error);
    free(gains);
    return status;
}

/* ---- other metrics ---- */

/* Answers of a pair after an exchange. */
typedef struct exchanged {
    int32_t *classes_a, *classes_b;
    float *scores_a, *scores_b;
} exchanged;

static bool is_swapped(uint64_t draw, size_t example)
{
    enum { BITS = 64 };
    const uint64_t stream = 3;
    return peft_random_u64(draw, stream, example / BITS) >> (example % BITS) & 1;
}

/* Fills swap [count] for a draw. Draw 0 is what was found. */
static void draw_swaps(uint64_t draw, bool *swap, size_t count)
{
    for (size_t i = 0; i < count; i++) swap[i] = draw && is_swapped(draw, i);
}

static void exchange(const peft_answer_pair *pair, const bool *swap, const exchanged *to)
{
    for (size_t i = 0; i < pair->a.count; i++) {
        const peft_outcomes *first = swap[i] ? &pair->b : &pair->a, *second = swap[i] ? &pair->a : &pair->b;
        if (first->classes) {
            to->classes_a[i] = first->predicted[i];
            to->classes_b[i] = second->predicted[i];
        } else {
            to->scores_a[i] = first->predicted_scores[i];
            to->scores_b[i] = second->predicted_scores[i];
        }
    }
}

/* The sum over the pairs of the metric's difference after an exchange. */
static peft_status difference(const char *metric, const peft_answer_pair *pairs, size_t num_pairs, const bool *swap,
                              const exchanged *to, double *sum, peft_error *error)
{
    peft_status status = PEFT_OK;
    *sum = 0.0;
    for (size_t k = 0; k < num_pairs && status == PEFT_OK; k++) {
        double of_a = 0.0, of_b = 0.0;
        peft_outcomes a = pairs[k].a, b = pairs[k].b;
        exchange(&pairs[k], swap, to);
        a.predicted = to->classes_a, b.predicted = to->classes_b;
        a.predicted_scores = to->scores_a, b.predicted_scores = to->scores_b;
        status = peft_metric_compute(metric, &a, &of_a, error);
        if (status == PEFT_OK) status = peft_metric_compute(metric, &b, &of_b, error);
        *sum += of_b - of_a;
    }
    return status;
}

/* As many as take about a second. */
static size_t draws_of(size_t count, size_t num_pairs)
{
    const size_t most = 1999, fewest = 199, work = 50000000;
    size_t draws = work / (count * num_pairs);
    return draws > most ? most : draws < fewest ? fewest : draws;
}

static peft_status walk(const char *metric, const peft_answer_pair *pairs, size_t num_pairs, bool *swap,
                        const exchanged *to, double *p, peft_error *error)
{
    const double rounding = 1e-12;
    size_t count = pairs[0].a.count, draws = draws_of(count, num_pairs), far = 0;
    double found = 0.0;
    peft_status status = PEFT_OK;
    for (size_t draw = 0; draw <= draws && status == PEFT_OK; draw++) {
        double sum;
        draw_swaps(draw, swap, count);
        status = difference(metric, pairs, num_pairs, swap, to, &sum, error);
        if (draw == 0) found = fabs(sum);
        far += fabs(sum) >= found - rounding;
    }
    *p = (double)far / (double)(draws + 1);
    return status;
}

static peft_status test_exchanges(const char *metric, const peft_answer_pair *pairs, size_t num_pairs, double *p,
                                  peft_error *error)
{
    size_t count = pairs[0].a.count;
    bool *swap = calloc(count, sizeof *swap);
    const exchanged to = {calloc(count, sizeof(int32_t)), calloc(count, sizeof(int32_t)), calloc(count, sizeof(float)),
                          calloc(count, sizeof(float))};
    bool complete = swap && to.classes_a && to.classes_b && to.scores_a && to.scores_b;
    peft_status status = complete ? walk(metric, pairs, num_pairs, swap, &to, p, error) : fail_memory(error);
    free(swap);
    free(to.classes_a);
    free(to.classes_b);
    free(to.scores_a);
    free(to.scores_b);
    return status;
}

/* ---- both ---- */

static bool is_same(const peft_outcomes *a, const peft_outcomes *b)
{
    if (a->count != b->count || !a->classes != !b->classes || !a->scores != !b->scores) return false;
    return (!a->classes || memcmp(a->classes, b->classes, a->count * sizeof *a->classes) == 0) &&
           (!a->scores || memcmp(a->scores, b->scores, a->count * sizeof *a->scores) == 0);
}

peft_status peft_same_examples(const char *metric, const peft_answer_pair *pairs, size_t num_pairs, double *p,
                               peft_error *error)
{
    *p = 1.0;
    if (!num_pairs || !pairs[0].a.count)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "paired answers: expected a pair of runs with examples, found none");
    for (size_t k = 0; k < num_pairs; k++)
        if (!is_same(&pairs[0].a, &pairs[k].a) || !is_same(&pairs[0].a, &pairs[k].b))
            return peft_fail(error, PEFT_ERR_ARGUMENT, "paired answers: the runs are not about the same examples");
    bool exact = strcmp(metric, "accuracy") == 0 && pairs[0].a.classes;
    return exact ? test_right(pairs, num_pairs, p, error) : test_exchanges(metric, pairs, num_pairs, p, error);
}
