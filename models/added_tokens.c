#include "models/added_tokens.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "io/json.h"
#include "models/unicode.h"

/* The time to look through a text is its length times that of a token that almost matches everywhere. */
enum { MAX_TOKEN_BYTES = 1000 };

/* ---- reading ---- */

static peft_status read_token(const json_t *item, peft_added_token *token, peft_vocab_entry *entry, peft_error *error)
{
    struct {
        const char *key;
        bool *value;
    } flags[] = {{"special", &token->special},
                 {"normalized", &token->normalized},
                 {"single_word", &token->single_word},
                 {"lstrip", &token->lstrip},
                 {"rstrip", &token->rstrip}};
    const char *text = NULL;
    int64_t id = -1;
    if (!json_is_object(item)) return peft_fail(error, PEFT_ERR_FORMAT, "expected a list of objects");
    peft_status status = peft_json_string(item, "content", &text, "token", error);
    if (status) return status;
    if (!text || !*text) return peft_fail(error, PEFT_ERR_FORMAT, "expected a token with content, found none");
    if (strlen(text) > MAX_TOKEN_BYTES)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "expected tokens of at most %d bytes, found one of %zu",
                         MAX_TOKEN_BYTES, strlen(text));
    status = peft_json_int(item, "id", 0, PEFT_VOCAB_MAX_ID, &id, text, error);
    if (status == PEFT_OK && id < 0) status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an id", text);
    for (size_t k = 0; status == PEFT_OK && k < sizeof flags / sizeof flags[0]; k++)
        status = peft_json_bool(item, flags[k].key, flags[k].value, text, error);
    token->id = (int32_t)id;
    *entry = (peft_vocab_entry){text, strlen(text), 0};
    return status;
}

static peft_status read_tokens(peft_added_tokens *added, const json_t *list, peft_vocab_entry *entries,
                               peft_error *error)
{
    peft_status status = PEFT_OK;
    for (size_t i = 0; status == PEFT_OK && i < added->count; i++) {
        status = read_token(json_array_get(list, i), &added->tokens[i], &entries[i], error);
        entries[i].id = (int32_t)i;
        if (added->tokens[i].id > added->max_id) added->max_id = added->tokens[i].id;
    }
    return status;
}

/* ---- sets ---- */

/* What building the sets needs. Normalized texts lie one after the other in `texts`. */
typedef struct builder {
    peft_added_tokens *added;
    const peft_vocab_entry *contents; /* [count] by index */
    const peft_tokenizer_kind *kind;
    const void *state;
    peft_vocab_entry *entries; /* [count] of one set */
    peft_text_buffer texts;
} builder;

static int compare_for_first(const void *left, const void *right)
{
    const peft_vocab_entry *a = left, *b = right;
    size_t bytes = a->bytes < b->bytes ? a->bytes : b->bytes;
    int order = bytes ? memcmp(a->text, b->text, bytes) : 0;
    if (order == 0) order = (a->bytes > b->bytes) - (a->bytes < b->bytes);
    return order ? order : (a->id > b->id) - (a->id < b->id);
}

/* Of tokens that normalizing made equal the first counts; one that it made empty is never found. */
static size_t drop_doubles(peft_vocab_entry *entries, size_t count)
{
    size_t kept = 0;
    if (count) qsort(entries, count, sizeof *entries, compare_for_first);
    for (size_t i = 0; i < count; i++) {
        bool again = kept && entries[kept - 1].bytes == entries[i].bytes &&
                     memcmp(entries[kept - 1].text, entries[i].text, entries[i].bytes) == 0;
        if (entries[i].bytes && !again) entries[kept++] = entries[i];
    }
    return kept;
}

static peft_status open_set(builder *b, peft_added_set *set, size_t count, peft_error *error)
{
    count = drop_doubles(b->entries, count);
    if (count == 0) return PEFT_OK;
    for (size_t i = 0; i < count; i++) set->starts[(uint8_t)*b->entries[i].text] = true;
    return peft_vocab_open(&set->trie, b->entries, count, error);
}

static peft_status open_as_is(builder *b, peft_error *error)
{
    size_t count = 0;
    for (size_t i = 0; i < b->added->count; i++)
        if (!b->added->tokens[i].normalized) b->entries[count++] = b->contents[i];
    return open_set(b, &b->added->as_is, count, error);
}

static peft_status open_normalized(builder *b, peft_error *error)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < b->added->count; i++) {
        if (!b->added->tokens[i].normalized) continue;
        size_t before = b->texts.bytes;
        peft_status status = b->kind->normalize(b->state, b->contents[i].text, b->contents[i].bytes, &b->texts, error);
        if (status) return status;
        b->entries[count++] = (peft_vocab_entry){NULL, b->texts.bytes - before, (int32_t)i};
    }
    for (size_t i = 0; i < count; at += b->entries[i++].bytes)
        b->entries[i].text = b->texts.bytes ? b->texts.text + at : "";
    return open_set(b, &b->added->normalized, count, error);
}

static peft_status open_sets(builder *b, peft_error *error)
{
    memcpy(b->entries, b->contents, b->added->count * sizeof *b->entries);
    peft_status status = peft_vocab_open(&b->added->by_content, b->entries, b->added->count, error);
    if (status == PEFT_OK) status = open_as_is(b, error);
    if (status == PEFT_OK) status = open_normalized(b, error);
    peft_text_buffer_free(&b->texts);
    return status;
}

peft_status peft_added_tokens_open(peft_added_tokens *added, const json_t *list, const peft_tokenizer_kind *kind,
                                   const void *state, peft_error *error)
{
    added->max_id = -1;
    added->count = json_array_size(list);
    if (added->count == 0) return PEFT_OK;
    added->tokens = calloc(added->count, sizeof *added->tokens);
    peft_vocab_entry *entries = calloc(added->count * 2, sizeof *entries);
    peft_status status =
        added->tokens && entries ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "added_tokens: out of memory");
    if (status == PEFT_OK) status = read_tokens(added, list, entries, error);
    builder b = {.added = added, .contents = entries, .kind = kind, .state = state};
    if (status == PEFT_OK) {
        b.entries = entries + added->count;
        status = open_sets(&b, error);
    }
    free(entries);
    return status;
}

void peft_added_tokens_close(peft_added_tokens *added)
{
    peft_vocab_close(added->by_content);
    peft_vocab_close(added->as_is.trie);
    peft_vocab_close(added->normalized.trie);
    free(added->tokens);
    *added = (peft_added_tokens){0};
}

int32_t peft_added_tokens_id(const peft_added_tokens *added, const char *text, size_t bytes)
{
    int32_t index = added->by_content ? peft_vocab_find(added->by_content, text, bytes) : -1;
    return index < 0 ? -1 : added->tokens[index].id;
}

/* ---- finding ---- */

static int32_t char_at(const char *text, size_t bytes, size_t *length)
{
    utf8proc_int32_t c;
    *length = (size_t)utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &c);
    return c;
}

static int32_t char_before(const char *text, size_t from, size_t to, size_t *begin)
{
    size_t length;
    *begin = to - 1;
    while (*begin > from && ((unsigned char)text[*begin] & 0xC0) == 0x80) --*begin;
    return char_at(text + *begin, to - *begin, &length);
}

static bool is_space(int32_t c)
{
    return (peft_char_class(c) & PEFT_CHAR_SPACE) != 0;
}

/* The first place from which on all is white space up to `to`. */
static size_t strip_left(const char *text, size_t from, size_t to)
{
    size_t previous;
    while (to > from && is_space(char_before(text, from, to, &previous))) to = previous;
    return to;
}

static size_t strip_right(const char *text, size_t from, size_t to)
{
    size_t length;
    while (from < to && is_space(char_at(text + from, to - from, &length))) from += length;
    return from;
}

/* Is no letter or digit beside [begin, end)? */
static bool stands_alone(const char *text, size_t bytes, size_t begin, size_t end)
{
    size_t unused;
    if (begin > 0 && peft_char_is_word(char_before(text, 0, begin, &unused))) return false;
    return end == bytes || !peft_char_is_word(char_at(text + end, bytes - end, &unused));
}

void peft_added_tokens_next(const peft_added_tokens *added, const peft_added_set *set, bool specials, const char *text,
                            size_t bytes, peft_added_match *match)
{
    size_t matched;
    match->from = match->end;
    for (size_t at = match->scanned; set->trie && at < bytes; at += matched) {
        matched = 1;
        if (!set->starts[(uint8_t)text[at]]) continue;
        int32_t index = peft_vocab_longest(set->trie, PEFT_VOCAB_ROOT, text + at, bytes - at, &matched);
        if (index < 0) {
            matched = 1;
            continue;
        }
        const peft_added_token *token = &added->tokens[index];
        if (token->special && !specials) continue;
        if (token->single_word && !stands_alone(text, bytes, at, at + matched)) continue;
        match->token = token;
        match->scanned = at + matched;
        match->begin = token->lstrip ? strip_left(text, match->from < at ? match->from : at, at) : at;
        match->end = token->rstrip ? strip_right(text, at + matched, bytes) : at + matched;
        return;
    }
    match->token = NULL;
    match->begin = match->end = match->scanned = bytes;
}
