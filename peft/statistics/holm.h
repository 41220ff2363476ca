/* peft/statistics/holm.h - p values of several tests at once (Holm 1979).
 *
 *     p(1) <= p(2) <= ... <= p(m):     adjusted p(k) = max over j <= k of min(1, (m - j + 1) p(j))
 *
 * Whoever believes all differences whose adjusted p is at most 0.05 believes a wrong one with a probability of at most
 * 0.05, whatever the tests have in common. */
#ifndef PEFT_PEFT_STATISTICS_HOLM_H
#define PEFT_PEFT_STATISTICS_HOLM_H

#include <stddef.h>

/* p [m] -> adjusted [m], another array */
void peft_holm(const double *p, size_t m, double *adjusted);

#endif
