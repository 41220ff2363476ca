/* models/normalizer.h - what a byte-level tokenizer does to a text before it is split: Unicode's normal forms and lower
 * case, in the order of the file. BERT's normalizer is in wordpiece.c, one with the splitting. */
#ifndef PEFT_MODELS_NORMALIZER_H
#define PEFT_MODELS_NORMALIZER_H

#include <jansson.h>
#include <stddef.h>

#include "models/text_buffer.h"
#include "ops/status.h"

enum { PEFT_NORMALIZER_MAX_STEPS = 8 };

typedef peft_status peft_normalizer_step(const char *text, size_t bytes, peft_text_buffer *out, peft_error *error);

typedef struct peft_normalizer {
    peft_normalizer_step *steps[PEFT_NORMALIZER_MAX_STEPS];
    size_t count; /* 0: texts stay as they are */
} peft_normalizer;

/* Reads `normalizer` of a tokenizer.json (NULL, null: none). PEFT_ERR_UNSUPPORTED, PEFT_ERR_FORMAT. */
peft_status peft_normalizer_read(peft_normalizer *normalizer, const json_t *part, peft_error *error);

/* Appends the normalized text, valid UTF-8 from valid UTF-8. */
peft_status peft_normalizer_apply(const peft_normalizer *normalizer, const char *text, size_t bytes,
                                  peft_text_buffer *out, peft_error *error);

#endif
