/* models/added_tokens.h - tokens that are cut out of the raw text before anything else: [MASK], [SEP], <mask> ... */
#ifndef PEFT_MODELS_ADDED_TOKENS_H
#define PEFT_MODELS_ADDED_TOKENS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "models/vocab.h"
#include "ops/status.h"

typedef struct peft_added_token {
    int32_t id;
    bool special, lstrip, rstrip; /* strip: white space beside the token is taken with it */
} peft_added_token;

typedef struct peft_added_tokens {
    peft_added_token *tokens; /* [count] */
    size_t count;
    peft_vocab *trie; /* from texts to indices into tokens */
    bool starts[256]; /* is there a token that begins with this byte? */
    int32_t max_id;   /* -1: no tokens */
} peft_added_tokens;

/* Reads the list `added_tokens` of a tokenizer.json (NULL: none). Of its flags, single_word and normalized are refused
 * where true (PEFT_ERR_UNSUPPORTED). `added` must be zeroed; release with peft_added_tokens_close also after an error.
 */
peft_status peft_added_tokens_open(peft_added_tokens *added, const json_t *list, peft_error *error);
void peft_added_tokens_close(peft_added_tokens *added);

/* Finds the first token from `*done` on, at one place the longest. The text before it is [old *done, *begin), empty
 * where *begin is not larger; *done moves behind the token. `specials` false passes over special tokens. NULL: there is
 * none. */
const peft_added_token *peft_added_tokens_next(const peft_added_tokens *added, bool specials, const char *text,
                                               size_t bytes, size_t *done, size_t *begin);

#endif
