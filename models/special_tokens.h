/* models/special_tokens.h - the tokens that a folder's files add to the vocabulary, with the ids that Hugging Face's
 * tokenizers give them. */
#ifndef PEFT_MODELS_SPECIAL_TOKENS_H
#define PEFT_MODELS_SPECIAL_TOKENS_H

#include "models/tokenizer_class.h"

/* The files, each NULL where the folder lacks it, and what belongs to them. */
typedef struct peft_token_sources {
    json_t *config;                    /* tokenizer_config.json */
    json_t *special_map;               /* special_tokens_map.json */
    json_t *added;                     /* added_tokens.json */
    const peft_tokenizer_class *class; /* NULL: no defaults */
    json_t *notes;                     /* what should be known is added as strings */
} peft_token_sources;

/* The text of the token `name` (PEFT_TOKEN_CLS, ...) as the files have it, or that of the class; NULL: it has none. */
const char *peft_special_token_text(const peft_token_sources *sources, int name);

/* Puts all of them into the list `added_tokens` of `root`, a tokenizer.json: first those that are there, then those of
 * added_tokens_decoder or else added_tokens.json, then the named special tokens and the additional ones. As in
 * tokenizers a token has the id that the vocabulary gives it, else the next free one, whatever the files say; a note
 * tells where they say something else. PEFT_ERR_FORMAT, PEFT_ERR_MEMORY. */
peft_status peft_special_tokens_add(json_t *root, const peft_token_sources *sources, peft_error *error);

/* Adds a formatted note. */
peft_status peft_token_note(json_t *notes, peft_error *error, const char *format, ...) PEFT_PRINTF(3, 4);

#endif
