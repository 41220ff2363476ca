/* models/added_tokens.h - tokens that are cut out of a text before it is split: [MASK], [SEP], <mask>, [E1] ...
 *
 * Most are looked for in the text as it is; those that are `normalized` in the text after the normalizer, where their
 * own text went through it, too. At one place the longest counts. */
#ifndef PEFT_MODELS_ADDED_TOKENS_H
#define PEFT_MODELS_ADDED_TOKENS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "models/tokenizer_kind.h"
#include "models/vocab.h"
#include "ops/status.h"

typedef struct peft_added_token {
    int32_t id;
    bool special, normalized;
    bool single_word;    /* only where no letter or digit is beside it */
    bool lstrip, rstrip; /* white space beside the token is taken with it */
} peft_added_token;

/* The tokens that are looked for in the same text. */
typedef struct peft_added_set {
    peft_vocab *trie; /* from texts to indices into tokens; NULL: there is none */
    bool starts[256]; /* is there a token that begins with this byte? */
} peft_added_set;

typedef struct peft_added_tokens {
    peft_added_token *tokens; /* [count] */
    size_t count;
    peft_vocab *by_content;
    peft_added_set as_is, normalized;
    int32_t max_id; /* -1: no tokens */
} peft_added_tokens;

/* Reads the list `added_tokens` of a tokenizer.json (NULL: none); `kind` with its state normalizes. `added` must be
 * zeroed; release with peft_added_tokens_close also after an error. */
peft_status peft_added_tokens_open(peft_added_tokens *added, const json_t *list, const peft_tokenizer_kind *kind,
                                   const void *state, peft_error *error);
void peft_added_tokens_close(peft_added_tokens *added);

/* Id of the token with this text, or -1. */
int32_t peft_added_tokens_id(const peft_added_tokens *added, const char *text, size_t bytes);

/* A walk through the tokens of one text. Start with zeros. */
typedef struct peft_added_match {
    const peft_added_token *token; /* NULL: there are no more */
    size_t begin, end;             /* of the token with the white space that it takes; without one, of the text's end */
    size_t from; /* where the text before the token begins: [from, begin), empty where not from < begin */
    size_t scanned;
} peft_added_match;

/* Goes on to the next token of `set`. `specials` false passes over special tokens. */
void peft_added_tokens_next(const peft_added_tokens *added, const peft_added_set *set, bool specials, const char *text,
                            size_t bytes, peft_added_match *match);

#endif
