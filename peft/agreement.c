#include "peft/agreement.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "ops/rng.h"
#include "peft/evaluate.h"
#include "peft/inject.h"

enum { SEQUENCES = 64, LONGEST = 128 };

/* `count` random ids below `vocabulary`. */
static void draw_ids(int32_t *ids, int64_t count, int64_t vocabulary)
{
    for (int64_t i = 0; i < count; i++)
        ids[i] = (int32_t)(peft_random_u64(0, peft_stream("agreement"), (uint64_t)i) % (uint64_t)vocabulary);
}

/* Sequences from short to long, the first of one token and the last as long as it may be. */
static peft_status make_tokens(peft_tokens *tokens, const peft_model *model, peft_error *error)
{
    int64_t longest = peft_model_max_length(model) < LONGEST ? peft_model_max_length(model) : LONGEST;
    *tokens = (peft_tokens){.count = SEQUENCES, .longest = longest};
    tokens->offsets = calloc(SEQUENCES + 1, sizeof *tokens->offsets);
    tokens->input_ids = calloc((size_t)(SEQUENCES * longest), sizeof *tokens->input_ids);
    tokens->token_type_ids = calloc((size_t)(SEQUENCES * longest), sizeof *tokens->token_type_ids);
    if (!tokens->offsets || !tokens->input_ids || !tokens->token_type_ids)
        return peft_fail(error, PEFT_ERR_MEMORY, "compare models: out of memory");
    for (int64_t s = 0; s < SEQUENCES; s++)
        tokens->offsets[s + 1] = tokens->offsets[s] + 1 + s * (longest - 1) / (SEQUENCES - 1);
    draw_ids(tokens->input_ids, tokens->offsets[SEQUENCES], peft_model_vocab_size(model));
    return PEFT_OK;
}

static void free_tokens(peft_tokens *tokens)
{
    free(tokens->offsets);
    free(tokens->input_ids);
    free(tokens->token_type_ids);
}

static peft_status measure(const float *first, const float *second, int64_t count, peft_agreement *agreement,
                           peft_error *error)
{
    *agreement = (peft_agreement){.sequences = SEQUENCES};
    for (int64_t k = 0; k < count; k++) {
        if (!isfinite(first[k]) || !isfinite(second[k]))
            return peft_fail(error, PEFT_ERR_NUMERIC, "compare models: logits %g and %g", (double)first[k],
                             (double)second[k]);
        agreement->difference = fmax(agreement->difference, fabs((double)first[k] - (double)second[k]));
        agreement->largest = fmax(agreement->largest, fabs((double)first[k]));
    }
    return PEFT_OK;
}

static peft_status check_alike(const peft_model *first, const peft_model *second, peft_error *error)
{
    if (peft_model_vocab_size(first) == peft_model_vocab_size(second) &&
        peft_model_num_labels(first) == peft_model_num_labels(second) &&
        peft_model_max_length(first) == peft_model_max_length(second))
        return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT, "compare models: %s and %s differ in tokens, labels or length",
                     peft_model_dir(first), peft_model_dir(second));
}

static peft_status compare(const peft_predictor *predictor, peft_model *second, peft_agreement *agreement,
                           peft_error *error)
{
    peft_prediction what = peft_has_head(second) ? PEFT_PREDICT_LOGITS : PEFT_PREDICT_EMBEDDING;
    int64_t count = SEQUENCES * peft_prediction_columns(predictor, what);
    peft_predictor other = *predictor;
    other.model = second;
    peft_tokens tokens;
    float *logits = malloc(2 * (size_t)count * sizeof *logits);
    peft_status status = make_tokens(&tokens, second, error);
    if (!logits) status = peft_fail(error, PEFT_ERR_MEMORY, "compare models: out of memory");
    if (status == PEFT_OK) status = peft_predict(predictor, what, &tokens, logits, error);
    if (status == PEFT_OK) status = peft_predict(&other, what, &tokens, logits + count, error);
    if (status == PEFT_OK) status = measure(logits, logits + count, count, agreement, error);
    free(logits);
    free_tokens(&tokens);
    return status;
}

/* As the first model's folder makes vectors. */
static peft_status open_sentence(peft_predictor *predictor, peft_error *error)
{
    peft_status status = peft_sentence_open(&predictor->sentence, peft_model_dir(predictor->model), error);
    if (status) return status;
    return peft_sentence_fit(predictor->sentence, peft_model_hidden_size(predictor->model), error);
}

peft_status peft_models_compare(peft_context *ctx, const peft_model *first, peft_model *second,
                                peft_agreement *agreement, peft_error *error)
{
    peft_graph *g;
    *agreement = (peft_agreement){0};
    peft_status status = check_alike(first, second, error);
    if (status == PEFT_OK) status = peft_graph_create(&g, error);
    if (status) return status;
    peft_predictor predictor = {.ctx = ctx, .g = g, .model = first};
    if (!peft_has_head(second)) status = open_sentence(&predictor, error);
    if (status == PEFT_OK) status = compare(&predictor, second, agreement, error);
    peft_sentence_close(predictor.sentence);
    peft_graph_free(g);
    return status;
}
