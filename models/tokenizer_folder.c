#include "models/tokenizer_folder.h"

#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "models/byte_level_bpe.h"
#include "models/special_tokens.h"
#include "models/vocab_txt.h"

typedef struct folder {
    const char *dir;
    peft_token_sources sources;
    const char *class_name; /* as a file has it; NULL: none has */
    char **path;            /* of what is read as tokenizer.json */
    json_t *root;
    bool fresh; /* there is no tokenizer.json: root holds a vocabulary only */
} folder;

static const char config_name[] = "tokenizer_config.json";

/* ---- reading the files ---- */

static peft_status out_of_memory(const folder *f, peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", f->dir);
}

static peft_status read_optional(const folder *f, const char *name, json_t **file, peft_error *error)
{
    char *path = NULL;
    json_t *read = NULL;
    peft_status status = peft_path_join(f->dir, name, &path, error);
    if (status == PEFT_OK && peft_file_exists(path)) status = peft_json_load(path, &read, error);
    if (status == PEFT_OK && read && !json_is_object(read))
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an object", path);
    free(path);
    *file = read;
    return status;
}

static bool find(folder *f, const char *name, peft_status *status, peft_error *error)
{
    free(*f->path);
    *f->path = NULL;
    *status = peft_path_join(f->dir, name, f->path, error);
    return *status == PEFT_OK && peft_file_exists(*f->path);
}

static peft_status wrap_model(folder *f, json_t *model, peft_error *error)
{
    f->fresh = true;
    f->root = model ? json_pack("{s:O}", "model", model) : NULL;
    return f->root ? PEFT_OK : out_of_memory(f, error);
}

static peft_status read_vocab_txt(folder *f, peft_error *error)
{
    json_t *model = NULL;
    if (!f->sources.class) f->sources.class = peft_tokenizer_class_of_vocab_txt;
    peft_status status = peft_vocab_txt_load(*f->path, &model, f->sources.notes, error);
    if (status == PEFT_OK) status = wrap_model(f, model, error);
    json_decref(model);
    return status;
}

static peft_status read_vocab_json(folder *f, peft_error *error)
{
    json_t *model = NULL;
    char *merges = NULL;
    peft_status status = peft_path_join(f->dir, "merges.txt", &merges, error);
    if (status == PEFT_OK) status = peft_vocab_json_load(*f->path, merges, &model, error);
    if (status == PEFT_OK) status = wrap_model(f, model, error);
    json_decref(model);
    free(merges);
    return status;
}

static peft_status read_root(folder *f, peft_error *error)
{
    const peft_tokenizer_class *class = f->sources.class;
    bool byte_level = class && class->family->byte_level;
    const char *vocab = byte_level ? "vocab.json" : "vocab.txt";
    peft_status status;
    if (find(f, "tokenizer.json", &status, error)) return peft_json_load(*f->path, &f->root, error);
    if (status) return status;
    if (f->class_name && !class)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: tokenizer_class %s needs a tokenizer.json", f->dir,
                         f->class_name);
    if (find(f, vocab, &status, error)) return byte_level ? read_vocab_json(f, error) : read_vocab_txt(f, error);
    if (status) return status;
    return peft_fail(error, PEFT_ERR_FILE, "%s: expected tokenizer.json or %s, found neither", f->dir, vocab);
}

/* ---- settings of tokenizer_config.json ---- */

/* Sets part[key] to what tokenizer_config.json says under `name`, or to the default of the class (NULL: null). Both go
 * before tokenizer.json: transformers builds the part anew. */
static peft_status settle(const folder *f, json_t *part, const char *key, const char *name, json_t *fallback,
                          peft_error *error)
{
    json_t *config = json_object_get(f->sources.config, name), *old = json_object_get(part, key);
    bool said = config && !json_is_null(config);
    json_t *value = said ? config : fallback ? fallback : json_null();
    char was[PEFT_JSON_TEXT], is[PEFT_JSON_TEXT];
    peft_status status = PEFT_OK;
    if (said && !json_is_boolean(config))
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: %s: expected true or false, found %s", config_name, name,
                         peft_json_text(config, is));
    if (!f->fresh && !(old ? json_equal(old, value) : json_is_null(value)))
        status = peft_token_note(f->sources.notes, error,
                                 "%s is %s in tokenizer.json and %s %s: %s counts, as in transformers", key,
                                 peft_json_text(old, was),
                                 said ? "in tokenizer_config.json" : "by default in the class that the folder names,",
                                 peft_json_text(value, is), is);
    if (status == PEFT_OK && json_object_set(part, key, value)) status = out_of_memory(f, error);
    return status;
}

/* The part of this type under `key`, made where there is none. NULL: there is one of another type, which is refused
 * where it is read. */
static peft_status find_part(const folder *f, const char *key, const char *type, json_t **part, peft_error *error)
{
    *part = json_object_get(f->root, key);
    if (!*part || json_is_null(*part)) {
        *part = json_pack("{s:s}", "type", type);
        return json_object_set_new(f->root, key, *part) ? out_of_memory(f, error) : PEFT_OK;
    }
    const char *found = json_string_value(json_object_get(*part, "type"));
    if (!found || strcmp(found, type) != 0) *part = NULL;
    return PEFT_OK;
}

static peft_status settle_bert(const folder *f, peft_error *error)
{
    json_t *part = NULL, *words = NULL;
    peft_status status = find_part(f, "normalizer", "BertNormalizer", &part, error);
    if (status == PEFT_OK && f->fresh) status = find_part(f, "pre_tokenizer", "BertPreTokenizer", &words, error);
    if (status || !part) return status;
    status = settle(f, part, "lowercase", "do_lower_case", json_true(), error);
    if (status == PEFT_OK)
        status = settle(f, part, "handle_chinese_chars", "tokenize_chinese_chars", json_true(), error);
    return status ? status : settle(f, part, "strip_accents", "strip_accents", NULL, error);
}

static peft_status settle_byte_level(const folder *f, peft_error *error)
{
    json_t *part = NULL;
    peft_status status = find_part(f, "pre_tokenizer", "ByteLevel", &part, error);
    return status || !part ? status : settle(f, part, "add_prefix_space", "add_prefix_space", json_false(), error);
}

static peft_status settle_side(const folder *f, peft_error *error)
{
    const char *side = NULL;
    if (!f->sources.config) return PEFT_OK;
    peft_status status = peft_json_string(f->sources.config, "truncation_side", &side, config_name, error);
    if (status || !side) return status;
    if (strcmp(side, "left") != 0 && strcmp(side, "right") != 0)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: truncation_side: expected left or right, found %s", config_name,
                         side);
    json_t *truncation = json_object_get(f->root, "truncation");
    if (!json_is_object(truncation) && json_object_set_new(f->root, "truncation", truncation = json_object()))
        return out_of_memory(f, error);
    const char *direction = strcmp(side, "left") == 0 ? "Left" : "Right";
    const char *old = json_string_value(json_object_get(truncation, "direction"));
    if (old && strcmp(old, direction) != 0)
        status = peft_token_note(f->sources.notes, error, "truncation: %s in tokenizer.json and %s in %s, which counts",
                                 old, side, config_name);
    if (status == PEFT_OK && json_object_set_new(truncation, "direction", json_string(direction)))
        status = out_of_memory(f, error);
    return status;
}

/* What only the slow tokenizers of old had. */
static peft_status note_ignored(const folder *f, peft_error *error)
{
    const json_t *basic = json_object_get(f->sources.config, "do_basic_tokenize");
    const json_t *never_split = json_object_get(f->sources.config, "never_split");
    const char *name = json_is_false(basic)               ? "do_basic_tokenize false"
                       : json_array_size(never_split) > 0 ? "never_split"
                                                          : NULL;
    if (!name) return PEFT_OK;
    return peft_token_note(f->sources.notes, error, "%s: %s is ignored, as in transformers' fast tokenizers",
                           config_name, name);
}

static peft_status settle_settings(const folder *f, peft_error *error)
{
    const peft_tokenizer_class *class = f->sources.class;
    peft_status status = !class                      ? PEFT_OK
                         : class->family->byte_level ? settle_byte_level(f, error)
                                                     : settle_bert(f, error);
    if (status == PEFT_OK) status = settle_side(f, error);
    return status ? status : note_ignored(f, error);
}

/* ---- a vocabulary made whole ---- */

static const json_t *id_of(const folder *f, const char *text)
{
    const json_t *added;
    size_t i;
    json_array_foreach(json_object_get(f->root, "added_tokens"), i, added)
    {
        const char *content = json_string_value(json_object_get(added, "content"));
        if (content && strcmp(content, text) == 0) return json_object_get(added, "id");
    }
    return NULL;
}

static peft_status find_needed(const folder *f, int name, const char **text, json_int_t *found, peft_error *error)
{
    *text = peft_special_token_text(&f->sources, name);
    const json_t *id = id_of(f, *text);
    if (!id) return peft_fail(error, PEFT_ERR_FORMAT, "%s: special token %s is missing", *f->path, *text);
    *found = json_integer_value(id);
    return PEFT_OK;
}

static peft_status add_template(const folder *f, peft_error *error)
{
    const char *cls, *sep, *type = f->sources.class->family->post_processor;
    json_int_t cls_id, sep_id;
    if (!type) return PEFT_OK;
    peft_status status = find_needed(f, PEFT_TOKEN_CLS, &cls, &cls_id, error);
    if (status == PEFT_OK) status = find_needed(f, PEFT_TOKEN_SEP, &sep, &sep_id, error);
    if (status) return status;
    json_t *processor = json_pack("{s:s, s:[s, I], s:[s, I]}", "type", type, "cls", cls, cls_id, "sep", sep, sep_id);
    return json_object_set_new(f->root, "post_processor", processor) ? out_of_memory(f, error) : PEFT_OK;
}

/* Byte-level tokenizers know every letter. */
static peft_status add_unknown(const folder *f, peft_error *error)
{
    const char *text = peft_special_token_text(&f->sources, PEFT_TOKEN_UNK);
    json_t *model = json_object_get(f->root, "model");
    if (f->sources.class->family->byte_level) return PEFT_OK;
    if (!json_object_get(json_object_get(model, "vocab"), text))
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: special token %s is missing", *f->path, text);
    return json_object_set_new(model, "unk_token", json_string(text)) ? out_of_memory(f, error) : PEFT_OK;
}

static peft_status complete(const folder *f, peft_error *error)
{
    peft_status status = add_unknown(f, error);
    return status ? status : add_template(f, error);
}

/* ---- all of it ---- */

static peft_status read_all(folder *f, peft_error *error)
{
    json_t *model_config = NULL;
    peft_status status = read_optional(f, "config.json", &model_config, error);
    if (status == PEFT_OK) status = read_optional(f, config_name, &f->sources.config, error);
    if (status == PEFT_OK) status = read_optional(f, "special_tokens_map.json", &f->sources.special_map, error);
    if (status == PEFT_OK) status = read_optional(f, "added_tokens.json", &f->sources.added, error);
    if (status == PEFT_OK)
        status = peft_tokenizer_class_find(f->sources.config, model_config, &f->sources.class, &f->class_name, error);
    if (status == PEFT_OK) status = read_root(f, error);
    json_decref(model_config);
    f->class_name = NULL;
    if (status == PEFT_OK && json_is_object(f->root)) {
        status = settle_settings(f, error);
        if (status == PEFT_OK) status = peft_special_tokens_add(f->root, &f->sources, error);
        if (status) return peft_fail_in(error, status, f->dir);
        if (f->fresh) status = complete(f, error);
    }
    return status;
}

peft_status peft_tokenizer_folder_read(const char *dir, char **path, json_t **root, json_t *notes, peft_error *error)
{
    *path = NULL;
    folder f = {.dir = dir, .sources.notes = notes, .path = path};
    peft_status status = read_all(&f, error);
    json_decref(f.sources.config);
    json_decref(f.sources.special_map);
    json_decref(f.sources.added);
    *root = f.root;
    return status;
}
