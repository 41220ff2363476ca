/* tasks/tokens.h - a dataset as token ids, and batches taken from it without padding. */
#ifndef PEFT_TASKS_TOKENS_H
#define PEFT_TASKS_TOKENS_H

#include "models/model.h"
#include "models/tokenizer.h"
#include "tasks/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All examples, one after another. */
typedef struct peft_tokens {
    int64_t count;
    int64_t *offsets; /* [count + 1]: where each example begins */
    int32_t *input_ids, *token_type_ids;
    const int32_t *classes; /* [count] of the dataset, which outlives this, or made_up; NULL: scores, or no labels */
    const float *scores;    /* [count] of the dataset; NULL: classes, or no labels */
    const float *vectors;   /* [count, vector_size] of the dataset, for batches (peft_batch.vectors); NULL: none */
    int64_t vector_size;
    const int32_t *prompt_lengths; /* [count] of the caller's, for batches; NULL: all tokens are prompt */
    int32_t *made_up;
    int64_t longest;
    int64_t num_truncated; /* examples that were longer than max_length */
} peft_tokens;

/* PEFT_ERR_FORMAT: text that is not UTF-8, by line of its file. */
PEFT_API peft_status peft_tokens_encode(peft_tokens **tokens, const peft_tokenizer *tokenizer,
                                        const peft_dataset *dataset, int64_t max_length, peft_error *error);
/* `count` examples of `length` arbitrary ids below vocab_size, of class 0, to measure with: the work does not depend on
 * them. */
PEFT_API peft_status peft_tokens_make_up(peft_tokens **tokens, int64_t count, int64_t length, int64_t vocab_size,
                                         peft_error *error);
PEFT_API void peft_tokens_free(peft_tokens *tokens); /* NULL is allowed */

PEFT_API int64_t peft_tokens_length(const peft_tokens *tokens, int64_t example);

/* The examples of an epoch in their order, a function of (seed, epoch) alone. rows [count] */
PEFT_API void peft_tokens_order(uint32_t *rows, int64_t count, uint64_t seed, int64_t epoch);
/* From short to long, for evaluation: batches of equal lengths waste nothing; equal lengths keep the order of the file.
 * rows [count]. PEFT_ERR_MEMORY. */
PEFT_API peft_status peft_tokens_order_by_length(const peft_tokens *tokens, uint32_t *rows, peft_error *error);

/* The memory of one batch; grows, and is used again. Start with {0}. */
typedef struct peft_batch_memory {
    int32_t *ints;  /* starts, ids, types, positions, class ids, lengths of prompts */
    float *scores;  /* [num_sequences] where the examples have scores */
    float *vectors; /* [num_sequences, vector_size] */
    int64_t int_capacity, score_capacity, vector_capacity;
    peft_batch batch;
    peft_model_input input;
    const int32_t *classes; /* [num_sequences]; NULL: the examples have no classes */
} peft_batch_memory;

/* Fills memory->batch, ->input and the labels, class ids or scores, from examples rows[0..count). */
PEFT_API peft_status peft_tokens_gather(const peft_tokens *tokens, const uint32_t *rows, int64_t count,
                                        peft_batch_memory *memory, peft_error *error);
PEFT_API void peft_batch_memory_free(peft_batch_memory *memory);

#ifdef __cplusplus
}
#endif
#endif
