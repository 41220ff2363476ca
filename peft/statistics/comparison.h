/* peft/statistics/comparison.h - is one method above another, as far as a few seeds can tell? The figures, and a
 * sentence.
 *
 * What decides is the test over the seeds (sign_flip.h), corrected for the number of comparisons (holm.h): another seed
 * is what the next user has. The test on the same examples (same_examples.h) stands beside it. */
#ifndef PEFT_PEFT_STATISTICS_COMPARISON_H
#define PEFT_PEFT_STATISTICS_COMPARISON_H

#include <stddef.h>

#include "ops/status.h"

#define PEFT_COMPARISON_LEVEL 0.05 /* of p */
#define PEFT_COMPARISON_POWER 0.8  /* with which the detectable difference would have been found */

typedef enum peft_verdict { PEFT_VERDICT_NONE, PEFT_VERDICT_ABOVE, PEFT_VERDICT_BELOW } peft_verdict;

/* Of B beside A; scores are shares of one, as metrics give them. */
typedef struct peft_comparison {
    size_t seeds;       /* of both */
    double difference;  /* mean of B's score less A's; NaN without seeds */
    double deviation;   /* of the differences; NaN of one */
    double low, high;   /* 95 % interval of the mean (Student's t); NaN of one */
    double p, smallest; /* over the seeds, and the smallest that there can be */
    size_t comparisons; /* made at once */
    double adjusted;    /* p, corrected for them */
    double detectable;  /* difference that would have been found; HUGE_VAL: none, however large; NaN: not known */
    size_t examples;    /* 0: their answers are not known */
    double p_examples;  /* on the same examples; NaN: not known */
} peft_comparison;

/* a [n] and b [n] are scores of the same seeds. For a single comparison until peft_comparisons_correct. */
peft_comparison peft_comparison_of(const double *a, const double *b, size_t n);

/* Corrects `count` comparisons that are read together, and says what each could have found: at the strictest level that
 * the correction asks of one of them. PEFT_ERR_MEMORY. */
peft_status peft_comparisons_correct(peft_comparison *comparisons, size_t count, peft_error *error);

peft_verdict peft_comparison_verdict(const peft_comparison *comparison);

/* One or two plain sentences of the result, such as
 *
 *     lora:rank=8 is above head by 3.2 points (95 % interval 2.1 to 4.3; p = 0.004 over 10 seeds).
 *     No difference between X and Y could be shown with these 10 seeds: one of 2.0 points would have been found with
 *     probability 0.8. Found: 0.4 points, 95 % interval -0.6 to 1.4; p = 0.52.
 *
 * Points are hundredths of the score. Returns `text`, cut where `bytes` are too few. */
char *peft_comparison_sentence(const peft_comparison *comparison, const char *a, const char *b, char *text,
                               size_t bytes);

#endif
