#include "models/template.h"

#include <string.h>

#include "io/json.h"

/* ---- reading ---- */

static peft_status add_piece(peft_template *pattern, int32_t id, int32_t type_id, peft_error *error)
{
    if (pattern->count == PEFT_TEMPLATE_MAX_PIECES)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "expected at most %d pieces", PEFT_TEMPLATE_MAX_PIECES);
    pattern->pieces[pattern->count].id = id;
    pattern->pieces[pattern->count++].type_id = type_id;
    if (id >= 0) pattern->num_specials++;
    return PEFT_OK;
}

static peft_status add_special(peft_template *pattern, const json_t *id, int32_t type_id, int32_t vocab_size,
                               peft_error *error)
{
    char found[PEFT_JSON_TEXT];
    if (json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < vocab_size)
        return add_piece(pattern, (int32_t)json_integer_value(id), type_id, error);
    return peft_fail(error, PEFT_ERR_FORMAT, "special token: expected an id below %d, found %s", vocab_size,
                     peft_json_text(id, found));
}

static peft_status add_text(peft_template *pattern, const char *name, int32_t type_id, peft_error *error)
{
    if (name && strcmp(name, "A") == 0) return add_piece(pattern, PEFT_PIECE_FIRST, type_id, error);
    if (name && strcmp(name, "B") == 0) return add_piece(pattern, PEFT_PIECE_SECOND, type_id, error);
    return peft_fail(error, PEFT_ERR_FORMAT, "Sequence: expected id A or B, found %s", name ? name : "none");
}

/* All ids of the special token `name` in the list of special tokens. */
static peft_status add_named(peft_template *pattern, const json_t *specials, const char *name, int32_t type_id,
                             int32_t vocab_size, peft_error *error)
{
    const json_t *ids = json_object_get(json_object_get(specials, name), "ids");
    if (json_array_size(ids) == 0)
        return peft_fail(error, PEFT_ERR_FORMAT, "special_tokens: expected ids of \"%s\", found none", name);
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < json_array_size(ids) && status == PEFT_OK; i++)
        status = add_special(pattern, json_array_get(ids, i), type_id, vocab_size, error);
    return status;
}

static peft_status read_piece(peft_template *pattern, const json_t *piece, const json_t *specials, int32_t vocab_size,
                              peft_error *error)
{
    const json_t *special = json_object_get(piece, "SpecialToken"), *text = json_object_get(piece, "Sequence");
    if (!json_is_object(special ? special : text) || json_object_size(piece) != 1)
        return peft_fail(error, PEFT_ERR_FORMAT, "expected pieces {\"SpecialToken\": {}} or {\"Sequence\": {}}");
    const char *name = NULL;
    int64_t type_id = 0;
    peft_status status = peft_json_string(special ? special : text, "id", &name, "piece", error);
    if (status == PEFT_OK)
        status = peft_json_int(special ? special : text, "type_id", 0, INT32_MAX, &type_id, "piece", error);
    if (status) return status;
    if (text) return add_text(pattern, name, (int32_t)type_id, error);
    if (!name) return peft_fail(error, PEFT_ERR_FORMAT, "SpecialToken: expected an id, found none");
    return add_named(pattern, specials, name, (int32_t)type_id, vocab_size, error);
}

/* Does the template have the first text once and, with `texts` 2, the second once behind it? */
static peft_status check_texts(const peft_template *pattern, size_t texts, peft_error *error)
{
    static const int32_t expected[] = {PEFT_PIECE_FIRST, PEFT_PIECE_SECOND};
    size_t seen = 0;
    for (size_t i = 0; i < pattern->count; i++) {
        if (pattern->pieces[i].id >= 0) continue;
        if (seen == texts || pattern->pieces[i].id != expected[seen++])
            return peft_fail(error, PEFT_ERR_UNSUPPORTED, "expected sequence A, then B in a pair, each once");
    }
    return seen == texts ? PEFT_OK : peft_fail(error, PEFT_ERR_FORMAT, "a sequence is missing");
}

static peft_status read_list(peft_template *pattern, const json_t *processor, const char *key, size_t texts,
                             int32_t vocab_size, peft_error *error)
{
    json_t *list = NULL, *specials = NULL;
    peft_status status = peft_json_array(processor, key, &list, "TemplateProcessing", error);
    if (status == PEFT_OK) status = peft_json_object(processor, "special_tokens", &specials, key, error);
    for (size_t i = 0; i < json_array_size(list) && status == PEFT_OK; i++)
        status = read_piece(pattern, json_array_get(list, i), specials, vocab_size, error);
    return status ? status : check_texts(pattern, texts, error);
}

static peft_status read_template(peft_template *single, peft_template *pair, const json_t *processor,
                                 int32_t vocab_size, peft_error *error)
{
    peft_status status = read_list(single, processor, "single", 1, vocab_size, error);
    if (status) return peft_fail_in(error, status, "single");
    status = read_list(pair, processor, "pair", 2, vocab_size, error);
    return status ? peft_fail_in(error, status, "pair") : PEFT_OK;
}

/* The fixed processors, written as templates: c and s are the ids of `cls` and `sep`, a capital letter has type 1. */
static peft_status read_fixed(peft_template *pattern, const char *pieces, const json_t *processor, int32_t vocab_size,
                              peft_error *error)
{
    peft_status status = PEFT_OK;
    for (; *pieces && status == PEFT_OK; pieces++) {
        int32_t type_id = *pieces >= 'A' && *pieces <= 'Z';
        const char *key = strchr("cC", *pieces) ? "cls" : strchr("sS", *pieces) ? "sep" : NULL;
        if (key)
            status =
                add_special(pattern, json_array_get(json_object_get(processor, key), 1), type_id, vocab_size, error);
        else
            status = add_piece(pattern, strchr("aA", *pieces) ? PEFT_PIECE_FIRST : PEFT_PIECE_SECOND, type_id, error);
    }
    return status;
}

static peft_status read_bert(peft_template *single, peft_template *pair, const json_t *processor, int32_t vocab_size,
                             peft_error *error)
{
    peft_status status = read_fixed(single, "cas", processor, vocab_size, error);
    return status ? status : read_fixed(pair, "casBS", processor, vocab_size, error);
}

static peft_status read_roberta(peft_template *single, peft_template *pair, const json_t *processor, int32_t vocab_size,
                                peft_error *error)
{
    peft_status status = read_fixed(single, "cas", processor, vocab_size, error);
    return status ? status : read_fixed(pair, "cassbs", processor, vocab_size, error);
}

static peft_status read_none(peft_template *single, peft_template *pair, const json_t *processor, int32_t vocab_size,
                             peft_error *error)
{
    peft_status status = read_fixed(single, "a", processor, vocab_size, error);
    return status ? status : read_fixed(pair, "aB", processor, vocab_size, error);
}

static const struct processor {
    const char *type;
    peft_status (*read)(peft_template *single, peft_template *pair, const json_t *processor, int32_t vocab_size,
                        peft_error *error);
} processors[] = {
    {"TemplateProcessing", read_template},
    {"BertProcessing", read_bert},
    {"RobertaProcessing", read_roberta},
    {"ByteLevel", read_none}, /* moves offsets only */
    {"null", read_none},
};

/* Of a Sequence the one that is no ByteLevel; a ByteLevel where there is no other. */
static peft_status choose_of_sequence(const json_t **processor, peft_error *error)
{
    json_t *list = NULL;
    const json_t *sequence = *processor;
    peft_status status = peft_json_array(sequence, "processors", &list, "post_processor", error);
    *processor = NULL;
    if (status == PEFT_OK && !list)
        status = peft_fail(error, PEFT_ERR_FORMAT, "post_processor: Sequence: expected processors");
    for (size_t i = 0; status == PEFT_OK && i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *type = json_string_value(json_object_get(one, "type"));
        if (type && strcmp(type, "ByteLevel") == 0) continue;
        if (*processor)
            return peft_fail(error, PEFT_ERR_UNSUPPORTED, "post_processor: Sequence: expected one besides ByteLevel");
        *processor = one;
    }
    return status;
}

peft_status peft_template_read(peft_template *single, peft_template *pair, const json_t *post_processor,
                               int32_t vocab_size, peft_error *error)
{
    *single = *pair = (peft_template){0};
    const char *outer = json_string_value(json_object_get(post_processor, "type"));
    if (outer && strcmp(outer, "Sequence") == 0) {
        peft_status status = choose_of_sequence(&post_processor, error);
        if (status) return status;
    }
    bool none = !post_processor || json_is_null(post_processor);
    const char *type = none ? "null" : json_string_value(json_object_get(post_processor, "type"));
    for (size_t i = 0; type && i < sizeof processors / sizeof processors[0]; i++) {
        if (strcmp(type, processors[i].type) != 0) continue;
        peft_status status = processors[i].read(single, pair, post_processor, vocab_size, error);
        return status ? peft_fail_in(error, status, "post_processor") : PEFT_OK;
    }
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "post_processor: type %s is not offered", type ? type : "(none)");
}

/* ---- applying ---- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

void peft_truncate_longest_first(size_t *first, size_t *second, size_t max_length)
{
    size_t *shorter = *first > *second ? second : first;
    size_t *longer = shorter == first ? second : first;
    if (*shorter <= max_length && *longer <= max_length - *shorter) return;
    *shorter = smaller(*shorter, max_length / 2);
    *longer = max_length - *shorter;
}

void peft_template_apply(const peft_template *pattern, peft_encoding *encoding, peft_kept first, peft_kept second)
{
    size_t length = 0;
    for (size_t i = 0; i < pattern->count; i++) {
        int32_t id = pattern->pieces[i].id;
        const peft_kept *kept = id == PEFT_PIECE_FIRST ? &first : &second;
        size_t count = id >= 0 ? 1 : kept->count;
        if (id >= 0)
            encoding->input_ids[length] = id;
        else
            memmove(encoding->input_ids + length, encoding->input_ids + pattern->num_specials + kept->begin,
                    count * sizeof *encoding->input_ids);
        for (size_t k = 0; k < count; k++) encoding->token_type_ids[length + k] = pattern->pieces[i].type_id;
        length += count;
    }
    encoding->length = length;
}
