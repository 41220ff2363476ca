/* models/word_head.h - what an architecture says of its head for words (models/words.h). */
#ifndef PEFT_MODELS_WORD_HEAD_H
#define PEFT_MODELS_WORD_HEAD_H

#include "models/model_internal.h"
#include "ops/ops.h"

typedef struct peft_word_names {
    const char *dense, *norm, *decoder, *bias; /* modules, and the bias's whole name */
    bool always_gelu;                          /* whatever the activation of the layers */
} peft_word_names;

typedef struct peft_word_head_options {
    const peft_word_names *names;
    const peft_weight *embeddings; /* [vocab_size, hidden_size] */
    bool tied;
    peft_activation_kind activation;
    double layer_norm_eps;
} peft_word_head_options;

/* For `describe`: names its weights, behind the encoder's. */
peft_status peft_word_head_add(peft_model *model, const peft_word_head_options *options, peft_error *error);

/* Would a tensor of this name, if the model does not read it, be a copy of what it reads? */
bool peft_word_head_repeats(const peft_word_head *head, const char *name);

#endif
