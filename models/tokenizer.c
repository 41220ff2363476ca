#include "models/tokenizer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "models/added_tokens.h"
#include "models/template.h"
#include "models/tokenizer_kind.h"
#include "models/unicode.h"
#include "models/vocab_txt.h"
#include "models/wordpiece.h"

static const peft_tokenizer_kind *const kinds[] = {&peft_wordpiece};

struct peft_tokenizer {
    const peft_tokenizer_kind *kind;
    void *state; /* of the kind */
    peft_added_tokens added;
    bool match_specials;
    peft_template single, pair;
};

/* ---- opening ---- */

static peft_status choose_kind(peft_tokenizer *tokenizer, const json_t *root, peft_error *error)
{
    json_t *model = NULL;
    const char *type = NULL;
    peft_status status = peft_json_object(root, "model", &model, "tokenizer", error);
    if (status == PEFT_OK && model) status = peft_json_string(model, "type", &type, "model", error);
    if (status) return status;
    for (size_t i = 0; type && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(type, kinds[i]->name) == 0) tokenizer->kind = kinds[i];
    if (tokenizer->kind) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "model: type %s is not offered", type ? type : "(none)");
}

/* An added token that the vocabulary has as well must have the same id there. */
static peft_status check_added(const peft_tokenizer *tokenizer, const json_t *list, peft_error *error)
{
    for (size_t i = 0; i < tokenizer->added.count; i++) {
        const char *text = json_string_value(json_object_get(json_array_get(list, i), "content"));
        int32_t id = tokenizer->kind->token_id(tokenizer->state, text, strlen(text));
        if (id >= 0 && id != tokenizer->added.tokens[i].id)
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: id is %d, but %d in the vocabulary", text,
                             tokenizer->added.tokens[i].id, id);
    }
    return PEFT_OK;
}

static peft_status open_added(peft_tokenizer *tokenizer, const json_t *root, peft_error *error)
{
    json_t *list = NULL;
    peft_status status = peft_json_array(root, "added_tokens", &list, "tokenizer", error);
    if (status) return status;
    status = peft_added_tokens_open(&tokenizer->added, list, error);
    if (status == PEFT_OK) status = check_added(tokenizer, list, error);
    return status ? peft_fail_in(error, status, "added_tokens") : PEFT_OK;
}

/* The file's maximum length is advice that callers read from the model's configuration; its direction and strategy
 * change ids. */
static peft_status check_truncation(const json_t *root, peft_error *error)
{
    json_t *truncation = NULL;
    const char *direction = "Right", *strategy = "LongestFirst";
    peft_status status = peft_json_object(root, "truncation", &truncation, "tokenizer", error);
    if (status || !truncation) return status;
    status = peft_json_string(truncation, "direction", &direction, "truncation", error);
    if (status == PEFT_OK) status = peft_json_string(truncation, "strategy", &strategy, "truncation", error);
    if (status) return status;
    if (strcmp(direction, "Right") == 0 && strcmp(strategy, "LongestFirst") == 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "truncation: expected Right, LongestFirst, found %s, %s", direction,
                     strategy);
}

static peft_status build(peft_tokenizer *tokenizer, const json_t *root, peft_error *error)
{
    peft_status status = choose_kind(tokenizer, root, error);
    if (status == PEFT_OK) status = check_truncation(root, error);
    if (status == PEFT_OK) status = tokenizer->kind->open(&tokenizer->state, root, error);
    if (status == PEFT_OK) status = open_added(tokenizer, root, error);
    if (status == PEFT_OK)
        status = peft_template_read(&tokenizer->single, &tokenizer->pair, json_object_get(root, "post_processor"),
                                    peft_tokenizer_vocab_size(tokenizer), error);
    return status;
}

static peft_status load(const char *model_dir, char **path, json_t **root, peft_error *error)
{
    peft_status status = peft_path_join(model_dir, "tokenizer.json", path, error);
    if (status) return status;
    if (peft_file_exists(*path)) return peft_json_load(*path, root, error);
    free(*path);
    status = peft_path_join(model_dir, "vocab.txt", path, error);
    if (status) return status;
    if (peft_file_exists(*path)) return peft_vocab_txt_load(model_dir, *path, root, error);
    return peft_fail(error, PEFT_ERR_FILE, "%s: expected tokenizer.json or vocab.txt, found neither", model_dir);
}

peft_status peft_tokenizer_open(peft_tokenizer **tokenizer, const char *model_dir, peft_error *error)
{
    *tokenizer = NULL;
    char *path = NULL;
    json_t *root = NULL;
    peft_status status = load(model_dir, &path, &root, error);
    peft_tokenizer *opened = status ? NULL : calloc(1, sizeof *opened);
    if (status == PEFT_OK) {
        status = opened ? build(opened, root, error) : peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
        if (status) peft_fail_in(error, status, path);
    }
    json_decref(root);
    free(path);
    if (status) {
        peft_tokenizer_close(opened);
        return status;
    }
    opened->match_specials = true;
    *tokenizer = opened;
    return PEFT_OK;
}

void peft_tokenizer_close(peft_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    peft_added_tokens_close(&tokenizer->added);
    if (tokenizer->state) tokenizer->kind->close(tokenizer->state);
    free(tokenizer);
}

void peft_tokenizer_match_specials(peft_tokenizer *tokenizer, bool match)
{
    tokenizer->match_specials = match;
}

int32_t peft_tokenizer_vocab_size(const peft_tokenizer *tokenizer)
{
    int32_t size = tokenizer->kind->vocab_size(tokenizer->state);
    return tokenizer->added.max_id >= size ? tokenizer->added.max_id + 1 : size;
}

int32_t peft_tokenizer_token_id(const peft_tokenizer *tokenizer, const char *token)
{
    size_t bytes = strlen(token);
    int32_t index = tokenizer->added.trie ? peft_vocab_find(tokenizer->added.trie, token, bytes) : -1;
    if (index >= 0) return tokenizer->added.tokens[index].id;
    return tokenizer->kind->token_id(tokenizer->state, token, bytes);
}

/* ---- encoding ---- */

static peft_status encode_text(const peft_tokenizer *tokenizer, const char *text, size_t bytes, peft_encoding *encoding,
                               peft_error *error)
{
    size_t valid = peft_utf8_check(text, bytes);
    if (valid < bytes)
        return peft_fail(error, PEFT_ERR_FORMAT, "text: byte %zu (0x%02x) is not valid UTF-8", valid,
                         (unsigned)(unsigned char)text[valid]);
    peft_status status = PEFT_OK;
    for (size_t from = 0, done = 0; status == PEFT_OK; from = done) {
        size_t end = bytes;
        const peft_added_token *token =
            peft_added_tokens_next(&tokenizer->added, tokenizer->match_specials, text, bytes, &done, &end);
        if (from < end) status = tokenizer->kind->encode(tokenizer->state, text + from, end - from, encoding, error);
        if (status || !token) break;
        if (!peft_encoding_push(encoding, token->id)) status = peft_fail(error, PEFT_ERR_MEMORY, "text: out of memory");
    }
    return status;
}

static peft_status encode_texts(const peft_tokenizer *tokenizer, const char *text, size_t text_bytes, const char *pair,
                                size_t pair_bytes, size_t max_length, peft_encoding *encoding, peft_error *error)
{
    const peft_template *pattern = pair ? &tokenizer->pair : &tokenizer->single;
    if (max_length < pattern->num_specials)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "max_length: expected at least %zu, for the special tokens, found %zu", pattern->num_specials,
                         max_length);
    if (!peft_encoding_reserve(encoding, pattern->num_specials))
        return peft_fail(error, PEFT_ERR_MEMORY, "encoding: out of memory");

    encoding->length = pattern->num_specials;
    peft_status status = encode_text(tokenizer, text, text_bytes, encoding, error);
    size_t first = encoding->length - pattern->num_specials;
    if (status == PEFT_OK && pair) status = encode_text(tokenizer, pair, pair_bytes, encoding, error);
    if (status) return status;

    size_t second = encoding->length - pattern->num_specials - first;
    size_t keep_first = first, keep_second = second;
    peft_truncate_longest_first(&keep_first, &keep_second, max_length - pattern->num_specials);
    encoding->truncated = first - keep_first + second - keep_second;
    peft_template_apply(pattern, encoding, first, keep_first, keep_second);
    return PEFT_OK;
}

peft_status peft_tokenizer_encode(const peft_tokenizer *tokenizer, const char *text, size_t text_bytes,
                                  const char *pair, size_t pair_bytes, size_t max_length, peft_encoding *encoding,
                                  peft_error *error)
{
    encoding->length = encoding->truncated = 0;
    peft_status status = encode_texts(tokenizer, text, text_bytes, pair, pair_bytes, max_length, encoding, error);
    if (status) encoding->length = 0;
    return status;
}
