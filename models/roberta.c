/* models/roberta.c - RoBERTa (Liu et al. 2019, arXiv 1907.11692) as transformers' RobertaForSequenceClassification. */
#include "models/encoder.h"

static const char *const default_targets[] = {"query", "value", NULL};

static const peft_encoder_names names = {
    .keys = {PEFT_ENCODER_BERT_KEYS, .type_vocab_size = "type_vocab_size", .classifier_dropout = "classifier_dropout"},
    .layers = "encoder.layer",
    .modules = PEFT_ENCODER_BERT_MODULES,
    .head = {"classifier.dense", "classifier.out_proj", PEFT_ACTIVATION_tanh, true},
    .words = {"lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias", true},
    .drops_attention_output = true,
    .positions_follow_padding = true,
};

const peft_model_kind peft_model_roberta = {
    .type = "roberta",
    .classes = {"RobertaForSequenceClassification", "RobertaModel", "RobertaForMaskedLM"},
    .prefix = "roberta.",
    .head = "classifier",
    .default_targets = default_targets,
    .encoder = &names,
    PEFT_ENCODER_FUNCTIONS,
};
