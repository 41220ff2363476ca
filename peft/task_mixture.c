#include "peft/task_mixture.h"

#include <stdlib.h>
#include <string.h>

#include "peft/answers.h"

typedef struct opening {
    peft_task_mixture *mixture;
    const peft_mixture_options *options;
    peft_model *model;
    peft_context *ctx;
    const peft_tokenizer *tokenizer;
    peft_data_options data;
} opening;

static peft_status no_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "tasks: out of memory");
}

/* ---- growing ---- */

static bool grow(void *array, size_t bytes)
{
    void **place = array;
    void *larger = realloc(*place, bytes + 1);
    if (larger) *place = larger;
    return larger != NULL;
}

static bool append_tokens(peft_task_mixture *m, const peft_tokens *from, const int32_t *classes, uint32_t task)
{
    peft_tokens *to = &m->tokens;
    const int64_t count = to->count + from->count, ids = to->count ? to->offsets[to->count] : 0;
    const size_t more = (size_t)(ids + from->offsets[from->count]);
    if (!grow(&to->offsets, (size_t)(count + 1) * sizeof *to->offsets) ||
        !grow(&to->input_ids, more * sizeof *to->input_ids) ||
        !grow(&to->token_type_ids, more * sizeof *to->token_type_ids) ||
        !grow(&m->classes, (size_t)count * sizeof *m->classes) || !grow(&m->tasks, (size_t)count * sizeof *m->tasks))
        return false;
    memcpy(to->input_ids + ids, from->input_ids, (size_t)from->offsets[from->count] * sizeof *to->input_ids);
    memcpy(to->token_type_ids + ids, from->token_type_ids, (size_t)from->offsets[from->count] * sizeof *to->input_ids);
    for (int64_t k = 0; k < from->count; k++) {
        to->offsets[to->count + k] = ids + from->offsets[k];
        m->classes[to->count + k] = classes[k];
        m->tasks[to->count + k] = task;
    }
    to->offsets[count] = ids + from->offsets[from->count];
    to->count = count;
    if (from->longest > to->longest) to->longest = from->longest;
    return true;
}

/* ---- one task ---- */

static peft_status add_answers(const opening *o, const peft_corpus *corpus, peft_error *error)
{
    peft_task_mixture *m = o->mixture;
    const peft_class_names classes = {(const char *const *)corpus->train->label_names, (size_t)corpus->num_labels};
    const int64_t size = peft_model_hidden_size(o->model);
    const char **texts = NULL;
    json_t *words = peft_corpus_answers(corpus);
    peft_status status = peft_answer_texts(words, &classes, &texts, error);
    if (status == PEFT_OK && !grow(&m->vectors, (size_t)((m->num_vectors + corpus->num_labels) * size) * sizeof(float)))
        status = no_memory(error);
    if (status == PEFT_OK)
        status = peft_answer_vectors(o->model, o->ctx, o->tokenizer, texts, corpus->num_labels,
                                     o->options->answer_scale, m->vectors + m->num_vectors * size, error);
    if (status == PEFT_OK) m->num_vectors += corpus->num_labels;
    if (corpus->num_labels > m->max_answers) m->max_answers = corpus->num_labels;
    free(texts);
    json_decref(words);
    return status;
}

static peft_status add_examples(const opening *o, const peft_corpus *corpus, int64_t task, peft_error *error)
{
    peft_tokens *tokens;
    peft_status status = peft_tokens_encode(&tokens, o->tokenizer, corpus->train, o->options->max_length, error);
    if (status == PEFT_OK && !append_tokens(o->mixture, tokens, corpus->train->classes, (uint32_t)task))
        status = no_memory(error);
    if (status == PEFT_OK) peft_tokens_free(tokens);
    return status;
}

static peft_status add_task(const opening *o, int64_t index, peft_error *error)
{
    peft_task_mixture *m = o->mixture;
    const peft_task *task = m->list.tasks[index];
    const peft_corpus_wanted wanted = {.task = task, .train = true, .seed = (uint64_t)o->options->seed};
    peft_corpus corpus = {0};
    if (!task->descriptions || !task->descriptions[0])
        return peft_fail(error, PEFT_ERR_ARGUMENT, "task %s: has no descriptions, from which a generator learns",
                         task->name);
    peft_status status = peft_corpus_open(&corpus, &o->data, &wanted, error);
    if (status == PEFT_OK && (corpus.regression || !corpus.train->classes))
        status = peft_fail(error, PEFT_ERR_ARGUMENT,
                           "task %s: its labels are numbers; end to end, tasks have classes, "
                           "whose answers are compared",
                           task->name);
    if (status == PEFT_OK) status = add_answers(o, &corpus, error);
    if (status == PEFT_OK) status = add_examples(o, &corpus, index, error);
    m->first_answer[index + 1] = m->num_vectors;
    peft_corpus_close(&corpus);
    return status;
}

/* ---- all of them ---- */

static peft_status list_answers(peft_task_mixture *m, peft_error *error)
{
    m->answers = malloc((size_t)(m->tokens.count * m->max_answers) * sizeof *m->answers + 1);
    if (!m->answers) return no_memory(error);
    for (int64_t k = 0; k < m->tokens.count; k++)
        for (int64_t a = 0; a < m->max_answers; a++) {
            int64_t row = m->first_answer[m->tasks[k]] + a;
            m->answers[k * m->max_answers + a] = row < m->first_answer[m->tasks[k] + 1] ? (int32_t)row : -1;
        }
    m->tokens.classes = m->classes;
    return PEFT_OK;
}

peft_status peft_task_mixture_open(peft_task_mixture *mixture, const peft_mixture_options *options, peft_model *model,
                                   peft_context *ctx, const peft_tokenizer *tokenizer, peft_error *error)
{
    const peft_data_options data = {.task = (char *)(uintptr_t)options->task,
                                    .data = (char *)(uintptr_t)options->data,
                                    .max_train = options->max_train};
    const opening o = {mixture, options, model, ctx, tokenizer, data};
    *mixture = (peft_task_mixture){0};
    peft_status status = peft_data_options_check(&data, error);
    if (status == PEFT_OK) status = peft_task_list_open(options->task, &mixture->list, error);
    mixture->num_tasks = (int64_t)mixture->list.count;
    mixture->first_answer = calloc((size_t)mixture->num_tasks + 1, sizeof *mixture->first_answer);
    if (status == PEFT_OK && !mixture->first_answer) status = no_memory(error);
    for (int64_t k = 0; k < mixture->num_tasks && status == PEFT_OK; k++) status = add_task(&o, k, error);
    if (status == PEFT_OK) status = list_answers(mixture, error);
    if (status != PEFT_OK) peft_task_mixture_close(mixture);
    return status;
}

void peft_task_mixture_close(peft_task_mixture *m)
{
    free(m->tokens.offsets);
    free(m->tokens.input_ids);
    free(m->tokens.token_type_ids);
    free(m->classes);
    free(m->tasks);
    free(m->answers);
    free(m->vectors);
    free(m->first_answer);
    peft_task_list_free(&m->list);
    *m = (peft_task_mixture){0};
}

peft_answer_objective peft_task_mixture_objective(const peft_task_mixture *m, const peft_model *model)
{
    return (peft_answer_objective){.model = model,
                                   .tokens = &m->tokens,
                                   .vectors = m->vectors,
                                   .answers = m->answers,
                                   .num_vectors = m->num_vectors,
                                   .max_answers = m->max_answers};
}
