/* models/encoding.h - what a tokenizer returns: token ids and the segment that each belongs to. */
#ifndef PEFT_MODELS_ENCODING_H
#define PEFT_MODELS_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Start with `peft_encoding encoding = {0};` and use it for many calls: its memory grows and is kept between them. */
typedef struct peft_encoding {
    int32_t *input_ids;      /* [length] */
    int32_t *token_type_ids; /* [length] 0 for the first text, 1 for the second where the model tells them apart */
    size_t length;
    size_t capacity;
    size_t truncated; /* tokens of the texts that were cut off to keep to the maximum length */
} peft_encoding;

/* Releases the memory and zeroes the struct. */
PEFT_API void peft_encoding_free(peft_encoding *encoding);

/* Makes room for `capacity` tokens in all. false where memory is out; the encoding is then as it was. */
bool peft_encoding_reserve(peft_encoding *encoding, size_t capacity);

/* Appends an id; its token type is left unset. false where memory is out. */
bool peft_encoding_push(peft_encoding *encoding, int32_t id);

#ifdef __cplusplus
}
#endif
#endif
