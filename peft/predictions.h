/* peft/predictions.h - what a model answered for each example of a split, beside what was right: kept by every run, so
 * that runs can be compared example by example.
 *
 * A file of safetensors (docs/formats.md):
 *
 *     logits     [examples, labels]   F32: a score for each class, or the score of a regression
 *     labels     [examples]           I32: the right class; F32 for a regression: the right score
 *
 * in the order of the data file. Its metadata name the task, the split and the fingerprint of the data file, the class
 * that f1 is about, and carry a checksum. */
#ifndef PEFT_PEFT_PREDICTIONS_H
#define PEFT_PEFT_PREDICTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "io/file.h"
#include "ops/status.h"
#include "tasks/metrics.h"

#define PEFT_PREDICTIONS_NAME "predictions.safetensors" /* in the folder of a run */

/* Where predictions come from. */
typedef struct peft_predictions_source {
    const char *task, *split;
    const char *fingerprint; /* of the data file; "" where it is not known */
} peft_predictions_source;

/* Writes them atomically. `outcomes` has the logits [count, num_labels] as predicted_scores, and classes or scores;
 * `predicted` is not looked at. PEFT_ERR_WRITE, PEFT_ERR_MEMORY. */
peft_status peft_predictions_save(const peft_outcomes *outcomes, int64_t num_labels,
                                  const peft_predictions_source *source, const char *path, peft_error *error);

typedef struct peft_predictions {
    size_t count, num_labels;
    float *logits;    /* [count, num_labels] */
    int32_t *answers; /* [count] the class with the largest logit */
    int32_t *classes; /* [count] the right ones; NULL: scores */
    float *scores;    /* [count] NULL: classes */
    int32_t positive; /* the class that f1 is about */
    char fingerprint[PEFT_FINGERPRINT_TEXT];
} peft_predictions;

/* PEFT_ERR_FILE; PEFT_ERR_FORMAT: what the above does not write, a checksum that does not hold, no examples, a class
 * beyond the logits; PEFT_ERR_NUMERIC: a number that is not finite; PEFT_ERR_MEMORY. Release with
 * peft_predictions_free, which takes a zeroed one too. */
peft_status peft_predictions_load(peft_predictions *predictions, const char *path, peft_error *error);
void peft_predictions_free(peft_predictions *predictions);

/* For metrics (tasks/metrics.h). */
peft_outcomes peft_predictions_outcomes(const peft_predictions *predictions);

#endif
