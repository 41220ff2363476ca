/* models/encoder.h - the encoders that differ from BERT (Devlin et al. 2019, arXiv 1810.04805) in names and details.
 *
 *     x   = layer_norm(word[id] + position[p] + type[t])
 *     x   = layer_norm(x + output(attention(query(x), key(x), value(x))))          for each layer:
 *     x   = layer_norm(x + output(act(intermediate(x))))
 *     y   = classifier(act(dense(first token of x)))
 *
 * with, in some, a bias to the attention's scores for how far apart two tokens are, which all layers share; and with
 * dropout after the first norm, on the attention's probabilities, on both outputs and before the classifier. A
 * table says what an architecture calls all this. */
#ifndef PEFT_MODELS_ENCODER_H
#define PEFT_MODELS_ENCODER_H

#include "models/word_head.h"
#include "ops/ops.h"

/* Keys of config.json; NULL: it has none. */
typedef struct peft_encoder_keys {
    const char *hidden_size, *num_layers, *num_heads, *intermediate_size, *type_vocab_size;
    const char *hidden_dropout, *attention_dropout, *classifier_dropout, *layer_norm_eps, *hidden_act;
    double usual_classifier_dropout; /* below 0: that of the hidden layers */
} peft_encoder_keys;

/* Names of a layer's modules. */
typedef struct peft_encoder_modules {
    const char *query, *key, *value, *attention_output, *attention_norm, *intermediate, *output, *output_norm;
} peft_encoder_modules;

/* The head of a task that gives each sequence a class or a score. */
typedef struct peft_encoder_head {
    const char *dense, *output; /* names of its layers */
    peft_activation_kind activation;
    bool drops_input;
} peft_encoder_head;

typedef struct peft_encoder_names {
    peft_encoder_keys keys;
    const char *layers; /* what stands before a layer's number */
    peft_encoder_modules modules;
    peft_encoder_head head;
    peft_word_names words;
    const char *relative_bias; /* module of the scores' bias by distance; NULL: none */
    bool drops_attention_output;
    bool positions_follow_padding; /* the first token's position is pad_token_id + 1 */
} peft_encoder_names;

/* The functions of peft_model_kind. */
peft_status peft_encoder_describe(peft_model *model, const json_t *config, const char *where, peft_error *error);
peft_tensor *peft_encoder_embeddings(peft_graph *g, const peft_model *model, const peft_model_run *run);
peft_tensor *peft_encoder_hidden(peft_graph *g, const peft_model *model, const peft_model_run *run);
peft_tensor *peft_encoder_logits(peft_graph *g, const peft_model *model, const peft_model_run *run);

#define PEFT_ENCODER_FUNCTIONS                                                                                         \
    .describe = peft_encoder_describe, .embeddings = peft_encoder_embeddings, .hidden = peft_encoder_hidden,           \
    .logits = peft_encoder_logits

/* BERT's keys, which others have, too. */
#define PEFT_ENCODER_BERT_KEYS                                                                                         \
    .hidden_size = "hidden_size", .num_layers = "num_hidden_layers", .num_heads = "num_attention_heads",               \
    .intermediate_size = "intermediate_size", .hidden_dropout = "hidden_dropout_prob",                                 \
    .attention_dropout = "attention_probs_dropout_prob", .layer_norm_eps = "layer_norm_eps",                           \
    .hidden_act = "hidden_act", .usual_classifier_dropout = -1

/* And its names. */
#define PEFT_ENCODER_BERT_MODULES                                                                                      \
    {                                                                                                                  \
        .query = "attention.self.query", .key = "attention.self.key", .value = "attention.self.value",                 \
        .attention_output = "attention.output.dense", .attention_norm = "attention.output.LayerNorm",                  \
        .intermediate = "intermediate.dense", .output = "output.dense", .output_norm = "output.LayerNorm"              \
    }

#endif
