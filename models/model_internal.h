/* models/model_internal.h - what the architectures (bert.c, ...) and model.c share. */
#ifndef PEFT_MODELS_MODEL_INTERNAL_H
#define PEFT_MODELS_MODEL_INTERNAL_H

#include "io/json.h"
#include "io/weights.h"
#include "models/model.h"
#include "ops/arena.h"

#define PEFT_MODEL_POOLER      "pooler"  /* module behind an encoder that not every file has */
#define PEFT_MODEL_ANSWER_HEAD "answers" /* module of models/answers.h, of every architecture */

enum { PEFT_MODEL_MAX_NAME = 256 }; /* bytes of a tensor's name */

typedef struct peft_word_head peft_word_head;

/* An architecture: one row of the table in model.c. */
typedef struct peft_model_kind {
    const char *type;       /* model_type of config.json */
    const char *classes[3]; /* transformers' names: with a head, without, for words */
    const char *prefix;     /* of the encoder's tensors in the task model's file: "bert." */
    const char *head;       /* module that PEFT saves with the adapter */
    const char *pooler;     /* module between the two that a model without head may lack */
    const char *const *default_targets;
    const struct peft_encoder_names *encoder; /* models/encoder.h */
    /* Reads config.json into model->config and the sizes, and names all weights and linear layers in order. */
    peft_status (*describe)(peft_model *model, const json_t *config, const char *where, peft_error *error);
    peft_tensor *(*embeddings)(peft_graph *g, const peft_model *model, const peft_model_run *run);
    peft_tensor *(*hidden)(peft_graph *g, const peft_model *model, const peft_model_run *run);
    peft_tensor *(*logits)(peft_graph *g, const peft_model *model, const peft_model_run *run);
} peft_model_kind;

struct peft_model {
    const peft_model_kind *kind;
    char *dir;
    peft_model_options options;
    peft_weights *file;
    peft_arena arena; /* names, and weights that had to be converted */
    int64_t num_labels, hidden_size, vocab_size, max_length, num_layers;
    double initializer_range;
    void *config; /* the architecture's own struct, in the arena */
    size_t mapped_bytes;
    peft_weight *weights;             /* the encoder's, then the head's */
    const peft_file_tensor **sources; /* where each comes from; NULL: no file has it */
    bool *given;                      /* for those: an adapter brought it */
    int64_t num_weights, num_encoder_weights, weight_capacity;
    const struct peft_word_head *words; /* of PEFT_MODEL_WORDS, or NULL */
    const peft_weight *answers;         /* of PEFT_MODEL_ANSWERS, or NULL */
    bool incomplete;                    /* some weight or layer could not be added */
    peft_linear_layer *linears;
    int64_t num_linears, linear_capacity;
};

/* Finds the architecture that `config` names and describes its weights, none of which is loaded. */
peft_status peft_model_describe(peft_model *model, const json_t *config, const char *where, peft_error *error);

/* For `describe`: the number of weights and linear layers that follow at most, and then each by its name. The struct
 * returned stays where it is. NULL: out of memory, or more than was said. */
peft_status peft_model_reserve(peft_model *model, int64_t num_weights, int64_t num_linears, peft_error *error);
peft_weight *peft_model_add_weight(peft_model *model, peft_shape shape, const char *format, ...) PEFT_PRINTF(3, 4);
typedef enum peft_linear_kind {
    PEFT_LINEAR_PLAIN = 0,
    PEFT_LINEAR_OUTPUT = 1,       /* of the head: `all-linear` does not mean it */
    PEFT_LINEAR_WITHOUT_BIAS = 2, /* there is no bias */
    PEFT_LINEAR_TRANSPOSED = 4    /* files have the weight as [in, out] */
} peft_linear_kind;
/* The layer of module `format`, with weight [out, in] and bias [out]. */
peft_linear_layer *peft_model_add_linear(peft_model *model, int64_t out_features, int64_t in_features, uint32_t kind,
                                         const char *format, ...) PEFT_PRINTF(5, 6);

/* Is there a tensor for the weight of this name? A random model has no file. */
bool peft_model_file_has(const peft_model *model, const char *name);

/* The factor of a norm, which starts at 1. */
bool peft_model_is_scale(const peft_weight *weight);

/* Takes each weight that was described from the files, and draws what they lack of the head. */
peft_status peft_model_load_weights(peft_model *model, peft_error *error);

extern const peft_model_kind peft_model_bert, peft_model_roberta, peft_model_distilbert, peft_model_mpnet;

#endif
