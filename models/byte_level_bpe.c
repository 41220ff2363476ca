#include "models/byte_level_bpe.h"

#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "models/bpe.h"
#include "models/normalizer.h"
#include "models/pre_tokenizer.h"
#include "models/unicode.h"

typedef struct byte_level_bpe {
    peft_normalizer normalizer;
    peft_pre_tokenizer *pre_tokenizer;
    peft_bpe *bpe;
} byte_level_bpe;

/* ---- tokenizer.json ---- */

static void close_state(void *state)
{
    byte_level_bpe *self = state;
    peft_pre_tokenizer_close(self->pre_tokenizer);
    peft_bpe_close(self->bpe);
    free(self);
}

static peft_status open_state(void **state, const json_t *root, peft_error *error)
{
    byte_level_bpe *self = calloc(1, sizeof *self);
    *state = NULL;
    if (!self) return peft_fail(error, PEFT_ERR_MEMORY, "tokenizer: out of memory");
    peft_status status = peft_normalizer_read(&self->normalizer, json_object_get(root, "normalizer"), error);
    if (status == PEFT_OK)
        status = peft_pre_tokenizer_open(&self->pre_tokenizer, json_object_get(root, "pre_tokenizer"), error);
    if (status == PEFT_OK) status = peft_bpe_open(&self->bpe, json_object_get(root, "model"), error);
    if (status)
        close_state(self);
    else
        *state = self;
    return status;
}

static int32_t vocab_size(const void *state)
{
    return peft_vocab_size(peft_bpe_vocab(((const byte_level_bpe *)state)->bpe));
}

static int32_t token_id(const void *state, const char *token, size_t bytes)
{
    return peft_vocab_find(peft_bpe_vocab(((const byte_level_bpe *)state)->bpe), token, bytes);
}

/* ---- encoding ---- */

typedef struct pieces {
    const peft_bpe *bpe;
    peft_bpe_memory memory;
    peft_encoding *out;
} pieces;

static peft_status take_piece(void *argument, const char *piece, size_t bytes, peft_error *error)
{
    pieces *p = argument;
    return peft_bpe_encode(p->bpe, piece, bytes, &p->memory, p->out, error);
}

static peft_status normalize(const void *state, const char *text, size_t bytes, peft_text_buffer *out,
                             peft_error *error)
{
    return peft_normalizer_apply(&((const byte_level_bpe *)state)->normalizer, text, bytes, out, error);
}

static peft_status encode_normalized(const byte_level_bpe *self, const char *text, size_t bytes, peft_encoding *out,
                                     peft_error *error)
{
    pieces p = {.bpe = self->bpe, .out = out};
    peft_status status = peft_pre_tokenizer_run(self->pre_tokenizer, text, bytes, take_piece, &p, error);
    peft_bpe_memory_free(&p.memory);
    return status;
}

static peft_status encode(const void *state, const char *text, size_t bytes, bool normalized, peft_encoding *out,
                          peft_error *error)
{
    const byte_level_bpe *self = state;
    if (normalized || self->normalizer.count == 0) return encode_normalized(self, text, bytes, out, error);
    peft_text_buffer made = {0};
    peft_status status = normalize(self, text, bytes, &made, error);
    if (status == PEFT_OK) status = encode_normalized(self, made.text, made.bytes, out, error);
    peft_text_buffer_free(&made);
    return status;
}

const peft_tokenizer_kind peft_byte_level_bpe = {
    .name = "BPE",
    .open = open_state,
    .close = close_state,
    .vocab_size = vocab_size,
    .token_id = token_id,
    .normalize = normalize,
    .encode = encode,
};

/* ---- vocab.json and merges.txt ---- */

/* A merge a line, "a b", below a line that names the version. */
static peft_status add_line(json_t *merges, const char *line, size_t bytes, size_t number, const char *path,
                            peft_error *error)
{
    if (bytes && line[bytes - 1] == '\r') bytes--;
    if (bytes >= 8 && memcmp(line, "#version", 8) == 0) return PEFT_OK;
    const char *space = memchr(line, ' ', bytes);
    size_t behind = space ? bytes - (size_t)(space + 1 - line) : 0;
    if (!space || space == line || behind == 0 || memchr(space + 1, ' ', behind) ||
        peft_utf8_check(line, bytes) < bytes)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s:%zu: expected two tokens with a space between them", path, number);
    if (json_array_append_new(merges, json_stringn(line, bytes)) == 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
}

static peft_status read_merges(json_t *merges, const char *path, peft_error *error)
{
    peft_mapped_file file;
    peft_status status = peft_file_map(path, &file, error);
    if (status) return status;
    if (file.bytes > PEFT_JSON_MAX_BYTES)
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected at most %d bytes, found %zu", path,
                           PEFT_JSON_MAX_BYTES, file.bytes);
    const char *at = file.data, *end = at + file.bytes;
    for (size_t number = 1; at < end && status == PEFT_OK; number++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end) line_end = end;
        if (line_end > at || line_end + 1 < end)
            status = add_line(merges, at, (size_t)(line_end - at), number, path, error);
        at = line_end < end ? line_end + 1 : end;
    }
    peft_file_unmap(&file);
    return status;
}

peft_status peft_vocab_json_load(const char *vocab_path, const char *merges_path, json_t **model, peft_error *error)
{
    json_t *vocab = NULL, *merges = json_array();
    *model = NULL;
    peft_status status = merges ? peft_json_load(vocab_path, &vocab, error)
                                : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", vocab_path);
    if (status == PEFT_OK) status = read_merges(merges, merges_path, error);
    if (status == PEFT_OK && !(*model = json_pack("{s:s, s:O, s:O}", "type", "BPE", "vocab", vocab, "merges", merges)))
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", vocab_path);
    json_decref(vocab);
    json_decref(merges);
    return status;
}
