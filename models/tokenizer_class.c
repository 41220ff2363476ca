#include "models/tokenizer_class.h"

#include <string.h>

#include "io/json.h"

const char *const peft_token_names[PEFT_NUM_TOKEN_NAMES] = {
    [PEFT_TOKEN_BOS] = "bos_token",   [PEFT_TOKEN_EOS] = "eos_token", [PEFT_TOKEN_UNK] = "unk_token",
    [PEFT_TOKEN_SEP] = "sep_token",   [PEFT_TOKEN_PAD] = "pad_token", [PEFT_TOKEN_CLS] = "cls_token",
    [PEFT_TOKEN_MASK] = "mask_token",
};

static const peft_tokenizer_family bert = {
    false, "BertProcessing", {NULL, NULL, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"}, false};
static const peft_tokenizer_family mpnet = {
    false, "RobertaProcessing", {"<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"}, true};

static const peft_tokenizer_family roberta = {
    true, "RobertaProcessing", {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"}, false};
static const peft_tokenizer_family gpt2 = {
    true, NULL, {"<|endoftext|>", "<|endoftext|>", "<|endoftext|>", NULL, NULL, NULL, NULL}, false};

static const peft_tokenizer_class classes[] = {
    {"Bert", "bert", &bert},         {"DistilBert", "distilbert", &bert},
    {"Electra", "electra", &bert},   {"MobileBert", "mobilebert", &bert},
    {"ConvBert", "convbert", &bert}, {"LayoutLM", "layoutlm", &bert},
    {"MPNet", "mpnet", &mpnet},      {"Roberta", "roberta", &roberta},
    {"GPT2", "gpt2", &gpt2},
};
enum { NUM_CLASSES = sizeof classes / sizeof classes[0] };

const peft_tokenizer_class *const peft_tokenizer_class_of_vocab_txt = &classes[0];

static bool has_name(const peft_tokenizer_class *class, const char *name)
{
    size_t bytes = strlen(class->name);
    if (strncmp(name, class->name, bytes) != 0) return false;
    return strcmp(name + bytes, "Tokenizer") == 0 || strcmp(name + bytes, "TokenizerFast") == 0;
}

static peft_status read_name(const json_t *file, const char *key, const char **name, const char *where,
                             peft_error *error)
{
    return file ? peft_json_string(file, key, name, where, error) : PEFT_OK;
}

peft_status peft_tokenizer_class_find(const json_t *tokenizer_config, const json_t *model_config,
                                      const peft_tokenizer_class **found, const char **name, peft_error *error)
{
    const char *model_type = NULL;
    *found = NULL;
    *name = NULL;
    peft_status status = read_name(model_config, "model_type", &model_type, "config.json", error);
    if (status == PEFT_OK) status = read_name(model_config, "tokenizer_class", name, "config.json", error);
    if (status == PEFT_OK)
        status = read_name(tokenizer_config, "tokenizer_class", name, "tokenizer_config.json", error);
    for (size_t i = 0; status == PEFT_OK && i < NUM_CLASSES; i++)
        if (*name ? has_name(&classes[i], *name) : model_type && strcmp(model_type, classes[i].model_type) == 0)
            *found = &classes[i];
    return status;
}
