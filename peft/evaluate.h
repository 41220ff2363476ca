/* peft/evaluate.h - a model's answers for a dataset, and how good they are. */
#ifndef PEFT_PEFT_EVALUATE_H
#define PEFT_PEFT_EVALUATE_H

#include "peft/progress.h"
#include "peft/sentence.h"
#include "tasks/task.h"
#include "tasks/tokens.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a forward pass over many examples needs; g is reset for every batch. */
typedef struct peft_predictor {
    peft_context *ctx;
    peft_graph *g;
    const peft_model *model;
    int64_t max_tokens;      /* of a batch; a longer example is a batch of its own. 0: 4096 */
    peft_sentence *sentence; /* for PEFT_PREDICT_EMBEDDING: fits the model */
    peft_callback callback;
} peft_predictor;

typedef enum peft_prediction {
    PEFT_PREDICT_LOGITS,
    PEFT_PREDICT_EMBEDDING,
    PEFT_PREDICT_SENTENCE,
    PEFT_PREDICT_INPUT_MEAN
} peft_prediction;

/* Numbers for each example: num_labels, the size of a sentence's vector, or hidden_size. */
int64_t peft_prediction_columns(const peft_predictor *predictor, peft_prediction what);

/* Outputs for every example in the order of the dataset: logits [count, num_labels]; or sentence vectors [count, size]
 * (peft/sentence.h); or what answers are compared with (models/answers.h) [count, hidden_size]; or the mean over a
 * sentence's tokens of what enters the first layer, centred, as the batch knows it (peft_batch_embedding_means) [count,
 * hidden_size]. PEFT_ERR_CANCELLED, PEFT_ERR_MEMORY. */
peft_status peft_predict(const peft_predictor *predictor, peft_prediction what, const peft_tokens *tokens,
                         float *outputs, peft_error *error);

/* Bytes that the largest of its batches takes. The context is told of all of them: code for their products is generated
 * here. */
peft_status peft_predict_plan(const peft_predictor *predictor, peft_prediction what, const peft_tokens *tokens,
                              size_t *bytes, peft_error *error);

/* The class with the largest logit, the first of equal ones. logits [num_labels] */
int32_t peft_best_class(const float *logits, int64_t num_labels);

typedef struct peft_scores {
    int64_t examples;
    bool one_answer; /* every example got the same class */
    int num_metrics;
    const char *names[PEFT_TASK_MAX_METRICS];
    double values[PEFT_TASK_MAX_METRICS];
} peft_scores;

/* The metrics of `names` (NULL at the end) of logits [tokens->count, num_labels] for a labelled dataset; `positive` is
 * the class that f1 is about. PEFT_ERR_ARGUMENT: no labels, or not those of a metric; PEFT_ERR_NUMERIC. */
peft_status peft_score(const float *logits, int64_t num_labels, const peft_tokens *tokens, const char *const *names,
                       int32_t positive, peft_scores *scores, peft_error *error);

/* The same of a model's answers. */
peft_status peft_evaluate(const peft_predictor *predictor, const peft_tokens *tokens, const char *const *names,
                          int32_t positive, peft_scores *scores, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
