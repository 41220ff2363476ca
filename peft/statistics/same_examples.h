/* peft/statistics/same_examples.h - do the answers of two sets of runs differ by more than chance on the same examples?
 *
 * If they do not, the answers of both may as well be exchanged for any example. Of all ways to do that, p is the share
 * whose difference in score is at least as far from zero as the one found. It says what other examples of the kind
 * would show of these very runs; of other seeds it says nothing. */
#ifndef PEFT_PEFT_STATISTICS_SAME_EXAMPLES_H
#define PEFT_PEFT_STATISTICS_SAME_EXAMPLES_H

#include <stdint.h>

#include "tasks/metrics.h"

/* Runs of A and B on the same examples, paired by their seeds. */
typedef struct peft_answer_pair {
    peft_outcomes a, b;
} peft_answer_pair;

/* Two-sided p for a metric, the mean over the pairs. Exact for accuracy, where a single pair gives McNemar's test; for
 * others up to 1,999 draws, the same ones always. PEFT_ERR_ARGUMENT: outcomes that are not of the same examples, or
 * none; PEFT_ERR_MEMORY; the metric's errors. */
peft_status peft_same_examples(const char *metric, const peft_answer_pair *pairs, size_t num_pairs, double *p,
                               peft_error *error);

/* Exact p of whole numbers whose signs may as well be others (McNemar's test where they are -1, 0 and 1). The numbers
 * are from -most to most. PEFT_ERR_MEMORY. */
peft_status peft_sign_flip_counts(const int32_t *gains, size_t count, int32_t most, double *p, peft_error *error);

#endif
