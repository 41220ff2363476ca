#include "peft/evaluate.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/answers.h"
#include "ops/ops.h"
#include "tasks/metrics.h"

enum { DEFAULT_MAX_TOKENS = 4096 };

int64_t peft_prediction_columns(const peft_predictor *p, peft_prediction what)
{
    return what == PEFT_PREDICT_LOGITS      ? peft_model_num_labels(p->model)
           : what == PEFT_PREDICT_EMBEDDING ? peft_sentence_size(p->sentence)
                                            : peft_model_hidden_size(p->model);
}

/* What is computed of a batch: a row for each sequence and, for sentence vectors, a row for each token. */
typedef struct results {
    peft_tensor *rows, *tokens; /* NULL: not wanted */
} results;

static void describe_sentences(const peft_predictor *p, const peft_batch_memory *m, const peft_model_run *run,
                               results *r)
{
    peft_tensor *hidden = peft_model_hidden(p->g, p->model, run);
    if (peft_sentence_reads_tokens(p->sentence)) r->tokens = peft_graph_keep(p->g, hidden);
    if (peft_sentence_reads_mean(p->sentence))
        r->rows = peft_graph_keep(p->g, peft_mean_pool(p->g, hidden, peft_batch_starts(p->g, &m->batch)));
}

static void describe(const peft_predictor *p, peft_prediction what, const peft_batch_memory *m, results *r)
{
    const peft_model_run run = {.batch = &m->batch, .input = &m->input};
    if (what == PEFT_PREDICT_EMBEDDING) {
        describe_sentences(p, m, &run, r);
    } else if (what == PEFT_PREDICT_LOGITS) {
        r->rows = peft_graph_keep(p->g, peft_model_logits(p->g, p->model, &run));
    } else if (what == PEFT_PREDICT_SENTENCE) {
        r->rows = peft_graph_keep(p->g, peft_model_sentence(p->g, p->model, &run));
    } else {
        peft_model_embeddings(p->g, p->model, &run);
        r->rows = peft_graph_keep(p->g, peft_batch_embedding_means(p->g, &m->batch));
    }
}

static const float *row_of(const float *values, int64_t index, int64_t columns)
{
    return values ? values + index * columns : NULL;
}

static peft_status predict_batch(const peft_predictor *p, peft_prediction what, const peft_tokens *tokens,
                                 const uint32_t *rows, int64_t count, peft_batch_memory *memory, float *outputs,
                                 peft_error *error)
{
    peft_status status = peft_tokens_gather(tokens, rows, count, memory, error);
    if (status != PEFT_OK) return status;
    results r = {NULL, NULL};
    peft_graph_reset(p->g);
    describe(p, what, memory, &r);
    status = peft_graph_status(p->g, error);
    if (status == PEFT_OK) status = peft_graph_run(p->g, p->ctx, error);
    const void *all_tokens = NULL, *all_rows = NULL;
    if (status == PEFT_OK && r.tokens) status = peft_graph_read(p->g, r.tokens, &all_tokens, error);
    if (status == PEFT_OK && r.rows) status = peft_graph_read(p->g, r.rows, &all_rows, error);
    if (status != PEFT_OK) return status;
    int64_t columns = peft_prediction_columns(p, what), hidden = peft_model_hidden_size(p->model);
    const int32_t *starts = memory->batch.starts;
    for (int64_t s = 0; s < count; s++) {
        float *out = outputs + rows[s] * columns;
        if (what == PEFT_PREDICT_EMBEDDING)
            peft_sentence_vector(p->sentence, row_of(all_tokens, starts[s], hidden), starts[s + 1] - starts[s],
                                 row_of(all_rows, s, hidden), out);
        else
            memcpy(out, row_of(all_rows, s, columns), (size_t)columns * sizeof *out);
    }
    return PEFT_OK;
}

/* How many of the examples from `first` on fit into one batch; they come from short to long. */
static int64_t batch_size(const peft_tokens *tokens, const uint32_t *rows, int64_t first, int64_t max_tokens)
{
    int64_t size = 0, total = 0;
    while (first + size < tokens->count) {
        total += peft_tokens_length(tokens, rows[first + size]);
        if (size > 0 && total > max_tokens) break;
        size++;
    }
    return size;
}

/* The tokens of a batch. */
static int64_t count_tokens(const peft_tokens *tokens, const uint32_t *rows, int64_t size)
{
    int64_t total = 0;
    for (int64_t s = 0; s < size; s++) total += peft_tokens_length(tokens, rows[s]);
    return total;
}

static peft_status plan_batch(const peft_predictor *p, peft_prediction what, const peft_tokens *tokens,
                              const uint32_t *rows, int64_t count, size_t *bytes, peft_error *error)
{
    peft_batch_memory memory = {0};
    results r = {NULL, NULL};
    peft_status status = peft_tokens_gather(tokens, rows, count, &memory, error);
    if (status == PEFT_OK) {
        peft_graph_reset(p->g);
        describe(p, what, &memory, &r);
        status = peft_graph_status(p->g, error);
    }
    if (status == PEFT_OK) status = peft_graph_plan(p->g, p->ctx, bytes, error);
    peft_graph_reset(p->g);
    peft_batch_memory_free(&memory);
    return status;
}

peft_status peft_predict_plan(const peft_predictor *p, peft_prediction what, const peft_tokens *tokens, size_t *bytes,
                              peft_error *error)
{
    *bytes = 0;
    uint32_t *rows = malloc(((size_t)tokens->count + 1) * sizeof *rows);
    if (!rows) return peft_fail(error, PEFT_ERR_MEMORY, "predict: out of memory");
    peft_status status = peft_tokens_order_by_length(tokens, rows, error);
    int64_t max_tokens = p->max_tokens ? p->max_tokens : DEFAULT_MAX_TOKENS;
    int64_t most = 0, largest = 0, largest_size = 0;
    for (int64_t first = 0, size; status == PEFT_OK && first < tokens->count; first += size) {
        size = batch_size(tokens, rows, first, max_tokens);
        int64_t total = count_tokens(tokens, rows + first, size);
        peft_context_expect(p->ctx, total);
        if (total >= most) most = total, largest = first, largest_size = size;
    }
    if (largest_size) status = plan_batch(p, what, tokens, rows + largest, largest_size, bytes, error);
    free(rows);
    return status;
}

peft_status peft_predict(const peft_predictor *p, peft_prediction what, const peft_tokens *tokens, float *outputs,
                         peft_error *error)
{
    uint32_t *rows = malloc(((size_t)tokens->count + 1) * sizeof *rows);
    if (!rows) return peft_fail(error, PEFT_ERR_MEMORY, "predict: out of memory");
    peft_status status = peft_tokens_order_by_length(tokens, rows, error);
    peft_batch_memory memory = {0};
    int64_t max_tokens = p->max_tokens ? p->max_tokens : DEFAULT_MAX_TOKENS;
    for (int64_t first = 0; status == PEFT_OK && first < tokens->count;) {
        int64_t size = batch_size(tokens, rows, first, max_tokens);
        status = predict_batch(p, what, tokens, rows + first, size, &memory, outputs, error);
        first += size;
        const peft_event event = {"eval", first, tokens->count, nan("")};
        if (status == PEFT_OK && p->callback.report && !p->callback.report(p->callback.argument, &event))
            status = peft_fail(error, PEFT_ERR_CANCELLED, "predict: stopped after %" PRId64 " of %" PRId64 " examples",
                               first, tokens->count);
    }
    peft_batch_memory_free(&memory);
    free(rows);
    return status;
}

int32_t peft_best_class(const float *logits, int64_t num_labels)
{
    int32_t best = 0;
    for (int32_t c = 1; c < num_labels; c++)
        if (logits[c] > logits[best]) best = c;
    return best;
}

static bool is_one_answer(const peft_outcomes *outcomes)
{
    for (size_t n = 1; n < outcomes->count; n++)
        if (outcomes->predicted[n] != outcomes->predicted[0]) return false;
    return outcomes->classes && outcomes->count > 1;
}

static peft_status compute(const peft_outcomes *outcomes, const char *const *names, peft_scores *scores,
                           peft_error *error)
{
    *scores = (peft_scores){.examples = (int64_t)outcomes->count, .one_answer = is_one_answer(outcomes)};
    peft_status status = PEFT_OK;
    for (int k = 0; status == PEFT_OK && names[k]; k++) {
        scores->names[k] = names[k];
        scores->num_metrics = k + 1;
        status = peft_metric_compute(names[k], outcomes, &scores->values[k], error);
    }
    return status;
}

peft_status peft_score(const float *logits, int64_t num_labels, const peft_tokens *tokens, const char *const *names,
                       int32_t positive, peft_scores *scores, peft_error *error)
{
    if (!tokens->classes && !tokens->scores)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "eval: the data have no labels");
    int32_t *predicted = malloc(((size_t)tokens->count + 1) * sizeof *predicted);
    if (!predicted) return peft_fail(error, PEFT_ERR_MEMORY, "eval: out of memory");
    for (int64_t n = 0; n < tokens->count; n++) predicted[n] = peft_best_class(logits + n * num_labels, num_labels);
    const peft_outcomes outcomes = {.count = (size_t)tokens->count,
                                    .predicted = predicted,
                                    .classes = tokens->classes,
                                    .positive = positive,
                                    .predicted_scores = logits,
                                    .scores = tokens->scores};
    peft_status status = compute(&outcomes, names, scores, error);
    free(predicted);
    return status;
}

peft_status peft_evaluate(const peft_predictor *p, const peft_tokens *tokens, const char *const *names,
                          int32_t positive, peft_scores *scores, peft_error *error)
{
    int64_t labels = peft_model_num_labels(p->model);
    float *logits = malloc((size_t)(tokens->count * labels + 1) * sizeof *logits);
    if (!logits) return peft_fail(error, PEFT_ERR_MEMORY, "eval: out of memory");
    peft_status status = peft_predict(p, PEFT_PREDICT_LOGITS, tokens, logits, error);
    if (status == PEFT_OK) status = peft_score(logits, labels, tokens, names, positive, scores, error);
    free(logits);
    return status;
}
