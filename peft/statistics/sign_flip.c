#include "peft/statistics/sign_flip.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "ops/rng.h"
#include "peft/statistics/summary.h"

enum { MOST_EXACT = 20, DRAWS = 99999, BITS = 64 };

static const uint64_t SIGNS = 1, NOISE = 2; /* streams */

static double sum_of(const double *values, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += values[i];
    return sum;
}

static double size_of(const double *values, size_t n)
{
    double size = 0.0;
    for (size_t i = 0; i < n; i++) size += fabs(values[i]);
    return size;
}

/* Sums of the same numbers in another order differ by their rounding. */
static double least_as_far(const double *d, size_t n)
{
    const double rounding = 1e-12;
    return fabs(sum_of(d, n)) - rounding * size_of(d, n);
}

/* Walks through all signs by changing one at a time (a Gray code); the first stays, since the mirror image of a choice
 * is as far from zero. Ends early where p is above `limit`. */
static double exact(const double *d, size_t n, double limit)
{
    double least = least_as_far(d, n), sum = size_of(d, n);
    uint32_t negative = 0, all = (uint32_t)1 << (n - 1), far = 0;
    for (uint32_t k = 1;; k++) {
        far += fabs(sum) >= least;
        if (k == all || (double)far > limit * (double)all) return (double)far / (double)all;
        int changed = __builtin_ctz(k);
        bool was = negative >> changed & 1;
        sum += (was ? 2.0 : -2.0) * fabs(d[changed + 1]);
        negative ^= (uint32_t)1 << changed;
    }
}

static double drawn_sum(const double *d, size_t n, uint64_t draw)
{
    uint64_t bits = 0;
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (i % BITS == 0) bits = peft_random_u64(draw, SIGNS, i / BITS);
        sum += bits >> (i % BITS) & 1 ? d[i] : -d[i];
    }
    return sum;
}

/* The choice that was found is one of those counted. */
static double drawn(const double *d, size_t n)
{
    double least = least_as_far(d, n);
    size_t far = 1;
    for (uint64_t draw = 0; draw < DRAWS; draw++) far += fabs(drawn_sum(d, n, draw)) >= least;
    return (double)far / (double)(DRAWS + 1);
}

double peft_sign_flip(const double *differences, size_t n)
{
    if (n == 0) return 1.0;
    return n <= MOST_EXACT ? exact(differences, n, 1.0) : drawn(differences, n);
}

double peft_sign_flip_smallest(size_t n)
{
    if (n > MOST_EXACT) return 1.0 / (double)(DRAWS + 1);
    return n ? ldexp(1.0, 1 - (int)n) : 1.0;
}

size_t peft_sign_flip_fewest(double level)
{
    size_t n = 1;
    while (n <= MOST_EXACT && peft_sign_flip_smallest(n) > level) n++;
    return n;
}

/* ---- what could have been found ---- */

enum { SAMPLES = 4000, MOST_WALKED = 12 };

/* Two-sided, of normal differences: beyond a dozen pairs it finds as much as the test above, and takes no time. */
static bool t_test_finds(const double *d, size_t n, double level)
{
    peft_statistics s = peft_statistics_of(d, n);
    return fabs(s.mean) * sqrt((double)n) > peft_student_t(1.0 - level, n - 1) * s.deviation;
}

static bool finds(const double *d, size_t n, double level)
{
    return n <= MOST_WALKED ? exact(d, n, level) <= level : t_test_finds(d, n, level);
}

/* Of the samples `noise` [SAMPLES, n], shifted, the share in which the test finds something. */
static double power_at(double shift, const double *noise, double *d, size_t n, double level)
{
    size_t found = 0;
    for (size_t sample = 0; sample < SAMPLES; sample++) {
        for (size_t i = 0; i < n; i++) d[i] = shift + noise[sample * n + i];
        found += finds(d, n, level);
    }
    return (double)found / SAMPLES;
}

static double search(const double *noise, double *d, size_t n, double level, double power)
{
    enum { HALVINGS = 20 };
    double low = 0.0, high = 1.0;
    while (power_at(high, noise, d, n, level) < power) high *= 2.0;
    for (int k = 0; k < HALVINGS; k++) {
        double middle = 0.5 * (low + high);
        if (power_at(middle, noise, d, n, level) < power)
            low = middle;
        else
            high = middle;
    }
    return high;
}

double peft_sign_flip_detectable(size_t n, double level, double power)
{
    if (peft_sign_flip_smallest(n) > level) return HUGE_VAL;
    float *drawn_noise = calloc(SAMPLES * n, sizeof *drawn_noise);
    double *noise = calloc(SAMPLES * n, sizeof *noise), *d = calloc(n, sizeof *d), found = (double)NAN;
    if (drawn_noise && noise && d) {
        peft_random_normal(drawn_noise, SAMPLES * n, 0.0, 1.0, n, NOISE);
        for (size_t i = 0; i < SAMPLES * n; i++) noise[i] = (double)drawn_noise[i];
        found = search(noise, d, n, level, power);
    }
    free(drawn_noise);
    free(noise);
    free(d);
    return found;
}
