/* models/template.h - the special tokens around one or two texts, and how two texts share the maximum length.
 *
 * `post_processor` of tokenizer.json as data: a list of pieces, each a special token or one of the texts. */
#ifndef PEFT_MODELS_TEMPLATE_H
#define PEFT_MODELS_TEMPLATE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "models/encoding.h"
#include "ops/status.h"

enum {
    PEFT_TEMPLATE_MAX_PIECES = 32,
    PEFT_PIECE_FIRST = -1, /* as an id: the first text, the second text */
    PEFT_PIECE_SECOND = -2
};

typedef struct peft_template {
    struct {
        int32_t id, type_id;
    } pieces[PEFT_TEMPLATE_MAX_PIECES];
    size_t count;
    size_t num_specials;
} peft_template;

/* Reads TemplateProcessing, BertProcessing or RobertaProcessing, also one in a Sequence with ByteLevel (NULL, null or
 * ByteLevel: the texts alone, of types 0 and 1). Ids
 * have to be below vocab_size. The texts have to be there once each, the first before the second. */
peft_status peft_template_read(peft_template *single, peft_template *pair, const json_t *post_processor,
                               int32_t vocab_size, peft_error *error);

/* Lengths of two texts after cutting them to `max_length` in all as "longest_first" does: from the end of the longer
 * one until both are as long, then from both; of an odd length the one that was longer keeps one more, and the second
 * where they were equal. Without a second text *second is 0. */
void peft_truncate_longest_first(size_t *first, size_t *second, size_t max_length);

/* What is kept of a text: `count` tokens from `begin` on. */
typedef struct peft_kept {
    size_t begin, count;
} peft_kept;

/* Builds the result in place. On entry the ids of the texts stand in encoding->input_ids from num_specials on, one text
 * behind the other; what is kept of them is counted from there. */
void peft_template_apply(const peft_template *pattern, peft_encoding *encoding, peft_kept first, peft_kept second);

#endif
