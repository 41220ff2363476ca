/* models/tokenizer_kind.h - what a tokenizer implementation provides: text between added tokens to ids.
 *
 * tokenizer.c does the rest, which is the same for all: added tokens, truncation, special tokens around the texts. */
#ifndef PEFT_MODELS_TOKENIZER_KIND_H
#define PEFT_MODELS_TOKENIZER_KIND_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "models/encoding.h"
#include "models/text_buffer.h"
#include "ops/status.h"

typedef struct peft_tokenizer_kind {
    const char *name; /* `model.type` in tokenizer.json */

    /* Reads normalizer, pre_tokenizer and model of a tokenizer.json. Honours or refuses what they say; keeps no
     * reference to `root`. */
    peft_status (*open)(void **self, const json_t *root, peft_error *error);
    void (*close)(void *self);

    int32_t (*vocab_size)(const void *self);                                /* the largest id + 1 */
    int32_t (*token_id)(const void *self, const char *token, size_t bytes); /* -1: not in the vocabulary */

    /* Both take valid UTF-8 that may hold NUL, and are called by several threads at once. The first appends what the
     * normalizer makes of the text; the second appends the ids of a text, which has been through the normalizer where
     * `normalized` says so. */
    peft_status (*normalize)(const void *self, const char *text, size_t bytes, peft_text_buffer *out,
                             peft_error *error);
    peft_status (*encode)(const void *self, const char *text, size_t bytes, bool normalized, peft_encoding *out,
                          peft_error *error);
} peft_tokenizer_kind;

#endif
