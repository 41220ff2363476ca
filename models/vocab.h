/* models/vocab.h - from token texts to ids: a trie that finds the longest token at a place in one walk.
 *
 * The time for a lookup depends on the text alone, never on how a file chose its tokens. */
#ifndef PEFT_MODELS_VOCAB_H
#define PEFT_MODELS_VOCAB_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/status.h"

enum {
    PEFT_VOCAB_MAX_ID = (1 << 24) - 1, /* larger ids in a file are refused; the largest vocabularies have 260,000 */
    PEFT_VOCAB_ROOT = 0                /* the place in the trie before the first byte */
};

typedef struct peft_vocab peft_vocab;

typedef struct peft_vocab_entry {
    const char *text; /* borrowed while the vocabulary is built */
    size_t bytes;
    int32_t id;
} peft_vocab_entry;

/* Builds from `count` entries, which it reorders. PEFT_ERR_FORMAT where a text or an id occurs twice or an id is not in
 * 0..PEFT_VOCAB_MAX_ID; ids may have holes. Release with peft_vocab_close. */
peft_status peft_vocab_open(peft_vocab **vocab, peft_vocab_entry *entries, size_t count, peft_error *error);

/* The same from a JSON object {"token": id, ...}. */
peft_status peft_vocab_open_json(peft_vocab **vocab, json_t *object, peft_error *error);

void peft_vocab_close(peft_vocab *vocab); /* NULL is allowed */

/* The largest id + 1. */
int32_t peft_vocab_size(const peft_vocab *vocab);

/* Id of the token with exactly this text, or -1. */
int32_t peft_vocab_find(const peft_vocab *vocab, const char *text, size_t bytes);

/* The place after the bytes of `text` when starting at `node`, or -1 where no token begins so. */
int32_t peft_vocab_walk(const peft_vocab *vocab, int32_t node, const char *text, size_t bytes);

/* Id of the token that ends at a place, or -1; a place of -1 has none. */
int32_t peft_vocab_id(const peft_vocab *vocab, int32_t node);

/* Id of the token that has the most of `text`, at least a byte, behind the place `node`, or -1; `*matched` is the
 * number of bytes. A node of -1 finds nothing. */
int32_t peft_vocab_longest(const peft_vocab *vocab, int32_t node, const char *text, size_t bytes, size_t *matched);

#endif
