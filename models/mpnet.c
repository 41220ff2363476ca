/* models/mpnet.c - MPNet (Song et al. 2020, arXiv 2004.09297) as transformers' MPNetForSequenceClassification. */
#include "models/encoder.h"

/* Hugging Face PEFT has no defaults for it; these are its names for what BERT calls query and value. */
static const char *const default_targets[] = {"q", "v", NULL};

static const peft_encoder_names names = {
    .keys = {PEFT_ENCODER_BERT_KEYS},
    .layers = "encoder.layer",
    .modules = {.query = "attention.attn.q",
                .key = "attention.attn.k",
                .value = "attention.attn.v",
                .attention_output = "attention.attn.o",
                .attention_norm = "attention.LayerNorm",
                .intermediate = "intermediate.dense",
                .output = "output.dense",
                .output_norm = "output.LayerNorm"},
    .head = {"classifier.dense", "classifier.out_proj", PEFT_ACTIVATION_tanh, true},
    .words = {"lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias", true},
    .relative_bias = "encoder.relative_attention_bias",
    .drops_attention_output = true,
    .positions_follow_padding = true,
};

const peft_model_kind peft_model_mpnet = {
    .type = "mpnet",
    .classes = {"MPNetForSequenceClassification", "MPNetModel", "MPNetForMaskedLM"},
    .prefix = "mpnet.",
    .head = "classifier",
    .default_targets = default_targets,
    .encoder = &names,
    PEFT_ENCODER_FUNCTIONS,
};
