#include "tasks/tokens.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/rng.h"

/* Room for `needed` ids and one more in both arrays: they are there even where nothing is needed. */
static bool grow_ids(peft_tokens *t, int64_t *capacity, int64_t needed)
{
    if (needed < *capacity) return true;
    int64_t larger = needed * 2 + 1;
    int32_t *ids = realloc(t->input_ids, (size_t)larger * sizeof *ids);
    if (ids) t->input_ids = ids;
    int32_t *types = ids ? realloc(t->token_type_ids, (size_t)larger * sizeof *types) : NULL;
    if (types) t->token_type_ids = types;
    if (types) *capacity = larger;
    return types != NULL;
}

static peft_status append(peft_tokens *t, int64_t example, int64_t *capacity, const peft_encoding *encoding,
                          peft_error *error)
{
    int64_t begin = t->offsets[example], length = (int64_t)encoding->length;
    if (!grow_ids(t, capacity, begin + length))
        return peft_fail(error, PEFT_ERR_MEMORY, "tokens: out of memory at example %" PRId64, example);
    memcpy(t->input_ids + begin, encoding->input_ids, encoding->length * sizeof *t->input_ids);
    memcpy(t->token_type_ids + begin, encoding->token_type_ids, encoding->length * sizeof *t->token_type_ids);
    t->offsets[example + 1] = begin + length;
    if (length > t->longest) t->longest = length;
    if (encoding->truncated) t->num_truncated++;
    return PEFT_OK;
}

static peft_status encode_all(peft_tokens *t, const peft_tokenizer *tokenizer, const peft_dataset *d,
                              int64_t max_length, peft_error *error)
{
    peft_encoding encoding = {0};
    int64_t capacity = 0;
    peft_status status = PEFT_OK;
    for (int64_t k = 0; status == PEFT_OK && k < t->count; k++) {
        const peft_cell *pair = d->text_pair ? &d->text_pair[k] : NULL;
        status = peft_tokenizer_encode(tokenizer, d->text[k].text, d->text[k].bytes, pair ? pair->text : NULL,
                                       pair ? pair->bytes : 0, (size_t)max_length, &encoding, error);
        if (status == PEFT_OK) {
            status = append(t, k, &capacity, &encoding, error);
        } else {
            char line[32];
            snprintf(line, sizeof line, "line %zu", d->lines[k]);
            peft_fail_in(error, status, line);
        }
    }
    peft_encoding_free(&encoding);
    return status;
}

peft_status peft_tokens_encode(peft_tokens **tokens, const peft_tokenizer *tokenizer, const peft_dataset *dataset,
                               int64_t max_length, peft_error *error)
{
    *tokens = NULL;
    peft_tokens *t = calloc(1, sizeof *t);
    if (!t) return peft_fail(error, PEFT_ERR_MEMORY, "tokens: out of memory");
    t->count = (int64_t)dataset->count;
    t->classes = dataset->classes;
    t->scores = dataset->scores;
    t->vectors = dataset->vectors;
    t->vector_size = dataset->vector_size;
    t->offsets = calloc(dataset->count + 1, sizeof *t->offsets);
    peft_status status = t->offsets ? encode_all(t, tokenizer, dataset, max_length, error)
                                    : peft_fail(error, PEFT_ERR_MEMORY, "tokens: out of memory");
    if (status != PEFT_OK) {
        peft_tokens_free(t);
        return status;
    }
    *tokens = t;
    return PEFT_OK;
}

peft_status peft_tokens_make_up(peft_tokens **tokens, int64_t count, int64_t length, int64_t vocab_size,
                                peft_error *error)
{
    enum { STRIDE = 7919 }; /* a prime: neighbours are far apart */
    *tokens = NULL;
    size_t total = (size_t)(count * length);
    peft_tokens *t = calloc(1, sizeof *t);
    if (!t) return peft_fail(error, PEFT_ERR_MEMORY, "tokens: out of memory");
    *t = (peft_tokens){.count = count,
                       .offsets = calloc((size_t)count + 1, sizeof *t->offsets),
                       .input_ids = calloc(total, sizeof *t->input_ids),
                       .token_type_ids = calloc(total, sizeof *t->token_type_ids),
                       .made_up = calloc((size_t)count, sizeof *t->made_up),
                       .longest = length};
    if (!t->offsets || !t->input_ids || !t->token_type_ids || !t->made_up) {
        peft_tokens_free(t);
        return peft_fail(error, PEFT_ERR_MEMORY, "tokens: out of memory");
    }
    for (int64_t k = 0; k <= count; k++) t->offsets[k] = k * length;
    for (size_t k = 0; k < total; k++) t->input_ids[k] = (int32_t)(k * STRIDE % (size_t)vocab_size);
    t->classes = t->made_up;
    *tokens = t;
    return PEFT_OK;
}

void peft_tokens_free(peft_tokens *tokens)
{
    if (!tokens) return;
    free(tokens->made_up);
    free(tokens->offsets);
    free(tokens->input_ids);
    free(tokens->token_type_ids);
    free(tokens);
}

int64_t peft_tokens_length(const peft_tokens *tokens, int64_t example)
{
    return tokens->offsets[example + 1] - tokens->offsets[example];
}

void peft_tokens_order(uint32_t *rows, int64_t count, uint64_t seed, int64_t epoch)
{
    peft_random_permutation(rows, (uint32_t)count, seed, peft_stream("order of examples") + (uint64_t)epoch);
}

/* Counting sort: lengths are small numbers. begins[length] is where the examples of a length go on. */
peft_status peft_tokens_order_by_length(const peft_tokens *tokens, uint32_t *rows, peft_error *error)
{
    int64_t *begins = calloc((size_t)tokens->longest + 2, sizeof *begins);
    if (!begins) return peft_fail(error, PEFT_ERR_MEMORY, "tokens: out of memory");
    for (int64_t k = 0; k < tokens->count; k++) begins[peft_tokens_length(tokens, k) + 1]++;
    for (int64_t length = 0; length < tokens->longest; length++) begins[length + 1] += begins[length];
    for (int64_t k = 0; k < tokens->count; k++) rows[begins[peft_tokens_length(tokens, k)]++] = (uint32_t)k;
    free(begins);
    return PEFT_OK;
}

static peft_status reserve(peft_batch_memory *m, int64_t ints, int64_t scores, int64_t vectors, peft_error *error)
{
    if (ints > m->int_capacity) {
        free(m->ints);
        m->int_capacity = (m->ints = malloc((size_t)ints * sizeof *m->ints)) ? ints : 0;
    }
    if (scores > m->score_capacity) {
        free(m->scores);
        m->score_capacity = (m->scores = malloc((size_t)scores * sizeof *m->scores)) ? scores : 0;
    }
    if (vectors > m->vector_capacity) {
        free(m->vectors);
        m->vector_capacity = (m->vectors = malloc((size_t)vectors * sizeof *m->vectors)) ? vectors : 0;
    }
    bool complete = m->ints && m->scores && vectors <= m->vector_capacity;
    return complete ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "batch: out of memory");
}

peft_status peft_tokens_gather(const peft_tokens *tokens, const uint32_t *rows, int64_t count, peft_batch_memory *m,
                               peft_error *error)
{
    int64_t total = 0, size = tokens->vectors ? tokens->vector_size : 0;
    for (int64_t s = 0; s < count; s++) total += peft_tokens_length(tokens, rows[s]);
    peft_status status = reserve(m, 3 * count + 1 + 3 * total, count, count * size, error);
    if (status != PEFT_OK) return status;
    int32_t *starts = m->ints, *classes = starts + count + 1, *prompts = classes + count;
    int32_t *ids = prompts + count, *types = ids + total, *positions = types + total;
    int64_t at = 0;
    for (int64_t s = 0; s < count; s++) {
        int64_t begin = tokens->offsets[rows[s]], length = peft_tokens_length(tokens, rows[s]);
        starts[s] = (int32_t)at;
        memcpy(ids + at, tokens->input_ids + begin, (size_t)length * sizeof *ids);
        memcpy(types + at, tokens->token_type_ids + begin, (size_t)length * sizeof *types);
        for (int64_t p = 0; p < length; p++) positions[at + p] = (int32_t)p;
        if (tokens->classes) classes[s] = tokens->classes[rows[s]];
        if (tokens->scores) m->scores[s] = tokens->scores[rows[s]];
        if (tokens->prompt_lengths) prompts[s] = tokens->prompt_lengths[rows[s]];
        if (size) memcpy(m->vectors + s * size, tokens->vectors + rows[s] * size, (size_t)size * sizeof *m->vectors);
        at += length;
    }
    starts[count] = (int32_t)at;
    m->batch = (peft_batch){.num_tokens = total,
                            .num_sequences = count,
                            .starts = starts,
                            .prompt_lengths = tokens->prompt_lengths ? prompts : NULL,
                            .vectors = size ? m->vectors : NULL,
                            .vector_size = size};
    m->input = (peft_model_input){ids, types, positions};
    m->classes = tokens->classes ? classes : NULL;
    return PEFT_OK;
}

void peft_batch_memory_free(peft_batch_memory *memory)
{
    free(memory->ints);
    free(memory->scores);
    free(memory->vectors);
    *memory = (peft_batch_memory){0};
}
