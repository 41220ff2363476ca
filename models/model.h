/* models/model.h - a transformer with a head, read from a Hugging Face folder, ready for adapters.
 *
 * The file's weights are mapped and frozen. What is trained besides adapters (the head; more by peft_model_train)
 * gets private copies with gradients. Names are those of the task model in transformers
 * ("bert.encoder.layer.0.attention.self.query"), whatever prefix the file leaves out. */
#ifndef PEFT_MODELS_MODEL_H
#define PEFT_MODELS_MODEL_H

#include "variants/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_model peft_model;

/* A linear layer that an adapter can be put on. */
typedef struct peft_linear_layer {
    const char *module;
    int64_t in_features, out_features;
    peft_base_linear base;
    const peft_adapter *adapter; /* NULL: none; not owned */
    bool output;                 /* of the head: `all-linear` does not mean it */
} peft_linear_layer;

typedef enum peft_model_part {
    PEFT_MODEL_WITH_HEAD, /* a class or a score for each sequence */
    PEFT_MODEL_HIDDEN,    /* hidden states alone: `peft embed` */
    PEFT_MODEL_ENCODER,   /* these, with the pooler where the file has one: what transformers calls BertModel */
    PEFT_MODEL_WORDS,     /* a word for each token (models/words.h): BertForMaskedLM */
    PEFT_MODEL_ANSWERS    /* a class for each sequence, by its similarity to answers (models/answers.h) */
} peft_model_part;

/* How a sequence becomes one vector. */
typedef enum peft_model_pooling { PEFT_POOL_MEAN, PEFT_POOL_FIRST } peft_model_pooling;

typedef struct peft_model_options {
    int64_t num_labels; /* of the head; 0: as the folder's config.json says */
    bool regression;    /* one output, no classes: num_labels is 1 */
    uint64_t seed;      /* of a head that the file does not have */
    peft_model_part part;
    peft_model_pooling pooling; /* of PEFT_MODEL_ANSWERS */
} peft_model_options;

/* PEFT_ERR_FILE, PEFT_ERR_FORMAT, PEFT_ERR_UNSUPPORTED: what is missing, misshapen, or changes the maths and is not
 * offered, by file and name. `options` may be NULL. */
PEFT_API peft_status peft_model_open(peft_model **model, const char *dir, const peft_model_options *options,
                                     peft_error *error);
PEFT_API void peft_model_close(peft_model *model); /* NULL is allowed */

PEFT_API const char *peft_model_type(const peft_model *model); /* "bert" */
/* transformers' class of what was opened: "BertForSequenceClassification", "BertModel" */
PEFT_API const char *peft_model_architecture(const peft_model *model);
PEFT_API const peft_model_options *peft_model_opened_with(const peft_model *model);
PEFT_API const char *peft_model_dir(const peft_model *model); /* NULL of NULL */
PEFT_API int64_t peft_model_num_labels(const peft_model *model);
PEFT_API int64_t peft_model_hidden_size(const peft_model *model);
PEFT_API int64_t peft_model_vocab_size(const peft_model *model);
PEFT_API int64_t peft_model_max_length(const peft_model *model); /* tokens that a sequence may have */
PEFT_API int64_t peft_model_num_layers(const peft_model *model); /* hidden layers */
PEFT_API size_t peft_model_mapped_bytes(const peft_model *model);
/* The type of the numbers in its files: PEFT_F16 or PEFT_BF16 where all weights have it, else PEFT_F32. */
PEFT_API peft_dtype peft_model_dtype(const peft_model *model);
/* The files of its weights, for fingerprints. */
PEFT_API size_t peft_model_num_files(const peft_model *model);
PEFT_API const char *peft_model_file(const peft_model *model, size_t index);
/* True: the head came from the file; false: it was drawn from the seed, or the model was opened without. */
PEFT_API bool peft_model_has_trained_head(const peft_model *model);
/* No file has this weight of the head or the pooler, so that it was drawn from the seed. It is trained like the head;
 * whoever reads it from elsewhere, from an adapter's file, says so. */
PEFT_API bool peft_model_is_drawn(const peft_model *model, const peft_weight *weight);
PEFT_API void peft_model_set_given(peft_model *model, const peft_weight *weight);

/* What is no error but should be known, one call each: tensors of the files that are no part of the model, and, where
 * the head is to be used, weights between it and the encoder that were drawn. `note` may be NULL. */
PEFT_API void peft_model_notes(const peft_model *model, bool head, peft_note_function *note, void *argument);

/* All linear layers in the order of the model, and all weights, of which NULL has none. The arrays live as long as the
 * model. */
PEFT_API peft_linear_layer *peft_model_linears(peft_model *model, int64_t *count);
PEFT_API peft_weight *peft_model_weights(peft_model *model, int64_t *count);

/* Modules that Hugging Face PEFT adapts where target_modules is null; ends with NULL. */
PEFT_API const char *const *peft_model_default_targets(const peft_model *model);
/* Module of the head that is saved with an adapter: "classifier", or "answers". */
PEFT_API const char *peft_model_head(const peft_model *model);
/* First part of the encoder's names, which files of bare encoders leave out: "bert.". */
PEFT_API const char *peft_model_prefix(const peft_model *model);
/* A weight or module of this name would lie in the head or the pooler, whether or not the model was opened with them.
 */
PEFT_API bool peft_model_is_of_head(const peft_model *model, const char *name);
/* The same of one that this model has not: its file has no pooler, or it was opened without head, which may then be
 * that of any task ("cls.predictions", "qa_outputs"). */
PEFT_API bool peft_model_is_of_missing_part(const peft_model *model, const char *name);

/* Gives weight a private copy and a gradient, so that it is trained; a second call does nothing. */
PEFT_API peft_status peft_model_train(peft_model *model, peft_weight *weight, peft_error *error);

/* Gives a weight other values, [its shape], which stay frozen unless it is trained already. It counts as given. */
PEFT_API peft_status peft_model_fill(peft_model *model, peft_weight *weight, const float *values, peft_error *error);

/* Packs the frozen weights of all linear layers for `ctx` (peft_weight_pack) and lets go of the memory of the mapped
 * files, which are read again where they are needed. What is to be trained is said before. Close the model before the
 * context. */
PEFT_API peft_status peft_model_pack(peft_model *model, peft_context *ctx, peft_packing packing, peft_error *error);
PEFT_API size_t peft_model_packed_bytes(const peft_model *model);
/* After weights were read in passing: lets go of the memory of the mapped files, too. */
PEFT_API void peft_model_release_files(const peft_model *model);

/* The tokens of a batch. */
typedef struct peft_model_input {
    const int32_t *input_ids;      /* [num_tokens] */
    const int32_t *token_type_ids; /* [num_tokens] */
    const int32_t *position_ids;   /* [num_tokens]: 0, 1, ... in each sequence */
} peft_model_input;

typedef struct peft_model_run {
    const peft_batch *batch;
    const peft_model_input *input;
    bool checkpoint_layers; /* compute each layer again in the backward pass instead of storing it */
} peft_model_run;

/* What enters the first layer [num_tokens, hidden_size], which the batch then knows (peft_batch_embeddings); last
 * hidden layer [num_tokens, hidden_size]; the head's output [num_sequences, num_labels]. */
PEFT_API peft_tensor *peft_model_embeddings(peft_graph *g, const peft_model *model, const peft_model_run *run);
PEFT_API peft_tensor *peft_model_hidden(peft_graph *g, const peft_model *model, const peft_model_run *run);
PEFT_API peft_tensor *peft_model_logits(peft_graph *g, const peft_model *model, const peft_model_run *run);

#ifdef __cplusplus
}
#endif
#endif
