#include "models/wordpiece.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "io/json.h"
#include "models/unicode.h"
#include "models/vocab.h"

enum {
    MAX_WORD_CHARS = 1000, /* limit for max_input_chars_per_word, which is 100 in all known files */
    MAX_CHAR_BYTES = 4,
    NUM_ASCII = 128
};

/* What a normalized character does to the word that is being collected. */
typedef enum action { SKIP, SPACE, ALONE, INSIDE } action;

typedef struct wordpiece {
    peft_vocab *vocab;
    int32_t unknown;    /* id of unk_token */
    int32_t continuing; /* the place in the vocabulary behind continuing_subword_prefix, -1: no token has it */
    size_t max_word_chars;
    bool clean_text, handle_chinese_chars, strip_accents, lowercase;
    struct {
        uint8_t action;
        char lower;
    } ascii[NUM_ASCII]; /* both steps in one for the common case */
} wordpiece;

/* ---- words to tokens ---- */

/* The word that is being collected. Characters over the limit are counted and not kept. */
typedef struct word {
    const wordpiece *self;
    peft_encoding *out;
    peft_text_buffer *text_out; /* not NULL: the normalized text is wanted, not the words */
    bool out_of_memory;
    size_t bytes, num_chars;
    char text[MAX_WORD_CHARS * MAX_CHAR_BYTES];
} word;

static void push(word *w, int32_t id)
{
    if (!peft_encoding_push(w->out, id)) w->out_of_memory = true;
}

static bool push_pieces(word *w)
{
    const peft_vocab *vocab = w->self->vocab;
    int32_t place = PEFT_VOCAB_ROOT;
    size_t matched;
    for (size_t at = 0; at < w->bytes; at += matched) {
        int32_t id = peft_vocab_longest(vocab, place, w->text + at, w->bytes - at, &matched);
        if (id < 0) return false;
        push(w, id);
        place = w->self->continuing;
    }
    return true;
}

static void end_word(word *w)
{
    if (w->num_chars == 0) return;
    size_t length = w->out->length;
    if (w->num_chars > w->self->max_word_chars || !push_pieces(w)) {
        w->out->length = length;
        push(w, w->self->unknown);
    }
    w->bytes = w->num_chars = 0;
}

static void append(word *w, const char *text, size_t bytes)
{
    if (w->num_chars++ >= w->self->max_word_chars) return;
    memcpy(w->text + w->bytes, text, bytes);
    w->bytes += bytes;
}

static void take(word *w, action what, const char *text, size_t bytes)
{
    if (w->text_out) {
        if (what != SKIP && !peft_text_buffer_add(w->text_out, text, bytes)) w->out_of_memory = true;
    } else if (what == INSIDE) {
        append(w, text, bytes);
    } else if (what != SKIP) {
        end_word(w);
        if (what == SPACE) return;
        append(w, text, bytes);
        end_word(w);
    }
}

/* ---- characters to words ---- */

static action action_of(int32_t c)
{
    unsigned class = peft_char_class(c);
    return class & PEFT_CHAR_SPACE ? SPACE : class & PEFT_CHAR_PUNCTUATION ? ALONE : INSIDE;
}

static bool is_cleaned_away(const wordpiece *self, int32_t c)
{
    return self->clean_text && (peft_char_class(c) & PEFT_CHAR_CONTROL) != 0;
}

static void take_as_is(word *w, int32_t c)
{
    char text[MAX_CHAR_BYTES];
    action what = action_of(c);
    if (what == SPACE && w->self->clean_text) c = ' ';
    take(w, what, text, (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)text));
}

static void take_lower(word *w, int32_t c)
{
    int32_t lower[PEFT_CHAR_MAX_LOWER] = {c};
    size_t count = w->self->lowercase ? peft_char_lower(c, lower) : 1;
    for (size_t i = 0; i < count; i++) take_as_is(w, lower[i]);
}

/* Marks that decomposing leaves are dropped here one by one. NFD would also sort those of a letter by combining class,
 * which matters to no known vocabulary: what can change places and is not dropped are musical signs and tone marks. */
static void take_normalized(word *w, int32_t c)
{
    int32_t parts[PEFT_CHAR_MAX_DECOMPOSED] = {c};
    size_t count = w->self->strip_accents ? peft_char_decompose(c, parts) : 1;
    for (size_t i = 0; i < count; i++)
        if (!w->self->strip_accents || !(peft_char_class(parts[i]) & PEFT_CHAR_MARK)) take_lower(w, parts[i]);
}

static void take_char(word *w, int32_t c)
{
    if (is_cleaned_away(w->self, c)) return;
    bool apart = w->self->handle_chinese_chars && peft_char_is_ideograph(c);
    if (apart) take(w, SPACE, " ", 1);
    take_normalized(w, c);
    if (apart) take(w, SPACE, " ", 1);
}

static void prepare_ascii(wordpiece *self)
{
    for (int32_t c = 0; c < NUM_ASCII; c++) {
        bool upper = self->lowercase && c >= 'A' && c <= 'Z';
        action what = is_cleaned_away(self, c) ? SKIP : action_of(c);
        self->ascii[c].action = (uint8_t)what;
        self->ascii[c].lower = (char)(upper ? c - 'A' + 'a' : what == SPACE && self->clean_text ? ' ' : c);
    }
}

static void take_text(word *w, const char *text, size_t bytes, void (*take_other)(word *w, int32_t c))
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text, *end = at + bytes;
    while (at < end) {
        if (*at < NUM_ASCII) {
            take(w, (action)w->self->ascii[*at].action, &w->self->ascii[*at].lower, 1);
            at++;
        } else {
            utf8proc_int32_t c;
            at += utf8proc_iterate(at, end - at, &c);
            take_other(w, c);
        }
    }
}

static peft_status wordpiece_normalize(const void *state, const char *text, size_t bytes, peft_text_buffer *out,
                                       peft_error *error)
{
    word w;
    w.self = state;
    w.text_out = out;
    w.out_of_memory = false;
    take_text(&w, text, bytes, take_char);
    return w.out_of_memory ? peft_fail(error, PEFT_ERR_MEMORY, "text of %zu bytes: out of memory", bytes) : PEFT_OK;
}

static peft_status wordpiece_encode(const void *state, const char *text, size_t bytes, bool normalized,
                                    peft_encoding *out, peft_error *error)
{
    word w;
    w.self = state;
    w.out = out;
    w.text_out = NULL;
    w.out_of_memory = false;
    w.bytes = w.num_chars = 0;
    take_text(&w, text, bytes, normalized ? take_as_is : take_char);
    end_word(&w);
    return w.out_of_memory ? peft_fail(error, PEFT_ERR_MEMORY, "text of %zu bytes: out of memory", bytes) : PEFT_OK;
}

/* ---- tokenizer.json ---- */

/* The object `key` of tokenizer.json, whose `type` must be as given. */
static peft_status read_part(const json_t *root, const char *key, const char *type, json_t **part, peft_error *error)
{
    const char *found = NULL;
    peft_status status = peft_json_object(root, key, part, "tokenizer", error);
    if (status == PEFT_OK && *part) status = peft_json_string(*part, "type", &found, key, error);
    if (status) return status;
    if (found && strcmp(found, type) == 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: expected type %s, found %s", key, type, found ? found : "none");
}

static peft_status read_normalizer(wordpiece *self, const json_t *root, peft_error *error)
{
    if (!json_object_get(root, "normalizer") || json_is_null(json_object_get(root, "normalizer"))) return PEFT_OK;
    json_t *part = NULL;
    peft_status status = read_part(root, "normalizer", "BertNormalizer", &part, error);
    if (status) return status;
    self->clean_text = self->handle_chinese_chars = self->lowercase = true;
    status = peft_json_bool(part, "clean_text", &self->clean_text, "normalizer", error);
    if (status == PEFT_OK)
        status = peft_json_bool(part, "handle_chinese_chars", &self->handle_chinese_chars, "normalizer", error);
    if (status == PEFT_OK) status = peft_json_bool(part, "lowercase", &self->lowercase, "normalizer", error);
    self->strip_accents = self->lowercase;
    if (status == PEFT_OK) status = peft_json_bool(part, "strip_accents", &self->strip_accents, "normalizer", error);
    return status;
}

static peft_status read_model(wordpiece *self, const json_t *root, peft_error *error)
{
    const json_t *part = json_object_get(root, "model");
    const char *unknown = "[UNK]", *prefix = "##";
    int64_t max_chars = 100;
    peft_status status = peft_json_string(part, "unk_token", &unknown, "model", error);
    if (status == PEFT_OK) status = peft_json_string(part, "continuing_subword_prefix", &prefix, "model", error);
    if (status == PEFT_OK)
        status = peft_json_int(part, "max_input_chars_per_word", 1, MAX_WORD_CHARS, &max_chars, "model", error);
    if (status) return status;

    status = peft_vocab_open_json(&self->vocab, json_object_get(part, "vocab"), error);
    if (status) return peft_fail_in(error, status, "model: vocab");
    self->max_word_chars = (size_t)max_chars;
    self->continuing = peft_vocab_walk(self->vocab, PEFT_VOCAB_ROOT, prefix, strlen(prefix));
    self->unknown = peft_vocab_find(self->vocab, unknown, strlen(unknown));
    if (self->unknown >= 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_FORMAT, "model: unk_token \"%s\" is not in the vocabulary", unknown);
}

static void wordpiece_close(void *state)
{
    wordpiece *self = state;
    peft_vocab_close(self->vocab);
    free(self);
}

static peft_status wordpiece_open(void **state, const json_t *root, peft_error *error)
{
    *state = NULL;
    wordpiece *self = calloc(1, sizeof *self);
    if (!self) return peft_fail(error, PEFT_ERR_MEMORY, "tokenizer: out of memory");
    json_t *pre_tokenizer = NULL;
    peft_status status = read_normalizer(self, root, error);
    if (status == PEFT_OK) status = read_part(root, "pre_tokenizer", "BertPreTokenizer", &pre_tokenizer, error);
    if (status == PEFT_OK) status = read_model(self, root, error);
    if (status) {
        wordpiece_close(self);
        return status;
    }
    prepare_ascii(self);
    *state = self;
    return PEFT_OK;
}

static int32_t wordpiece_vocab_size(const void *state)
{
    return peft_vocab_size(((const wordpiece *)state)->vocab);
}

static int32_t wordpiece_token_id(const void *state, const char *token, size_t bytes)
{
    return peft_vocab_find(((const wordpiece *)state)->vocab, token, bytes);
}

const peft_tokenizer_kind peft_wordpiece = {
    .name = "WordPiece",
    .open = wordpiece_open,
    .close = wordpiece_close,
    .vocab_size = wordpiece_vocab_size,
    .token_id = wordpiece_token_id,
    .normalize = wordpiece_normalize,
    .encode = wordpiece_encode,
};
