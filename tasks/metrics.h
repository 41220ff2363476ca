/* tasks/metrics.h - the scores of GLUE, computed in double from predictions and gold labels.
 *
 *     accuracy   share of equal labels
 *     f1         2 TP / (2 TP + FP + FN) of the positive class; 0 where TP = FP = FN = 0
 *     matthews   (TP TN - FP FN) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN)); 0 where a factor is 0
 *     pearson    linear correlation; 0 where predictions or labels are constant
 *     spearman   pearson of the ranks, equal values share the mean of their ranks
 *
 * The cases that have no value are 0, "nothing learned", as in scikit-learn's f1_score and matthews_corrcoef. Its
 * correlations give NaN there; a NaN could neither be compared when the best step is chosen nor be written as JSON. */
#ifndef PEFT_TASKS_METRICS_H
#define PEFT_TASKS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a metric is about: class ids, of two classes alone, or scores. */
typedef enum peft_metric_kind { PEFT_METRIC_CLASSES, PEFT_METRIC_BINARY, PEFT_METRIC_SCORES } peft_metric_kind;

/* Answers beside labels: class ids, or scores. The others are NULL. */
typedef struct peft_outcomes {
    size_t count;
    const int32_t *predicted, *classes;     /* [count] */
    int32_t positive;                       /* the class that f1 is about */
    const float *predicted_scores, *scores; /* [count] */
} peft_outcomes;

/* Larger is better for all of them. */
typedef struct peft_metric {
    const char *name; /* the key in run.json: "matthews" */
    peft_metric_kind kind;
    peft_status (*compute)(const peft_outcomes *outcomes, double *value, peft_error *error);
} peft_metric;

/* NULL and PEFT_ERR_ARGUMENT in `error` for a name that is not known, with the nearest one. */
PEFT_API const peft_metric *peft_metric_find(const char *name, peft_error *error);

/* *value is 0 on failure.
 *
 * PEFT_ERR_ARGUMENT: unknown name, no examples, scores where the metric is of classes or the other way round, a class
 * that f1 or matthews (classes 0 and 1) does not have.
 * PEFT_ERR_NUMERIC: a score that is not finite. */
PEFT_API peft_status peft_metric_compute(const char *name, const peft_outcomes *outcomes, double *value,
                                         peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
