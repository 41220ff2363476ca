#include "models/vocab_txt.h"

#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/foreign.h"
#include "io/json.h"
#include "models/unicode.h"

/* ---- vocab.txt ---- */

static peft_status add_line(json_t *vocab, const char *line, size_t bytes, const char *path, peft_error *error)
{
    size_t number = json_object_size(vocab);
    if (peft_utf8_check(line, bytes) < bytes)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s:%zu: the token is not valid UTF-8", path, number + 1);
    if (json_object_getn(vocab, line, bytes))
        return peft_fail(error, PEFT_ERR_FORMAT, "%s:%zu: the token occurs twice", path, number + 1);
    if (json_object_setn_new(vocab, line, bytes, json_integer((json_int_t)number)) == 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
}

static peft_status read_lines(json_t *vocab, const char *path, peft_error *error)
{
    peft_mapped_file file;
    peft_status status = peft_file_map(path, &file, error);
    if (status) return status;
    if (peft_foreign_text(file.data, file.bytes)) /* any lines make a vocabulary */
        status = peft_fail_foreign_text(error, PEFT_ERR_FORMAT, path, file.data, file.bytes);
    else if (file.bytes > PEFT_JSON_MAX_BYTES)
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected at most %d bytes, found %zu", path,
                           PEFT_JSON_MAX_BYTES, file.bytes);
    const char *at = file.data, *end = at + file.bytes;
    while (at < end && status == PEFT_OK) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end) line_end = end;
        size_t bytes = (size_t)(line_end - at);
        if (bytes && at[bytes - 1] == '\r') bytes--;
        status = add_line(vocab, at, bytes, path, error);
        at = line_end < end ? line_end + 1 : end;
    }
    peft_file_unmap(&file);
    return status;
}

/* ---- tokenizer_config.json ---- */

typedef struct settings {
    bool lowercase, chinese, basic, has_strip, strip;
    const char *unknown, *cls, *sep, *pad, *mask;
} settings;

/* A special token's text: a string, or an object that has it as `content`. */
static peft_status read_special(const json_t *config, const char *key, const char **text, peft_error *error)
{
    const json_t *value = json_object_get(config, key);
    if (json_is_object(value)) return peft_json_string(value, "content", text, key, error);
    return peft_json_string(config, key, text, "tokenizer_config.json", error);
}

/* Classes that are BERT's tokenizer under another name. */
static peft_status check_class(const json_t *config, peft_error *error)
{
    static const char *const names[] = {"Bert", "DistilBert", "Electra", "MobileBert", "ConvBert", "LayoutLM"};
    const char *class = NULL;
    peft_status status = peft_json_string(config, "tokenizer_class", &class, "tokenizer_config.json", error);
    if (status || !class) return status;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t bytes = strlen(names[i]);
        if (strncmp(class, names[i], bytes) != 0) continue;
        if (strcmp(class + bytes, "Tokenizer") == 0 || strcmp(class + bytes, "TokenizerFast") == 0) return PEFT_OK;
    }
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "tokenizer_config.json: tokenizer_class %s needs a tokenizer.json",
                     class);
}

static peft_status check_refused(const json_t *config, const settings *s, peft_error *error)
{
    const json_t *never_split = json_object_get(config, "never_split");
    const char *side = "right";
    peft_status status = peft_json_string(config, "truncation_side", &side, "tokenizer_config.json", error);
    if (status) return status;
    if (strcmp(side, "right") != 0 || !s->basic || json_array_size(never_split) > 0)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                         "tokenizer_config.json: truncation_side left, do_basic_tokenize "
                         "false and never_split are not offered");
    return PEFT_OK;
}

static peft_status read_config(const json_t *config, settings *s, peft_error *error)
{
    static const char where[] = "tokenizer_config.json";
    const json_t *strip = json_object_get(config, "strip_accents");
    s->has_strip = strip && !json_is_null(strip);
    peft_status status = peft_json_bool(config, "do_lower_case", &s->lowercase, where, error);
    if (status == PEFT_OK) status = peft_json_bool(config, "tokenize_chinese_chars", &s->chinese, where, error);
    if (status == PEFT_OK) status = peft_json_bool(config, "do_basic_tokenize", &s->basic, where, error);
    if (status == PEFT_OK) status = peft_json_bool(config, "strip_accents", &s->strip, where, error);
    if (status == PEFT_OK) status = read_special(config, "unk_token", &s->unknown, error);
    if (status == PEFT_OK) status = read_special(config, "cls_token", &s->cls, error);
    if (status == PEFT_OK) status = read_special(config, "sep_token", &s->sep, error);
    if (status == PEFT_OK) status = read_special(config, "pad_token", &s->pad, error);
    if (status == PEFT_OK) status = read_special(config, "mask_token", &s->mask, error);
    if (status == PEFT_OK) status = check_class(config, error);
    return status ? status : check_refused(config, s, error);
}

/* ---- as a tokenizer.json ---- */

static json_t *added_token(const json_t *vocab, const char *text)
{
    return json_pack("{s:O, s:s, s:b}", "id", json_object_get(vocab, text), "content", text, "special", 1);
}

static peft_status check_specials(const json_t *vocab, const settings *s, const char *path, peft_error *error)
{
    const char *const texts[] = {s->unknown, s->cls, s->sep, s->pad, s->mask};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!json_object_get(vocab, texts[i]))
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: special token %s is missing", path, texts[i]);
    return PEFT_OK;
}

static peft_status assemble(json_t *vocab, const settings *s, json_t **root, peft_error *error)
{
    json_t *strip = s->has_strip ? json_boolean(s->strip) : json_null();
    *root = json_pack(
        "{s:[o,o,o,o,o], s:{s:s, s:b, s:b, s:b, s:o}, s:{s:s}, s:{s:s, s:[s,O], s:[s,O]}, s:{s:s, s:s, s:O}}",
        "added_tokens", added_token(vocab, s->pad), added_token(vocab, s->unknown), added_token(vocab, s->cls),
        added_token(vocab, s->sep), added_token(vocab, s->mask), "normalizer", "type", "BertNormalizer", "clean_text",
        1, "handle_chinese_chars", s->chinese, "lowercase", s->lowercase, "strip_accents", strip, "pre_tokenizer",
        "type", "BertPreTokenizer", "post_processor", "type", "BertProcessing", "cls", s->cls,
        json_object_get(vocab, s->cls), "sep", s->sep, json_object_get(vocab, s->sep), "model", "type", "WordPiece",
        "unk_token", s->unknown, "vocab", vocab);
    return *root ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "vocab.txt: out of memory");
}

static peft_status load_config(const char *model_dir, json_t **config, peft_error *error)
{
    char *path = NULL;
    peft_status status = peft_path_join(model_dir, "tokenizer_config.json", &path, error);
    if (status == PEFT_OK && peft_file_exists(path)) status = peft_json_load(path, config, error);
    free(path);
    return status;
}

peft_status peft_vocab_txt_load(const char *model_dir, const char *path, json_t **root, peft_error *error)
{
    *root = NULL;
    settings s = {.lowercase = true,
                  .chinese = true,
                  .basic = true,
                  .unknown = "[UNK]",
                  .cls = "[CLS]",
                  .sep = "[SEP]",
                  .pad = "[PAD]",
                  .mask = "[MASK]"};
    json_t *config = NULL, *vocab = json_object();
    peft_status status =
        vocab ? load_config(model_dir, &config, error) : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    if (status == PEFT_OK) status = read_config(config, &s, error);
    if (status == PEFT_OK) status = read_lines(vocab, path, error);
    if (status == PEFT_OK) status = check_specials(vocab, &s, path, error);
    if (status == PEFT_OK) status = assemble(vocab, &s, root, error);
    json_decref(vocab);
    json_decref(config);
    return status;
}
