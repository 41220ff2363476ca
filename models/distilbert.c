/* models/distilbert.c - DistilBERT (Sanh et al. 2019, arXiv 1910.01108) as transformers'
 * DistilBertForSequenceClassification: no token types, no pooler. */
#include "models/encoder.h"

/* Hugging Face PEFT has no defaults for it; these are its names for what BERT calls query and value. */
static const char *const default_targets[] = {"q_lin", "v_lin", NULL};

static const peft_encoder_names names = {
    .keys = {.hidden_size = "dim",
             .num_layers = "n_layers",
             .num_heads = "n_heads",
             .intermediate_size = "hidden_dim",
             .hidden_dropout = "dropout",
             .attention_dropout = "attention_dropout",
             .classifier_dropout = "seq_classif_dropout",
             .hidden_act = "activation",
             .usual_classifier_dropout = 0.2},
    .layers = "transformer.layer",
    .modules = {.query = "attention.q_lin",
                .key = "attention.k_lin",
                .value = "attention.v_lin",
                .attention_output = "attention.out_lin",
                .attention_norm = "sa_layer_norm",
                .intermediate = "ffn.lin1",
                .output = "ffn.lin2",
                .output_norm = "output_layer_norm"},
    .head = {"pre_classifier", "classifier", PEFT_ACTIVATION_relu, false},
    .words = {"vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector.bias", false},
};

const peft_model_kind peft_model_distilbert = {
    .type = "distilbert",
    .classes = {"DistilBertForSequenceClassification", "DistilBertModel", "DistilBertForMaskedLM"},
    .prefix = "distilbert.",
    .head = "classifier", /* PEFT's modules_to_save match by their end: pre_classifier is among them */
    .default_targets = default_targets,
    .encoder = &names,
    PEFT_ENCODER_FUNCTIONS,
};
