/* tasks/metrics.h - the scores of GLUE, computed in double from predictions and gold labels.
 *
 *     accuracy   share of equal labels
 *     f1         2 TP / (2 TP + FP + FN), class 1 is the positive one; 0 where TP = FP = FN = 0
 *     matthews   (TP TN - FP FN) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN)); 0 where a factor is 0
 *     pearson    linear correlation; 0 where predictions or labels are constant
 *     spearman   pearson of the ranks, equal values share the mean of their ranks
 *
 * The cases that have no value are 0, "nothing learned", as in scikit-learn's f1_score and matthews_corrcoef. Its
 * correlations give NaN there; a NaN could neither be compared when the best step is chosen nor be written as JSON. */
#ifndef PEFT_TASKS_METRICS_H
#define PEFT_TASKS_METRICS_H

#include <stddef.h>

#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Checks that PEFT_METRIC_BINARY values are 0 or 1; correlations take any finite number. */
typedef enum peft_metric_kind { PEFT_METRIC_CLASSES, PEFT_METRIC_BINARY, PEFT_METRIC_SCORES } peft_metric_kind;

/* Larger is better for all of them. */
typedef struct peft_metric {
    const char *name; /* the key in run.json: "matthews" */
    peft_metric_kind kind;
    peft_status (*compute)(const float *predictions, const float *labels, size_t count, double *value,
                           peft_error *error);
} peft_metric;

/* NULL and PEFT_ERR_ARGUMENT in `error` for a name that is not known, with the nearest one. */
PEFT_API const peft_metric *peft_metric_find(const char *name, peft_error *error);

/* predictions [count]   class ids (whole numbers), or scores for correlations
 * labels      [count]   likewise
 * value                 0 on failure
 *
 * PEFT_ERR_ARGUMENT: unknown name, no examples, a class that f1 or matthews (classes 0 and 1) does not have.
 * PEFT_ERR_NUMERIC: a prediction or label that is not finite. */
PEFT_API peft_status peft_metric_compute(const char *name, const float *predictions, const float *labels, size_t count,
                                         double *value, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
