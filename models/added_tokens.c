#include "models/added_tokens.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "io/json.h"
#include "models/unicode.h"

/* ---- reading ---- */

static peft_status read_flag(const json_t *item, const char *text, const char *key, bool *value, peft_error *error)
{
    *value = false;
    return peft_json_bool(item, key, value, text, error);
}

static peft_status refuse_flag(const json_t *item, const char *text, const char *key, peft_error *error)
{
    bool set;
    peft_status status = read_flag(item, text, key, &set, error);
    if (status || !set) return status;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: %s true is not offered", text, key);
}

static peft_status read_token(const json_t *item, peft_added_token *token, const char **text, peft_error *error)
{
    int64_t id = -1;
    *text = NULL;
    peft_status status = peft_json_string(item, "content", text, "token", error);
    if (status) return status;
    if (!*text || !**text) return peft_fail(error, PEFT_ERR_FORMAT, "expected a token with content, found none");
    status = peft_json_int(item, "id", 0, PEFT_VOCAB_MAX_ID, &id, *text, error);
    if (status == PEFT_OK && id < 0) status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an id", *text);
    if (status == PEFT_OK) status = refuse_flag(item, *text, "single_word", error);
    if (status == PEFT_OK) status = refuse_flag(item, *text, "normalized", error);
    if (status == PEFT_OK) status = read_flag(item, *text, "special", &token->special, error);
    if (status == PEFT_OK) status = read_flag(item, *text, "lstrip", &token->lstrip, error);
    if (status == PEFT_OK) status = read_flag(item, *text, "rstrip", &token->rstrip, error);
    token->id = (int32_t)id;
    return status;
}

static peft_status read_tokens(peft_added_tokens *added, const json_t *list, peft_vocab_entry *entries,
                               peft_error *error)
{
    for (size_t i = 0; i < added->count; i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_object(item)) return peft_fail(error, PEFT_ERR_FORMAT, "expected a list of objects");
        const char *text;
        peft_status status = read_token(item, &added->tokens[i], &text, error);
        if (status) return status;
        entries[i] = (peft_vocab_entry){text, strlen(text), (int32_t)i};
        added->starts[(uint8_t)*text] = true;
        if (added->tokens[i].id > added->max_id) added->max_id = added->tokens[i].id;
    }
    return peft_vocab_open(&added->trie, entries, added->count, error);
}

peft_status peft_added_tokens_open(peft_added_tokens *added, const json_t *list, peft_error *error)
{
    added->max_id = -1;
    added->count = json_array_size(list);
    if (added->count == 0) return PEFT_OK;
    added->tokens = calloc(added->count, sizeof *added->tokens);
    peft_vocab_entry *entries = calloc(added->count, sizeof *entries);
    peft_status status = added->tokens && entries ? read_tokens(added, list, entries, error)
                                                  : peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    free(entries);
    return status;
}

void peft_added_tokens_close(peft_added_tokens *added)
{
    peft_vocab_close(added->trie);
    free(added->tokens);
    *added = (peft_added_tokens){0};
}

/* ---- finding ---- */

static bool is_space(const char *text, size_t bytes, size_t *length)
{
    utf8proc_int32_t c;
    *length = (size_t)utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &c);
    return (peft_char_class(c) & PEFT_CHAR_SPACE) != 0;
}

/* The first place from which on all is white space up to `to`. */
static size_t strip_left(const char *text, size_t from, size_t to)
{
    size_t begin = to, length;
    while (begin > from) {
        size_t previous = begin - 1;
        while (previous > from && ((unsigned char)text[previous] & 0xC0) == 0x80) previous--;
        if (!is_space(text + previous, begin - previous, &length)) break;
        begin = previous;
    }
    return begin;
}

static size_t strip_right(const char *text, size_t from, size_t to)
{
    size_t length;
    while (from < to && is_space(text + from, to - from, &length)) from += length;
    return from;
}

const peft_added_token *peft_added_tokens_next(const peft_added_tokens *added, bool specials, const char *text,
                                               size_t bytes, size_t *done, size_t *begin)
{
    size_t matched;
    for (size_t at = *done; at < bytes; at += matched) {
        matched = 1;
        if (!added->starts[(uint8_t)text[at]]) continue;
        int32_t index = peft_vocab_longest(added->trie, PEFT_VOCAB_ROOT, text + at, bytes - at, &matched);
        if (index < 0) {
            matched = 1;
            continue;
        }
        const peft_added_token *token = &added->tokens[index];
        if (token->special && !specials) continue;
        *begin = token->lstrip ? strip_left(text, *done, at) : at;
        *done = token->rstrip ? strip_right(text, at + matched, bytes) : at + matched;
        return token;
    }
    return NULL;
}
