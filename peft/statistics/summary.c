#include "peft/statistics/summary.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

/* P(|T| < sqrt(freedom) tan(angle)), as a finite series in the angle (Abramowitz and Stegun, 26.7.3 and 26.7.4):
 *
 *     odd freedom     2/pi (angle + sin (cos + 2/3 cos^3 + 2 4/(3 5) cos^5 + ...))
 *     even freedom    sin (1 + 1/2 cos^2 + 1 3/(2 4) cos^4 + ...)
 *
 * with the powers of cos up to freedom - 2. */
static double probability_within(double angle, size_t freedom)
{
    size_t odd = freedom % 2;
    double square = cos(angle) * cos(angle), term = odd ? cos(angle) : 1.0, sum = 0.0;
    for (size_t power = odd; power + 2 <= freedom; power += 2) {
        sum += term;
        term *= square * (double)(power + 1) / (double)(power + 2);
    }
    return odd ? 2.0 / PI * (angle + sin(angle) * sum) : sin(angle) * sum;
}

double peft_student_t(double probability, size_t freedom)
{
    enum { HALVINGS = 64 }; /* more than a double has bits */
    double low = 0.0, high = PI / 2.0;
    for (int k = 0; k < HALVINGS; k++) {
        double middle = low + (high - low) / 2.0;
        if (probability_within(middle, freedom) < probability)
            low = middle;
        else
            high = middle;
    }
    return sqrt((double)freedom) * tan(low);
}

static double mean_of(const double *values, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += values[i];
    return n ? sum / (double)n : (double)NAN;
}

static double deviation_of(const double *values, size_t n, double mean)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += (values[i] - mean) * (values[i] - mean);
    return n > 1 ? sqrt(sum / (double)(n - 1)) : (double)NAN;
}

peft_statistics peft_statistics_of(const double *values, size_t n)
{
    const double covered = 0.95;
    double mean = mean_of(values, n), deviation = deviation_of(values, n, mean);
    double half = n > 1 ? peft_student_t(covered, n - 1) * deviation / sqrt((double)n) : (double)NAN;
    return (peft_statistics){n, mean, deviation, mean - half, mean + half};
}
