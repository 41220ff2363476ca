#include "models/tokenizer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "models/added_tokens.h"
#include "models/byte_level_bpe.h"
#include "models/special_tokens.h"
#include "models/template.h"
#include "models/tokenizer_folder.h"
#include "models/tokenizer_kind.h"
#include "models/unicode.h"
#include "models/wordpiece.h"

static const peft_tokenizer_kind *const kinds[] = {&peft_wordpiece, &peft_byte_level_bpe};

struct peft_tokenizer {
    const peft_tokenizer_kind *kind;
    void *state; /* of the kind */
    peft_added_tokens added;
    bool match_specials, cut_left;
    peft_template single, pair;
    json_t *notes;
};

/* ---- opening ---- */

/* Files of before 2020 do not name the type; each type has fields that those below it lack. */
static const char *type_by_fields(const json_t *model)
{
    static const struct {
        const char *field, *type;
    } marks[] = {{"merges", "BPE"}, {"max_input_chars_per_word", "WordPiece"}, {"unk_id", "Unigram"}};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (json_object_get(model, marks[i].field)) return marks[i].type;
    return NULL;
}

static peft_status choose_kind(peft_tokenizer *tokenizer, const json_t *root, peft_error *error)
{
    json_t *model = NULL;
    const char *type = NULL;
    peft_status status = peft_json_object(root, "model", &model, "tokenizer", error);
    if (status == PEFT_OK && model) status = peft_json_string(model, "type", &type, "model", error);
    if (status) return status;
    if (!type) type = type_by_fields(model);
    for (size_t i = 0; type && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(type, kinds[i]->name) == 0) tokenizer->kind = kinds[i];
    if (tokenizer->kind) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "model: type %s is not offered", type ? type : "(none)");
}

static peft_status open_added(peft_tokenizer *tokenizer, const json_t *root, peft_error *error)
{
    json_t *list = NULL;
    peft_status status = peft_json_array(root, "added_tokens", &list, "tokenizer", error);
    if (status) return status;
    status = peft_added_tokens_open(&tokenizer->added, list, tokenizer->kind, tokenizer->state, error);
    return status ? peft_fail_in(error, status, "added_tokens") : PEFT_OK;
}

/* The file's maximum length and strategy are what its last user had set. As in transformers they are left to whoever
 * encodes, and texts are cut the longest first; the side is a property of the tokenizer. */
static peft_status read_truncation(peft_tokenizer *tokenizer, const json_t *root, peft_error *error)
{
    json_t *truncation = NULL;
    const char *direction = "Right", *strategy = "LongestFirst";
    peft_status status = peft_json_object(root, "truncation", &truncation, "tokenizer", error);
    if (status || !truncation) return status;
    status = peft_json_string(truncation, "direction", &direction, "truncation", error);
    if (status == PEFT_OK) status = peft_json_string(truncation, "strategy", &strategy, "truncation", error);
    if (status) return status;
    tokenizer->cut_left = strcmp(direction, "Left") == 0;
    if (!tokenizer->cut_left && strcmp(direction, "Right") != 0)
        return peft_fail(error, PEFT_ERR_FORMAT, "truncation: direction: expected Left or Right, found %s", direction);
    if (strcmp(strategy, "LongestFirst") == 0) return PEFT_OK;
    return peft_token_note(tokenizer->notes, error,
                           "tokenizer.json: truncation strategy %s is ignored, as in transformers: texts are cut the "
                           "longest first",
                           strategy);
}

static peft_status build(peft_tokenizer *tokenizer, const json_t *root, peft_error *error)
{
    peft_status status = choose_kind(tokenizer, root, error);
    if (status == PEFT_OK) status = read_truncation(tokenizer, root, error);
    if (status == PEFT_OK) status = tokenizer->kind->open(&tokenizer->state, root, error);
    if (status == PEFT_OK) status = open_added(tokenizer, root, error);
    if (status == PEFT_OK)
        status = peft_template_read(&tokenizer->single, &tokenizer->pair, json_object_get(root, "post_processor"),
                                    peft_tokenizer_vocab_size(tokenizer), error);
    return status;
}

static peft_status open_folder(peft_tokenizer *tokenizer, const char *model_dir, peft_error *error)
{
    char *path = NULL;
    json_t *root = NULL;
    tokenizer->match_specials = true;
    tokenizer->notes = json_array();
    if (!tokenizer->notes) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", model_dir);
    peft_status status = peft_tokenizer_folder_read(model_dir, &path, &root, tokenizer->notes, error);
    if (status == PEFT_OK) {
        status = build(tokenizer, root, error);
        if (status) peft_fail_in(error, status, path);
    }
    json_decref(root);
    free(path);
    return status;
}

peft_status peft_tokenizer_open(peft_tokenizer **tokenizer, const char *model_dir, peft_error *error)
{
    peft_tokenizer *opened = calloc(1, sizeof *opened);
    *tokenizer = NULL;
    if (!opened) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", model_dir);
    peft_status status = open_folder(opened, model_dir, error);
    if (status)
        peft_tokenizer_close(opened);
    else
        *tokenizer = opened;
    return status;
}

void peft_tokenizer_close(peft_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    peft_added_tokens_close(&tokenizer->added);
    if (tokenizer->state) tokenizer->kind->close(tokenizer->state);
    json_decref(tokenizer->notes);
    free(tokenizer);
}

void peft_tokenizer_notes(const peft_tokenizer *tokenizer, peft_note_function *note, void *argument)
{
    for (size_t i = 0; note && i < json_array_size(tokenizer->notes); i++)
        note(argument, json_string_value(json_array_get(tokenizer->notes, i)));
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
    int32_t id = peft_added_tokens_id(&tokenizer->added, token, bytes);
    return id >= 0 ? id : tokenizer->kind->token_id(tokenizer->state, token, bytes);
}

/* ---- encoding ---- */

/* A part of a text: cut at added tokens, what lies between them given on to the next step. */
typedef struct part {
    const peft_tokenizer *tokenizer;
    const peft_added_set *set;
    peft_status (*next)(const peft_tokenizer *tokenizer, const char *text, size_t bytes, peft_encoding *encoding,
                        peft_error *error);
} part;

static peft_status cut(const part *p, const char *text, size_t bytes, peft_encoding *encoding, peft_error *error)
{
    peft_added_match match = {0};
    peft_status status = PEFT_OK;
    do {
        peft_added_tokens_next(&p->tokenizer->added, p->set, p->tokenizer->match_specials, text, bytes, &match);
        if (match.from < match.begin)
            status = p->next(p->tokenizer, text + match.from, match.begin - match.from, encoding, error);
        if (status == PEFT_OK && match.token && !peft_encoding_push(encoding, match.token->id))
            status = peft_fail(error, PEFT_ERR_MEMORY, "text: out of memory");
    } while (status == PEFT_OK && match.token);
    return status;
}

static peft_status encode_normalized(const peft_tokenizer *tokenizer, const char *text, size_t bytes,
                                     peft_encoding *encoding, peft_error *error)
{
    return tokenizer->kind->encode(tokenizer->state, text, bytes, true, encoding, error);
}

static peft_status encode_plain(const peft_tokenizer *tokenizer, const char *text, size_t bytes,
                                peft_encoding *encoding, peft_error *error)
{
    const part normalized = {tokenizer, &tokenizer->added.normalized, encode_normalized};
    if (!normalized.set->trie) return tokenizer->kind->encode(tokenizer->state, text, bytes, false, encoding, error);
    peft_text_buffer buffer = {0};
    peft_status status = tokenizer->kind->normalize(tokenizer->state, text, bytes, &buffer, error);
    if (status == PEFT_OK && buffer.bytes) status = cut(&normalized, buffer.text, buffer.bytes, encoding, error);
    peft_text_buffer_free(&buffer);
    return status;
}

static peft_status encode_text(const peft_tokenizer *tokenizer, const char *text, size_t bytes, peft_encoding *encoding,
                               peft_error *error)
{
    size_t valid = peft_utf8_check(text, bytes);
    if (valid < bytes)
        return peft_fail(error, PEFT_ERR_FORMAT, "text: byte %zu (0x%02x) is not valid UTF-8", valid,
                         (unsigned)(unsigned char)text[valid]);
    const part as_is = {tokenizer, &tokenizer->added.as_is, encode_plain};
    return cut(&as_is, text, bytes, encoding, error);
}

static peft_kept kept(const peft_tokenizer *tokenizer, size_t begin, size_t length, size_t count)
{
    return (peft_kept){begin + (tokenizer->cut_left ? length - count : 0), count};
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
    peft_template_apply(pattern, encoding, kept(tokenizer, 0, first, keep_first),
                        kept(tokenizer, first, second, keep_second));
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
