/* models/tokenizer_class.h - the tokenizer classes of transformers that are known here: what a folder need not say,
 * because its tokenizer_class says it. */
#ifndef PEFT_MODELS_TOKENIZER_CLASS_H
#define PEFT_MODELS_TOKENIZER_CLASS_H

#include <jansson.h>
#include <stdbool.h>

#include "ops/status.h"

/* The special tokens that have a name, in the order in which transformers adds them to a vocabulary. */
enum {
    PEFT_TOKEN_BOS,
    PEFT_TOKEN_EOS,
    PEFT_TOKEN_UNK,
    PEFT_TOKEN_SEP,
    PEFT_TOKEN_PAD,
    PEFT_TOKEN_CLS,
    PEFT_TOKEN_MASK
};
enum { PEFT_NUM_TOKEN_NAMES = PEFT_TOKEN_MASK + 1 };
extern const char *const peft_token_names[PEFT_NUM_TOKEN_NAMES]; /* "bos_token", ... */

/* Classes that work alike. */
typedef struct peft_tokenizer_family {
    bool byte_level;                          /* vocab.json and merges.txt, else vocab.txt */
    const char *post_processor;               /* its type in tokenizer.json; NULL: none */
    const char *tokens[PEFT_NUM_TOKEN_NAMES]; /* where no file names others; NULL: none */
    bool mask_lstrip;                         /* white space before the mask token is taken with it */
} peft_tokenizer_family;

typedef struct peft_tokenizer_class {
    const char *name;       /* "Bert" of BertTokenizer and BertTokenizerFast */
    const char *model_type; /* of config.json, where that names no class */
    const peft_tokenizer_family *family;
} peft_tokenizer_class;

/* The class that tokenizer_config.json, else config.json (each may be NULL) names, else the one that the model type
 * has; NULL: none, or one that is not known here. `*name` is then what was named, or NULL. Borrowed from the documents.
 * PEFT_ERR_FORMAT. */
peft_status peft_tokenizer_class_find(const json_t *tokenizer_config, const json_t *model_config,
                                      const peft_tokenizer_class **found, const char **name, peft_error *error);

/* The class for a folder that has nothing but vocab.txt: BERT's. */
extern const peft_tokenizer_class *const peft_tokenizer_class_of_vocab_txt;

#endif
