#include "models/special_tokens.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "models/vocab.h"

peft_status peft_token_note(json_t *notes, peft_error *error, const char *format, ...)
{
    peft_error note = {0};
    va_list arguments;
    va_start(arguments, format);
    peft_fail_va(&note, PEFT_OK, format, arguments);
    va_end(arguments);
    if (json_array_append_new(notes, json_string(note.message)) == 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_MEMORY, "out of memory for a note: %s", note.message);
}

/* ---- what the files say of one token ---- */

static const json_t *said(const json_t *file, const char *key)
{
    const json_t *value = json_object_get(file, key);
    return json_is_null(value) ? NULL : value;
}

static const char *content(const json_t *token)
{
    return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

static bool config_decides(const peft_token_sources *sources)
{
    return said(sources->config, "added_tokens_decoder") != NULL;
}

static const json_t *said_by_any(const peft_token_sources *sources, const char *key)
{
    const json_t *config = said(sources->config, key);
    const json_t *map = config_decides(sources) ? NULL : said(sources->special_map, key);
    return map ? map : config;
}

/* What the files call the token: a string or an object with its `content`, borrowed; NULL: they do not say. Where
 * tokenizer_config.json lists all added tokens (added_tokens_decoder) it is right, else special_tokens_map.json. */
static const json_t *special_token(const peft_token_sources *sources, int name)
{
    return said_by_any(sources, peft_token_names[name]);
}

const char *peft_special_token_text(const peft_token_sources *sources, int name)
{
    const char *text = content(special_token(sources, name));
    return text || !sources->class ? text : sources->class->family->tokens[name];
}

static peft_status check_named(const peft_token_sources *sources, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (int name = 0; status == PEFT_OK && name < PEFT_NUM_TOKEN_NAMES; name++) {
        const char *key = peft_token_names[name];
        const json_t *config = said(sources->config, key), *map = said(sources->special_map, key);
        char found[PEFT_JSON_TEXT];
        if ((config && !content(config)) || (map && !content(map)))
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: %s: expected a text or an object with content, found %s",
                             content(config) ? "special_tokens_map.json" : "tokenizer_config.json", key,
                             peft_json_text(content(config) ? map : config, found));
        if (config && map && strcmp(content(config), content(map)) != 0)
            status = peft_token_note(
                sources->notes, error, "%s is %s in tokenizer_config.json and %s in special_tokens_map.json: %s counts",
                key, content(config), content(map), content(config_decides(sources) ? config : map));
    }
    return status;
}

/* ---- the list ---- */

typedef struct builder {
    const peft_token_sources *sources;
    const json_t *vocab;
    json_t *list;
    json_t *by_content; /* the objects of the list */
    json_int_t max_id;  /* of the list; -1: empty */
} builder;

static peft_status out_of_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "added tokens: out of memory");
}

/* The next free id counts the tokens, whatever their ids: so does the reference. */
static json_int_t id_of(const builder *b, const char *text)
{
    const json_t *id = json_object_get(b->vocab, text);
    json_int_t size = (json_int_t)json_object_size(b->vocab);
    return json_is_integer(id) ? json_integer_value(id) : b->max_id >= size ? b->max_id + 1 : size;
}

static const char *const flags[] = {"special", "normalized", "single_word", "lstrip", "rstrip"};
enum { NUM_FLAGS = sizeof flags / sizeof flags[0] };

/* A token as tokenizer.json has it, without its id. What is not said of it is false, and only the text of a special
 * token stays as it is (`normalized`). NULL: out of memory. */
static json_t *token_object(const json_t *token, bool special)
{
    json_t *said_special = json_object_get(token, "special");
    special |= json_is_true(said_special);
    json_t *made = json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", content(token), "special", special,
                             "normalized", !special, "single_word", 0, "lstrip", 0, "rstrip", 0);
    for (int k = 0; made && k < NUM_FLAGS; k++) {
        json_t *value = json_object_get(token, flags[k]);
        if (value && !(k == 0 && special)) json_object_set(made, flags[k], value);
    }
    return made;
}

static peft_status note_flags(const builder *b, const json_t *old, const json_t *new, const char *file,
                              peft_error *error)
{
    peft_status status = PEFT_OK;
    for (int k = 1; status == PEFT_OK && k < NUM_FLAGS; k++) {
        const json_t *before = json_object_get(old, flags[k]), *after = json_object_get(new, flags[k]);
        if (before ? json_equal(before, after) : !json_is_true(after)) continue;
        char text[PEFT_JSON_TEXT];
        status = peft_token_note(b->sources->notes, error, "added token %s: %s is %s in %s, which counts", content(old),
                                 flags[k], peft_json_text(after, text), file);
    }
    return status;
}

static peft_status note_id(const builder *b, const char *text, json_int_t id, const json_t *said_id, const char *file,
                           peft_error *error)
{
    if (!json_is_integer(said_id) || json_integer_value(said_id) == id) return PEFT_OK;
    return peft_token_note(b->sources->notes, error,
                           "%s: added token %s: its id there is %" JSON_INTEGER_FORMAT ", but %" JSON_INTEGER_FORMAT
                           " counts, %s, as in transformers",
                           file, text, json_integer_value(said_id), id,
                           json_object_get(b->vocab, text) ? "the vocabulary's" : "the next that is free");
}

/* Takes over `token` (a new reference, NULL: out of memory). */
static peft_status put(builder *b, json_t *token, const json_t *said_id, const char *file, peft_error *error)
{
    const char *text = content(token);
    if (!token) return out_of_memory(error);
    json_t *old = json_object_get(b->by_content, text);
    json_int_t id = old ? json_integer_value(json_object_get(old, "id")) : id_of(b, text);
    peft_status status = note_id(b, text, id, said_id, file, error);
    if (status == PEFT_OK && old) status = note_flags(b, old, token, file, error);
    if (status == PEFT_OK &&
        (old ? json_object_update(old, token)
             : json_object_set_new(token, "id", json_integer(id)) || json_array_append(b->list, token) ||
                   json_object_set(b->by_content, text, token)))
        status = out_of_memory(error);
    if (id > b->max_id) b->max_id = id;
    json_decref(token);
    return status;
}

/* ---- the sources, in their order ---- */

/* Tokens of tokenizer.json itself are taken as they are, and checked where they are read. */
static peft_status take_listed(builder *b, json_t *listed, peft_error *error)
{
    for (size_t i = 0; i < json_array_size(listed); i++) {
        json_t *token = json_array_get(listed, i), *id = json_object_get(token, "id");
        if (!json_is_object(token) || !content(token) || !*content(token) || !json_is_integer(id) ||
            json_integer_value(id) < 0 || json_object_get(b->by_content, content(token))) {
            if (json_array_append(b->list, token)) return out_of_memory(error);
            continue;
        }
        peft_status status = put(b, json_copy(token), id, "tokenizer.json", error);
        if (status) return status;
    }
    return PEFT_OK;
}

typedef struct numbered {
    json_int_t id;
    const char *text; /* the key: a number, or a token */
    json_t *value;
} numbered;

static int by_id(const void *left, const void *right)
{
    const numbered *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

static bool parse_id(const char *text, json_int_t *id)
{
    char *end;
    long value = strtol(text, &end, 10);
    *id = value;
    return *text && !*end && value >= 0 && value <= PEFT_VOCAB_MAX_ID;
}

/* Sorts the entries of an object by id. decoder: the keys are ids; else the values are. */
static peft_status sort_by_id(json_t *object, bool decoder, const char *file, numbered **sorted, peft_error *error)
{
    const char *key;
    json_t *value;
    size_t count = 0;
    char found[PEFT_JSON_TEXT];
    *sorted = calloc(json_object_size(object) + 1, sizeof **sorted);
    if (!*sorted) return out_of_memory(error);
    json_object_foreach(object, key, value)
    {
        numbered n = {json_integer_value(value), key, value};
        bool good = decoder ? parse_id(key, &n.id) && json_is_object(value) && content(value) && *content(value)
                            : json_is_integer(value) && n.id >= 0 && n.id <= PEFT_VOCAB_MAX_ID && *key;
        if (!good)
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an id and a token, found %s and %s", file, key,
                             peft_json_text(value, found));
        (*sorted)[count++] = n;
    }
    if (count) qsort(*sorted, count, sizeof **sorted, by_id);
    return PEFT_OK;
}

static bool is_named(const peft_token_sources *sources, const char *text)
{
    for (int name = 0; name < PEFT_NUM_TOKEN_NAMES; name++) {
        const char *special = peft_special_token_text(sources, name);
        if (special && strcmp(special, text) == 0) return true;
    }
    return false;
}

static bool is_in(const json_t *tokens, const char *text)
{
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const char *special = content(json_array_get(tokens, i));
        if (special && strcmp(special, text) == 0) return true;
    }
    return false;
}

static bool is_special(const peft_token_sources *sources, const char *text)
{
    return is_named(sources, text) || is_in(said_by_any(sources, "additional_special_tokens"), text) ||
           is_in(said_by_any(sources, "extra_special_tokens"), text);
}

static peft_status take_decoder(builder *b, peft_error *error)
{
    static const char file[] = "tokenizer_config.json: added_tokens_decoder";
    json_t *decoder = NULL;
    numbered *sorted = NULL;
    peft_status status =
        peft_json_object(b->sources->config, "added_tokens_decoder", &decoder, "tokenizer_config.json", error);
    if (status == PEFT_OK) status = sort_by_id(decoder, true, file, &sorted, error);
    for (size_t i = 0; status == PEFT_OK && i < json_object_size(decoder); i++) {
        json_t *token = token_object(sorted[i].value, false), *id = json_integer(sorted[i].id);
        if (token && is_named(b->sources, content(token))) json_object_set_new(token, "special", json_true());
        status = put(b, token, id, file, error);
        json_decref(id);
    }
    free(sorted);
    return status;
}

/* Where tokenizer.json has the token, too, it knows more of it. */
static peft_status take_added(builder *b, peft_error *error)
{
    static const char file[] = "added_tokens.json";
    numbered *sorted = NULL;
    json_t *added = b->sources->added;
    if (added && !json_is_object(added)) return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an object", file);
    peft_status status = sort_by_id(added, false, file, &sorted, error);
    for (size_t i = 0; status == PEFT_OK && i < json_object_size(added); i++) {
        const char *text = sorted[i].text;
        json_t *old = json_object_get(b->by_content, text), *name = old ? NULL : json_string(text);
        if (old)
            status = note_id(b, text, json_integer_value(json_object_get(old, "id")), sorted[i].value, file, error);
        else
            status =
                put(b, name ? token_object(name, is_special(b->sources, text)) : NULL, sorted[i].value, file, error);
        json_decref(name);
    }
    free(sorted);
    return status;
}

/* A special token that is there already stays as it is. */
static peft_status take_special(builder *b, const json_t *token, const char *file, peft_error *error)
{
    json_t *old = json_object_get(b->by_content, content(token));
    if (!old) return put(b, token_object(token, true), NULL, file, error);
    return json_object_set_new(old, "special", json_true()) ? out_of_memory(error) : PEFT_OK;
}

/* A token that only the class names and no vocabulary has cannot be meant by any text: its id is passed over. */
static peft_status take_default(builder *b, int name, peft_error *error)
{
    const peft_tokenizer_class *class = b->sources->class;
    const char *text = class ? class->family->tokens[name] : NULL;
    if (!text) return PEFT_OK;
    if (!json_object_get(b->vocab, text) && !json_object_get(b->by_content, text)) {
        b->max_id = id_of(b, text);
        return PEFT_OK;
    }
    json_t *token =
        json_pack("{s:s, s:b}", "content", text, "lstrip", name == PEFT_TOKEN_MASK && class->family->mask_lstrip);
    peft_status status = token ? take_special(b, token, class->name, error) : out_of_memory(error);
    json_decref(token);
    return status;
}

static peft_status take_named(builder *b, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (int name = 0; status == PEFT_OK && name < PEFT_NUM_TOKEN_NAMES; name++) {
        const json_t *token = special_token(b->sources, name);
        status = token ? take_special(b, token, peft_token_names[name], error) : take_default(b, name, error);
    }
    return status;
}

static peft_status take_additional(builder *b, const char *key, peft_error *error)
{
    const json_t *tokens = said_by_any(b->sources, key);
    peft_status status = PEFT_OK;
    char found[PEFT_JSON_TEXT];
    if (tokens && !json_is_array(tokens))
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected a list of tokens, found %s", key,
                         peft_json_text(tokens, found));
    for (size_t i = 0; status == PEFT_OK && i < json_array_size(tokens); i++) {
        const json_t *token = json_array_get(tokens, i);
        status = content(token) && *content(token)
                     ? take_special(b, token, key, error)
                     : peft_fail(error, PEFT_ERR_FORMAT, "%s: expected a list of tokens, found %s in it", key,
                                 peft_json_text(token, found));
    }
    return status;
}

static peft_status take_all(builder *b, json_t *listed, peft_error *error)
{
    peft_status status = check_named(b->sources, error);
    if (status == PEFT_OK) status = take_listed(b, listed, error);
    if (status == PEFT_OK) status = config_decides(b->sources) ? take_decoder(b, error) : take_added(b, error);
    if (status == PEFT_OK) status = take_named(b, error);
    if (status == PEFT_OK) status = take_additional(b, "additional_special_tokens", error);
    if (status == PEFT_OK) status = take_additional(b, "extra_special_tokens", error);
    return status;
}

peft_status peft_special_tokens_add(json_t *root, const peft_token_sources *sources, peft_error *error)
{
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    json_t *listed = NULL;
    peft_status status = peft_json_array(root, "added_tokens", &listed, "tokenizer.json", error);
    if (status || !json_is_object(vocab)) return status; /* what it is instead is refused where it is read */
    builder b = {sources, vocab, json_array(), json_object(), -1};
    status = b.list && b.by_content ? take_all(&b, listed, error) : out_of_memory(error);
    if (status == PEFT_OK && json_object_set(root, "added_tokens", b.list)) status = out_of_memory(error);
    json_decref(b.list);
    json_decref(b.by_content);
    return status;
}
