#include "peft/answers.h"

#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "models/answers.h"
#include "peft/evaluate.h"
#include "peft/sentence.h"

/* ---- texts ---- */

static peft_status fail_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "answers: out of memory");
}

static size_t count_of(const json_t *answers)
{
    return json_is_object(answers) ? json_object_size(answers) : json_array_size(answers);
}

static peft_status check_text(const json_t *answer, peft_error *error)
{
    char found[PEFT_JSON_TEXT];
    if (json_is_string(answer) && *json_string_value(answer)) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT, "answers: expected texts, found %s", peft_json_text(answer, found));
}

static peft_status check_different(const char *const *texts, size_t count, peft_error *error)
{
    for (size_t k = 1; k < count; k++)
        for (size_t other = 0; other < k; other++)
            if (strcmp(texts[k], texts[other]) == 0)
                return peft_fail(error, PEFT_ERR_ARGUMENT, "answers: \"%s\" stands for two classes", texts[k]);
    return PEFT_OK;
}

static size_t class_of(const peft_class_names *classes, const char *name)
{
    size_t k = 0;
    while (k < classes->count && strcmp(classes->names[k], name) != 0) k++;
    return k;
}

static peft_status take_list(const json_t *answers, size_t count, const char **texts, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (size_t k = 0; k < count && status == PEFT_OK; k++) {
        status = check_text(json_array_get(answers, k), error);
        texts[k] = json_string_value(json_array_get(answers, k));
    }
    return status;
}

static peft_status take_object(const json_t *answers, const peft_class_names *classes, const char **texts,
                               peft_error *error)
{
    const char *name;
    json_t *answer;
    json_object_foreach((json_t *)(uintptr_t)answers, name, answer)
    {
        size_t k = class_of(classes, name);
        if (k == classes->count)
            return peft_fail(error, PEFT_ERR_ARGUMENT, "answers: no class is called \"%s\"; the first is \"%s\"", name,
                             classes->names[0]);
        peft_status status = check_text(answer, error);
        if (status != PEFT_OK) return status;
        texts[k] = json_string_value(answer);
    }
    return PEFT_OK;
}

static peft_status check_kind(const json_t *answers, peft_error *error)
{
    char found[PEFT_JSON_TEXT];
    if (json_is_array(answers) || json_is_object(answers)) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT,
                     "answers: expected a list by class or an object of classes and answers, found %s",
                     peft_json_text(answers, found));
}

peft_status peft_answer_texts(const json_t *answers, const peft_class_names *classes, const char ***texts,
                              peft_error *error)
{
    *texts = NULL;
    peft_status status = answers ? check_kind(answers, error) : PEFT_OK;
    if (status != PEFT_OK) return status;
    if (answers && count_of(answers) != classes->count)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "answers: expected %zu, one for each class, found %zu",
                         classes->count, count_of(answers));
    const char **list = calloc(classes->count + 1, sizeof *list);
    if (!list) return fail_memory(error);
    if (json_is_object(answers))
        status = take_object(answers, classes, list, error);
    else if (answers)
        status = take_list(answers, classes->count, list, error);
    else
        for (size_t k = 0; k < classes->count; k++) list[k] = classes->names[k];
    if (status == PEFT_OK) status = check_different(list, classes->count, error);
    if (status == PEFT_OK)
        *texts = list;
    else
        free(list);
    return status;
}

peft_status peft_answer_classes(const json_t *answers, peft_class_names *classes, peft_error *error)
{
    *classes = (peft_class_names){NULL, 0};
    peft_status status = check_kind(answers, error);
    size_t count = count_of(answers);
    if (status == PEFT_OK && count < 2)
        status = peft_fail(error, PEFT_ERR_ARGUMENT, "answers: expected at least 2, found %zu", count);
    if (status != PEFT_OK) return status;
    const char **names = calloc(count + 1, sizeof *names), *name;
    if (!names) return fail_memory(error);
    json_t *answer;
    size_t k = 0;
    json_object_foreach((json_t *)(uintptr_t)answers, name, answer)
    {
        (void)answer;
        names[k++] = name;
    }
    if (json_is_array(answers)) status = take_list(answers, count, names, error);
    if (status == PEFT_OK) status = check_different(names, count, error);
    if (status == PEFT_OK)
        *classes = (peft_class_names){names, count};
    else
        free(names);
    return status;
}

/* ---- vectors ---- */

peft_status peft_answer_pooling(const char *dir, peft_model_pooling *pooling, peft_error *error)
{
    peft_sentence *sentence;
    peft_status status = peft_sentence_open(&sentence, dir, error);
    if (status != PEFT_OK) return status;
    bool first = false;
    status = peft_sentence_check_plain(sentence, &first, error);
    *pooling = first ? PEFT_POOL_FIRST : PEFT_POOL_MEAN;
    peft_sentence_close(sentence);
    return status == PEFT_OK ? status : peft_fail_in(error, status, dir);
}

static peft_status encode(const peft_model *model, const peft_tokenizer *tokenizer, const char *const *texts,
                          int64_t count, peft_tokens **tokens, peft_error *error)
{
    *tokens = NULL;
    peft_cell *cells = calloc((size_t)count + 1, sizeof *cells);
    size_t *lines = calloc((size_t)count + 1, sizeof *lines);
    peft_status status = cells && lines ? PEFT_OK : fail_memory(error);
    for (int64_t k = 0; k < count && status == PEFT_OK; k++) {
        cells[k] = (peft_cell){texts[k], strlen(texts[k])};
        lines[k] = (size_t)k + 1;
    }
    const peft_dataset dataset = {.count = (size_t)count, .text = cells, .lines = lines};
    if (status == PEFT_OK)
        status = peft_tokens_encode(tokens, tokenizer, &dataset, peft_model_max_length(model), error);
    free(cells);
    free(lines);
    return status == PEFT_OK ? status : peft_fail_in(error, status, "answers");
}

peft_status peft_answer_vectors(peft_model *model, peft_context *ctx, const peft_tokenizer *tokenizer,
                                const char *const *texts, int64_t count, double scale, float *vectors,
                                peft_error *error)
{
    peft_tokens *tokens;
    peft_predictor predictor = {.ctx = ctx, .model = model};
    peft_status status = encode(model, tokenizer, texts, count, &tokens, error);
    if (status == PEFT_OK) status = peft_graph_create(&predictor.g, error);
    if (status == PEFT_OK) status = peft_predict(&predictor, PEFT_PREDICT_SENTENCE, tokens, vectors, error);
    for (int64_t k = 0; k < count * peft_model_hidden_size(model) && status == PEFT_OK; k++)
        vectors[k] = (float)((double)vectors[k] * scale);
    peft_graph_free(predictor.g);
    peft_tokens_free(tokens);
    return status;
}

/* As where the tokenizer knows neither text. */
static peft_status check_apart(const float *vectors, int64_t size, const char *const *texts, int64_t count,
                               peft_error *error)
{
    for (int64_t k = 1; k < count; k++)
        for (int64_t other = 0; other < k; other++)
            if (memcmp(vectors + k * size, vectors + other * size, (size_t)size * sizeof *vectors) == 0)
                return peft_fail(error, PEFT_ERR_ARGUMENT,
                                 "answers: \"%s\" and \"%s\" have the same vector; does the tokenizer know them?",
                                 texts[other], texts[k]);
    return PEFT_OK;
}

peft_status peft_answers_fill(peft_model *model, peft_context *ctx, const peft_tokenizer *tokenizer,
                              const char *const *texts, double scale, peft_error *error)
{
    int64_t count = peft_model_num_labels(model);
    float *vectors = calloc((size_t)(count * peft_model_hidden_size(model)), sizeof *vectors);
    if (!vectors) return fail_memory(error);
    peft_status status = peft_answer_vectors(model, ctx, tokenizer, texts, count, scale, vectors, error);
    if (status == PEFT_OK) status = check_apart(vectors, peft_model_hidden_size(model), texts, count, error);
    if (status == PEFT_OK) status = peft_model_fill(model, peft_model_answers(model), vectors, error);
    free(vectors);
    return status;
}
