/* models/bpe.h - byte-pair encoding: a piece of text as letters, of which the pair that was learned first is joined,
 * the leftmost first, until no pair is left that was learned.
 *
 * A piece of n bytes takes n log n steps. */
#ifndef PEFT_MODELS_BPE_H
#define PEFT_MODELS_BPE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "models/encoding.h"
#include "models/vocab.h"
#include "ops/status.h"

typedef struct peft_bpe peft_bpe;

/* Reads a `model` of type BPE whose letters are those of models/byte_level.h. Merges are "a b" or ["a", "b"], the first
 * learned first. PEFT_ERR_FORMAT, PEFT_ERR_UNSUPPORTED (what changes ids and is not offered), PEFT_ERR_MEMORY. */
peft_status peft_bpe_open(peft_bpe **bpe, const json_t *model, peft_error *error);
void peft_bpe_close(peft_bpe *bpe); /* NULL is allowed */
const peft_vocab *peft_bpe_vocab(const peft_bpe *bpe);

/* Memory for encoding, which grows and is used again. Start with zeros. */
typedef struct peft_bpe_memory {
    struct peft_bpe_symbol *symbols;
    struct peft_bpe_pair *heap;
    char *letters;
    size_t capacity, heap_count;
} peft_bpe_memory;
void peft_bpe_memory_free(peft_bpe_memory *memory);

/* Appends the ids of a piece of text. Bytes that have no letter in the vocabulary become the unknown token, or are left
 * out where the file names none, as in the reference. */
peft_status peft_bpe_encode(const peft_bpe *bpe, const char *piece, size_t bytes, peft_bpe_memory *memory,
                            peft_encoding *out, peft_error *error);

#endif
