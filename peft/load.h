/* peft/load.h - a model as it is used: base model, adapter and tokenizer, opened together.
 *
 *     peft_loaded loaded;
 *     status = peft_load(&loaded, "minilm", "runs/entail", PEFT_WITH_HEAD, NULL, &error);
 *     ...
 *     peft_loaded_close(&loaded); */
#ifndef PEFT_PEFT_LOAD_H
#define PEFT_PEFT_LOAD_H

#include "models/tokenizer.h"
#include "peft/config.h"
#include "peft/label_names.h"
#include "tasks/tokens.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All that was opened; everything is owned. */
typedef struct peft_loaded {
    peft_model *model;
    peft_adapters *adapters; /* NULL: none */
    peft_tokenizer *tokenizer;

    /* With a head. Names are, by class id, those of "label_names" in run.json beside an adapter that brings the head,
     * else of "id2label" in the model's config.json, if it has as many. */
    int64_t num_labels;
    bool regression;    /* one output: a score */
    char **label_names; /* [num_labels]; LABEL_0, LABEL_1, ... for classes without a name; NULL for regression */
    bool has_names;     /* some of them are real names */
    peft_names_source names_source;
    peft_run_record record; /* of run.json beside the adapter, or in the model's folder */
} peft_loaded;

/* PEFT_WITH_HEAD: the head is the adapter's, else the model's own; where neither has one that was trained the call
 * fails, unless the options have answers to compare with. PEFT_WITHOUT_HEAD: only hidden layers will be asked for.
 * PEFT_WITH_ANY_HEAD: with a head where there is a trained one, else the encoder with its pooler. */
typedef enum peft_head_use { PEFT_WITHOUT_HEAD, PEFT_WITH_HEAD, PEFT_WITH_ANY_HEAD } peft_head_use;

/* Opens the folder of a base model and, unless NULL, that of an adapter. `options` may be NULL; its notes hold what is
 * no error but should be known.
 *
 * PEFT_ERR_FILE, PEFT_ERR_FORMAT, PEFT_ERR_UNSUPPORTED: what is missing, malformed, not offered, or does not fit
 * together, by file and name; PEFT_ERR_ARGUMENT: no trained head; PEFT_ERR_MEMORY. Nothing is left open then. */
PEFT_API peft_status peft_load(peft_loaded *loaded, const char *model, const char *adapter, peft_head_use head,
                               const peft_load_options *options, peft_error *error);
PEFT_API void peft_loaded_close(peft_loaded *loaded); /* a struct of zeros is allowed */

/* The tokenizer of the model's folder, whose ids must all have an embedding (PEFT_ERR_FORMAT). */
PEFT_API peft_status peft_load_tokenizer(peft_tokenizer **tokenizer, const peft_model *model, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
