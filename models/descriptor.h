/* models/descriptor.h - five numbers that tell one weight from another: its norm, and four projections of it.
 *
 *     d[0] = |w|      d[k] = sum_i s_ki w_i,  k = 1 to 4
 *
 * with signs s_ki of -1 or 1 that were drawn once and depend on k and i alone. Two weights w and v differ by about
 * root-mean-square(d[1..4] - e[1..4]), an estimate of |w - v|: rounding to bfloat16 changes a weight by 0.17 % of its
 * norm, another model's weight by more than all of it. The sums are in double and in order, so the numbers are the same
 * bits everywhere. */
#ifndef PEFT_MODELS_DESCRIPTOR_H
#define PEFT_MODELS_DESCRIPTOR_H

#include <stdint.h>

enum { PEFT_DESCRIPTOR_SIZE = 5 };

void peft_weight_describe(const float *weight, int64_t count, double descriptor[PEFT_DESCRIPTOR_SIZE]);

/* By how much two weights differ, as a share of the first one's norm: the larger of what norms and projections say.
 * 0 where both are zero. */
double peft_descriptors_differ(const double first[PEFT_DESCRIPTOR_SIZE], const double second[PEFT_DESCRIPTOR_SIZE]);

#endif
