#include "peft/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peft/adapter_folder.h"
#include "peft/adapter_read.h"
#include "peft/answers.h"
#include "peft/inject.h"

/* ---- names of the classes ---- */

/* LABEL_0, ... where nobody names them. */
static peft_status number_classes(peft_loaded *l, peft_error *error)
{
    enum { NAME_BYTES = 32 };
    for (int64_t k = 0; k < l->num_labels; k++) {
        if (!(l->label_names[k] = malloc(NAME_BYTES)))
            return peft_fail(error, PEFT_ERR_MEMORY, "names of labels: out of memory");
        snprintf(l->label_names[k], NAME_BYTES, "LABEL_%" PRId64, k);
    }
    return PEFT_OK;
}

/* Those of the run that trained the head, else those of the model. `run` NULL: the head is the model's own. */
static peft_status name_labels(peft_loaded *l, const char *model, const char *run, peft_error *error)
{
    peft_label_names names = {0};
    peft_status status = run ? peft_label_names_of_run(&names, run, l->num_labels, error) : PEFT_OK;
    if (status == PEFT_OK && !names.names) status = peft_label_names_of_model(&names, model, l->num_labels, error);
    if (status != PEFT_OK) return status;
    l->names_source = names.source;
    l->has_names = names.source != PEFT_NAMES_NONE;
    l->label_names = names.names; /* taken over */
    if (l->label_names) return PEFT_OK;
    l->label_names = calloc((size_t)l->num_labels, sizeof *l->label_names);
    return l->label_names ? number_classes(l, error)
                          : peft_fail(error, PEFT_ERR_MEMORY, "names of labels: out of memory");
}

static peft_status copy_names(peft_loaded *l, const peft_class_names *given, peft_error *error)
{
    l->names_source = PEFT_NAMES_OF_MODEL;
    l->has_names = true;
    l->label_names = calloc(given->count + 1, sizeof *l->label_names);
    for (size_t k = 0; l->label_names && k < given->count; k++)
        if (!(l->label_names[k] = strdup(given->names[k])))
            return peft_fail(error, PEFT_ERR_MEMORY, "names of labels: out of memory");
    return l->label_names ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "names of labels: out of memory");
}

/* `given`: by the caller, with its answers; or empty. */
static peft_status describe_head(peft_loaded *l, const char *model, const char *run, const peft_class_names *given,
                                 peft_error *error)
{
    l->num_labels = peft_model_num_labels(l->model);
    l->regression = l->num_labels == 1;
    peft_status status = peft_run_record_load(&l->record, run ? run : model, error);
    if (status != PEFT_OK || l->regression) return status;
    return given->names ? copy_names(l, given, error) : name_labels(l, model, run, error);
}

/* ---- opening ---- */

peft_status peft_load_tokenizer(peft_tokenizer **tokenizer, const peft_model *model, peft_error *error)
{
    peft_status status = peft_tokenizer_open(tokenizer, peft_model_dir(model), error);
    if (status != PEFT_OK || peft_tokenizer_vocab_size(*tokenizer) <= peft_model_vocab_size(model)) return status;
    status = peft_fail(error, PEFT_ERR_FORMAT, "%s: the tokenizer has ids up to %d, the model %" PRId64 " embeddings",
                       peft_model_dir(model), peft_tokenizer_vocab_size(*tokenizer) - 1, peft_model_vocab_size(model));
    peft_tokenizer_close(*tokenizer);
    *tokenizer = NULL;
    return status;
}

static peft_status open_as(peft_loaded *l, const char *model, const peft_model_options *wanted, peft_error *error)
{
    peft_model_options options = *wanted;
    peft_model_close(l->model);
    l->model = NULL;
    peft_status status = PEFT_OK;
    if (options.part == PEFT_MODEL_ANSWERS) status = peft_answer_pooling(model, &options.pooling, error);
    return status == PEFT_OK ? peft_model_open(&l->model, model, &options, error) : status;
}

static bool is_trained(const peft_model *model)
{
    return model && peft_model_has_trained_head(model);
}

/* A merged model may have answers in place of a head. */
static peft_status open_with_answers(peft_loaded *l, const char *model, peft_error *error)
{
    const peft_model_options options = {.part = PEFT_MODEL_ANSWERS};
    peft_status status = open_as(l, model, &options, error);
    return status == PEFT_ERR_UNSUPPORTED ? PEFT_OK : status; /* it pools in a way that answers do not */
}

/* An adapter may have been trained for another task than any that is offered here: where only hidden layers are asked
 * for, its head is left out. */
static peft_status open_model(peft_loaded *l, const char *model, const char *adapter, peft_head_use use,
                              const peft_model_options *head, peft_error *error)
{
    const peft_model_options hidden = {.part = PEFT_MODEL_HIDDEN}, encoder = {.part = PEFT_MODEL_ENCODER};
    peft_status status = open_as(l, model, use == PEFT_WITHOUT_HEAD ? &hidden : head, error);
    if (status != PEFT_OK || use == PEFT_WITHOUT_HEAD || head->num_labels || is_trained(l->model)) return status;
    const char *name = peft_model_head(l->model);
    status = open_with_answers(l, model, error);
    if (status != PEFT_OK || is_trained(l->model)) return status;
    if (use == PEFT_WITH_ANY_HEAD) return open_as(l, model, &encoder, error);
    return peft_fail(error, PEFT_ERR_ARGUMENT,
                     "%s has no trained head (%s)%s%s; give an adapter that was trained on a task, or answers to "
                     "compare texts with",
                     model, name, adapter ? ", nor has " : "", adapter ? adapter : "");
}

/* ---- answers that the caller brings ---- */

static peft_status find_head(const char *adapter, const json_t *answers, peft_model_options *head,
                             peft_class_names *classes, peft_error *error)
{
    *head = (peft_model_options){0};
    peft_status status = adapter ? peft_adapter_head(adapter, head, error) : PEFT_OK;
    if (status != PEFT_OK || !answers) return status;
    if (head->num_labels)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s has a head of its own: leave the answers out", adapter);
    status = peft_answer_classes(answers, classes, error);
    *head = (peft_model_options){.part = PEFT_MODEL_ANSWERS, .num_labels = (int64_t)classes->count};
    return status;
}

static peft_status fill_answers(peft_loaded *l, const peft_load_options *options, const peft_class_names *classes,
                                peft_error *error)
{
    const char **texts;
    peft_status status = peft_answer_texts(options->answers, classes, &texts, error);
    if (status != PEFT_OK) return status;
    status = peft_answers_fill(l->model, options->ctx, l->tokenizer, texts, options->answer_scale, error);
    free(texts);
    return status;
}

/* The notes of model and tokenizer, kept as those of the adapter are. */
typedef struct note_taker {
    const peft_load_options *options;
    peft_status status;
    peft_error *error;
} note_taker;

static void take_note(void *argument, const char *text)
{
    note_taker *t = argument;
    if (t->status == PEFT_OK) t->status = peft_note(t->options, t->error, "%s", text);
}

static peft_status note_model(const peft_loaded *l, peft_head_use head, const peft_load_options *options,
                              peft_error *error)
{
    note_taker taker = {options, PEFT_OK, error};
    peft_model_notes(l->model, head != PEFT_WITHOUT_HEAD, take_note, &taker);
    return taker.status;
}

static peft_status note_tokenizer(const peft_loaded *l, const peft_load_options *options, peft_error *error)
{
    note_taker taker = {options, PEFT_OK, error};
    peft_tokenizer_notes(l->tokenizer, take_note, &taker);
    return taker.status;
}

/* Answers are those of the model without adapter. */
static peft_status load(peft_loaded *l, const char *model, const char *adapter, peft_head_use use,
                        const peft_load_options *options, peft_error *error)
{
    const json_t *answers = options ? options->answers : NULL;
    peft_load_options adapter_options = options ? *options : (peft_load_options){0};
    adapter_options.hidden_only |= use == PEFT_WITHOUT_HEAD;
    peft_model_options head;
    peft_class_names classes = {NULL, 0};
    peft_status status = find_head(adapter, answers, &head, &classes, error);
    if (status == PEFT_OK) status = open_model(l, model, adapter, use, &head, error);
    if (status == PEFT_OK) status = peft_load_tokenizer(&l->tokenizer, l->model, error);
    if (status == PEFT_OK && answers) status = fill_answers(l, options, &classes, error);
    if (status == PEFT_OK && adapter)
        status = peft_adapter_load(l->model, adapter, &adapter_options, &l->adapters, NULL, error);
    if (status == PEFT_OK) status = note_model(l, use, options, error);
    if (status == PEFT_OK) status = note_tokenizer(l, options, error);
    bool of_adapter = head.num_labels && !answers;
    if (status == PEFT_OK && use != PEFT_WITHOUT_HEAD && peft_has_head(l->model))
        status = describe_head(l, model, of_adapter ? adapter : NULL, &classes, error);
    free((void *)(uintptr_t)classes.names);
    return status;
}

peft_status peft_load(peft_loaded *loaded, const char *model, const char *adapter, peft_head_use head,
                      const peft_load_options *options, peft_error *error)
{
    *loaded = (peft_loaded){0};
    peft_status status = load(loaded, model, adapter, head, options, error);
    if (status != PEFT_OK) peft_loaded_close(loaded);
    return status;
}

void peft_loaded_close(peft_loaded *l)
{
    for (int64_t k = 0; l->label_names && k < l->num_labels; k++) free(l->label_names[k]);
    free(l->label_names);
    free(l->record.positive_class);
    peft_tokenizer_close(l->tokenizer);
    if (l->adapters) peft_detach(l->model, l->adapters);
    peft_adapters_free(l->adapters);
    peft_model_close(l->model);
    *l = (peft_loaded){0};
}
