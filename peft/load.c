#include "peft/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peft/adapter_folder.h"
#include "peft/adapter_read.h"
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

static peft_status describe_head(peft_loaded *l, const char *model, const char *run, peft_error *error)
{
    l->num_labels = peft_model_num_labels(l->model);
    l->regression = l->num_labels == 1;
    peft_status status = peft_run_record_load(&l->record, run ? run : model, error);
    return status != PEFT_OK || l->regression ? status : name_labels(l, model, run, error);
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

static peft_status open_part(peft_loaded *l, const char *model, peft_model_part part, int64_t labels, peft_error *error)
{
    const peft_model_options options = {.num_labels = labels, .regression = labels == 1, .part = part};
    peft_model_close(l->model);
    l->model = NULL;
    return peft_model_open(&l->model, model, &options, error);
}

/* An adapter may sit on layers of the head, so with one the head is opened whatever it is for. */
static peft_status open_model(peft_loaded *l, const char *model, const char *adapter, peft_head_use head,
                              int64_t adapter_labels, peft_error *error)
{
    peft_model_part part = head == PEFT_WITHOUT_HEAD && !adapter ? PEFT_MODEL_HIDDEN : PEFT_MODEL_WITH_HEAD;
    peft_status status = open_part(l, model, part, adapter_labels, error);
    if (status != PEFT_OK || head == PEFT_WITHOUT_HEAD || adapter_labels || peft_model_has_trained_head(l->model))
        return status;
    if (head == PEFT_WITH_ANY_HEAD) return open_part(l, model, PEFT_MODEL_ENCODER, 0, error);
    return peft_fail(error, PEFT_ERR_ARGUMENT,
                     "%s has no trained head (%s)%s%s; give an adapter that was trained on a task", model,
                     peft_model_head(l->model), adapter ? ", nor has " : "", adapter ? adapter : "");
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

static peft_status open_tokenizer(peft_loaded *l, const peft_load_options *options, peft_error *error)
{
    note_taker taker = {options, peft_load_tokenizer(&l->tokenizer, l->model, error), error};
    if (taker.status == PEFT_OK) peft_tokenizer_notes(l->tokenizer, take_note, &taker);
    return taker.status;
}

static peft_status load(peft_loaded *l, const char *model, const char *adapter, peft_head_use head,
                        const peft_load_options *options, peft_error *error)
{
    int64_t adapter_labels = 0;
    peft_status status = adapter ? peft_adapter_head_labels(adapter, &adapter_labels, error) : PEFT_OK;
    if (status == PEFT_OK) status = open_model(l, model, adapter, head, adapter_labels, error);
    if (status == PEFT_OK && adapter) status = peft_adapter_load(l->model, adapter, options, &l->adapters, NULL, error);
    if (status == PEFT_OK) status = note_model(l, head, options, error);
    if (status == PEFT_OK) status = open_tokenizer(l, options, error);
    if (status == PEFT_OK && head != PEFT_WITHOUT_HEAD && peft_has_head(l->model))
        status = describe_head(l, model, adapter_labels ? adapter : NULL, error);
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
