/* models/bert.c - BERT as transformers' BertForSequenceClassification: the head begins with the pooler. */
#include "models/encoder.h"

static const char *const default_targets[] = {"query", "value", NULL};

static const peft_encoder_names names = {
    .keys = {PEFT_ENCODER_BERT_KEYS, .type_vocab_size = "type_vocab_size", .classifier_dropout = "classifier_dropout"},
    .layers = "encoder.layer",
    .modules = PEFT_ENCODER_BERT_MODULES,
    .head = {"bert.pooler.dense", "classifier", PEFT_ACTIVATION_tanh, false},
    .words = {"cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.decoder",
              "cls.predictions.bias", false},
    .drops_attention_output = true,
};

const peft_model_kind peft_model_bert = {
    .type = "bert",
    .classes = {"BertForSequenceClassification", "BertModel", "BertForMaskedLM"},
    .prefix = "bert.",
    .head = "classifier",
    .default_targets = default_targets,
    .encoder = &names,
    PEFT_ENCODER_FUNCTIONS,
};
