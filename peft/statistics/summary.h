/* peft/statistics/summary.h - what a few repeated runs say about their mean. */
#ifndef PEFT_PEFT_STATISTICS_SUMMARY_H
#define PEFT_PEFT_STATISTICS_SUMMARY_H

#include <stddef.h>

/* Of n values: NaN is what they do not determine (the mean of none, the deviation of one). */
typedef struct peft_statistics {
    size_t n;
    double mean;
    double deviation; /* of a sample: sqrt(sum (x - mean)^2 / (n - 1)) */
    double low, high; /* 95 % interval of the mean: mean -+ t(n - 1) deviation / sqrt(n) */
} peft_statistics;

peft_statistics peft_statistics_of(const double *values, size_t n);

/* The t with P(|T| < t) = probability, where T has Student's distribution with `freedom` >= 1 degrees of freedom;
 * 0 < probability < 1. */
double peft_student_t(double probability, size_t freedom);

#endif
