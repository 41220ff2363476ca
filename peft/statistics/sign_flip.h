/* peft/statistics/sign_flip.h - do paired differences lie to one side of zero?
 *
 * Two methods, the same seeds: d[i] is the difference of their scores for seed i. If the methods are equal, each d[i]
 * may as well have the other sign. Of all 2^n ways to choose the signs, p is the share whose mean is at least as far
 * from zero as the one found. Nothing is assumed of how scores are distributed: a run that never learned is one
 * difference among the others. */
#ifndef PEFT_PEFT_STATISTICS_SIGN_FLIP_H
#define PEFT_PEFT_STATISTICS_SIGN_FLIP_H

#include <stddef.h>

/* The two-sided p of n differences: exact for up to 20, beyond that from 99,999 draws of signs, the same ones always. 1
 * of none. */
double peft_sign_flip(const double *differences, size_t n);

/* The smallest p that n differences can have, 2 / 2^n: below 0.05 from 6 on. */
double peft_sign_flip_smallest(size_t n);

/* How many differences it takes for a p of `level` or less: 6 for 0.05. 0 < level */
size_t peft_sign_flip_fewest(double level);

/* The mean difference, in deviations of the differences, that the test finds at `level` with probability `power` in n
 * pairs. Differences are normal here; the probability is that of 4,000 drawn samples, the same ones always, and beyond
 * 12 pairs that of the t-test, which finds as much then. HUGE_VAL where the smallest p is above the level; NaN: out of
 * memory. 0 < power < 1 */
double peft_sign_flip_detectable(size_t n, double level, double power);

#endif
