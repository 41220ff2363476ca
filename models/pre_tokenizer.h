/* models/pre_tokenizer.h - how a byte-level tokenizer splits a text into the pieces that it encodes one by one: regular
 * expressions, each of which splits what the one before it left. */
#ifndef PEFT_MODELS_PRE_TOKENIZER_H
#define PEFT_MODELS_PRE_TOKENIZER_H

#include <jansson.h>
#include <stddef.h>

#include "ops/status.h"

typedef struct peft_pre_tokenizer peft_pre_tokenizer;

/* Reads `pre_tokenizer` of a tokenizer.json: Split, Digits and at the end ByteLevel, alone or in a Sequence.
 * PEFT_ERR_UNSUPPORTED, PEFT_ERR_FORMAT, PEFT_ERR_MEMORY. */
peft_status peft_pre_tokenizer_open(peft_pre_tokenizer **pre_tokenizer, const json_t *part, peft_error *error);
void peft_pre_tokenizer_close(peft_pre_tokenizer *pre_tokenizer); /* NULL is allowed */

/* Calls `take` for each piece of a text, valid UTF-8, in order; the first error ends it. */
typedef peft_status peft_take_piece(void *argument, const char *piece, size_t bytes, peft_error *error);
peft_status peft_pre_tokenizer_run(const peft_pre_tokenizer *pre_tokenizer, const char *text, size_t bytes,
                                   peft_take_piece *take, void *argument, peft_error *error);

#endif
