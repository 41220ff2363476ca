#define PCRE2_CODE_UNIT_WIDTH 8

#include "models/pre_tokenizer.h"

#include <pcre2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "models/text_buffer.h"

enum { MAX_STAGES = 8 };

/* What a stage does to a text: a space in front of it, if it has none there, then the split; without a pattern the text
 * is one piece. */
typedef struct stage {
    bool add_prefix_space;
    pcre2_code *pattern;
    bool keep_matches, keep_others; /* which of the parts are pieces */
} stage;

struct peft_pre_tokenizer {
    stage stages[MAX_STAGES];
    size_t count;
    bool byte_level; /* has been read; nothing may follow */
};

/* ---- patterns ---- */

static peft_status compile(stage *s, const char *pattern, size_t bytes, uint32_t options, peft_error *error)
{
    int code;
    PCRE2_SIZE offset;
    s->pattern = pcre2_compile((PCRE2_SPTR)pattern, bytes, PCRE2_UTF | options, &code, &offset, NULL);
    if (!s->pattern) {
        PCRE2_UCHAR reason[128];
        pcre2_get_error_message(code, reason, sizeof reason);
        return peft_fail(error, code == PCRE2_ERROR_NOMEMORY ? PEFT_ERR_MEMORY : PEFT_ERR_FORMAT,
                         "pre_tokenizer: pattern: character %zu: %s", (size_t)offset, (const char *)reason);
    }
    pcre2_jit_compile(s->pattern, PCRE2_JIT_COMPLETE); /* without it matching is slower and the same */
    return PEFT_OK;
}

/* White space of patterns is Unicode's White_Space; that of PCRE2 has a character more. */
static peft_status compile_regex(stage *s, const char *regex, size_t bytes, peft_error *error)
{
    static const char space[] = "\\p{White_Space}", other[] = "\\P{White_Space}";
    peft_text_buffer pattern = {0};
    bool added = true;
    for (size_t k = 0; added && k < bytes; k++) {
        char next = k + 1 < bytes ? regex[k + 1] : '\0';
        if (regex[k] != '\\' || next == '\0')
            added = peft_text_buffer_add(&pattern, regex + k, 1);
        else if (next == 's' || next == 'S')
            added = peft_text_buffer_add(&pattern, next == 's' ? space : other, sizeof space - 1);
        else
            added = peft_text_buffer_add(&pattern, regex + k, 2);
        if (regex[k] == '\\' && next != '\0') k++;
    }
    peft_status status = added ? compile(s, pattern.text ? pattern.text : "", pattern.bytes, PCRE2_UCP, error)
                               : peft_fail(error, PEFT_ERR_MEMORY, "pre_tokenizer: out of memory");
    peft_text_buffer_free(&pattern);
    return status;
}

/* ---- reading ---- */

static peft_status read_split(stage *s, const json_t *part, peft_error *error)
{
    const json_t *pattern = json_object_get(part, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex"), *literal = json_object_get(pattern, "String");
    const json_t *text = regex ? regex : literal;
    const char *behavior = NULL;
    bool invert = false;
    if (!json_is_string(text)) return peft_fail(error, PEFT_ERR_FORMAT, "pre_tokenizer: Split: expected a pattern");
    peft_status status = peft_json_string(part, "behavior", &behavior, "pre_tokenizer: Split", error);
    if (status == PEFT_OK) status = peft_json_bool(part, "invert", &invert, "pre_tokenizer: Split", error);
    if (status) return status;
    bool removed = behavior && strcmp(behavior, "Removed") == 0;
    if (!removed && !(behavior && strcmp(behavior, "Isolated") == 0))
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "pre_tokenizer: Split: behavior %s is not offered",
                         behavior ? behavior : "(none)");
    s->keep_matches = !removed || invert;
    s->keep_others = !removed || !invert;
    return regex ? compile_regex(s, json_string_value(text), json_string_length(text), error)
                 : compile(s, json_string_value(text), json_string_length(text), PCRE2_LITERAL, error);
}

static peft_status read_digits(stage *s, const json_t *part, peft_error *error)
{
    bool individual = false;
    peft_status status = peft_json_bool(part, "individual_digits", &individual, "pre_tokenizer: Digits", error);
    s->keep_matches = s->keep_others = true;
    if (status) return status;
    return individual ? compile_regex(s, "\\p{N}", 5, error) : compile_regex(s, "\\p{N}+", 6, error);
}

static peft_status read_byte_level(stage *s, const json_t *part, peft_error *error)
{
    static const char words[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    bool use_regex = true;
    s->add_prefix_space = true;
    peft_status status =
        peft_json_bool(part, "add_prefix_space", &s->add_prefix_space, "pre_tokenizer: ByteLevel", error);
    if (status == PEFT_OK) status = peft_json_bool(part, "use_regex", &use_regex, "pre_tokenizer: ByteLevel", error);
    if (status || !use_regex) return status;
    s->keep_matches = s->keep_others = true;
    return compile_regex(s, words, sizeof words - 1, error);
}

static const char byte_level_type[] = "ByteLevel";

static const struct {
    const char *type;
    peft_status (*read)(stage *s, const json_t *part, peft_error *error);
} readers[] = {{"Split", read_split}, {"Digits", read_digits}, {byte_level_type, read_byte_level}};

static peft_status add_stage(peft_pre_tokenizer *p, const json_t *part, peft_error *error)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    if (p->count == MAX_STAGES || p->byte_level)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                         "pre_tokenizer: expected at most %d steps, ByteLevel the last, found %s", MAX_STAGES,
                         type ? type : "(none)");
    for (size_t k = 0; type && k < sizeof readers / sizeof readers[0]; k++) {
        if (strcmp(type, readers[k].type) != 0) continue;
        p->byte_level = readers[k].type == byte_level_type;
        return readers[k].read(&p->stages[p->count++], part, error);
    }
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "pre_tokenizer: type %s is not offered with BPE",
                     type ? type : "(none)");
}

static peft_status add_stages(peft_pre_tokenizer *p, const json_t *part, peft_error *error)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    json_t *list = NULL;
    if (!type || strcmp(type, "Sequence") != 0) return add_stage(p, part, error);
    peft_status status = peft_json_array(part, "pretokenizers", &list, "pre_tokenizer", error);
    for (size_t k = 0; status == PEFT_OK && k < json_array_size(list); k++)
        status = add_stage(p, json_array_get(list, k), error);
    return status;
}

peft_status peft_pre_tokenizer_open(peft_pre_tokenizer **pre_tokenizer, const json_t *part, peft_error *error)
{
    peft_pre_tokenizer *opened = calloc(1, sizeof *opened);
    *pre_tokenizer = NULL;
    if (!opened) return peft_fail(error, PEFT_ERR_MEMORY, "pre_tokenizer: out of memory");
    peft_status status = add_stages(opened, part, error);
    if (status == PEFT_OK && !opened->byte_level)
        status = peft_fail(error, PEFT_ERR_UNSUPPORTED, "pre_tokenizer: expected ByteLevel, which BPE needs here");
    if (status)
        peft_pre_tokenizer_close(opened);
    else
        *pre_tokenizer = opened;
    return status;
}

void peft_pre_tokenizer_close(peft_pre_tokenizer *p)
{
    if (!p) return;
    for (size_t k = 0; k < p->count; k++) pcre2_code_free(p->stages[k].pattern);
    free(p);
}

/* ---- running ---- */

typedef struct run {
    const peft_pre_tokenizer *p;
    peft_take_piece *take;
    void *argument;
    peft_error *error;
} run;

static peft_status run_stage(const run *r, size_t index, const char *text, size_t bytes);

static peft_status give(const run *r, size_t index, bool keep, const char *text, size_t bytes)
{
    return keep && bytes ? run_stage(r, index + 1, text, bytes) : PEFT_OK;
}

static size_t char_bytes(const char *text, size_t bytes)
{
    size_t length = 1;
    while (length < bytes && ((unsigned char)text[length] & 0xC0) == 0x80) length++;
    return length;
}

static peft_status match_failed(const run *r, int code)
{
    PCRE2_UCHAR reason[128];
    pcre2_get_error_message(code, reason, sizeof reason);
    return peft_fail(r->error, code == PCRE2_ERROR_NOMEMORY ? PEFT_ERR_MEMORY : PEFT_ERR_FORMAT,
                     "text: the tokenizer's pattern: %s", (const char *)reason);
}

/* An empty match separates what is before it from what is behind. */
static peft_status split(const run *r, size_t index, pcre2_match_data *match, const char *text, size_t bytes)
{
    const stage *s = &r->p->stages[index];
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(match);
    size_t done = 0, from = 0;
    peft_status status = PEFT_OK;
    while (status == PEFT_OK && from <= bytes) {
        int code = pcre2_match(s->pattern, (PCRE2_SPTR)text, bytes, from, PCRE2_NO_UTF_CHECK, match, NULL);
        if (code == PCRE2_ERROR_NOMATCH) break;
        if (code < 0) return match_failed(r, code);
        size_t begin = range[0], end = range[1];
        status = give(r, index, s->keep_others, text + done, begin - done);
        if (status == PEFT_OK) status = give(r, index, s->keep_matches, text + begin, end - begin);
        done = end;
        from = end > begin ? end : end + (end < bytes ? char_bytes(text + end, bytes - end) : 1);
    }
    return status ? status : give(r, index, s->keep_others, text + done, bytes - done);
}

static peft_status split_with_memory(const run *r, size_t index, const char *text, size_t bytes)
{
    const stage *s = &r->p->stages[index];
    if (!s->pattern) return run_stage(r, index + 1, text, bytes);
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(s->pattern, NULL);
    if (!match) return peft_fail(r->error, PEFT_ERR_MEMORY, "text of %zu bytes: out of memory", bytes);
    peft_status status = split(r, index, match, text, bytes);
    pcre2_match_data_free(match);
    return status;
}

static peft_status run_stage(const run *r, size_t index, const char *text, size_t bytes)
{
    if (index == r->p->count) return r->take(r->argument, text, bytes, r->error);
    if (!r->p->stages[index].add_prefix_space || text[0] == ' ') return split_with_memory(r, index, text, bytes);
    peft_text_buffer spaced = {0};
    peft_status status = peft_text_buffer_add(&spaced, " ", 1) && peft_text_buffer_add(&spaced, text, bytes)
                             ? split_with_memory(r, index, spaced.text, spaced.bytes)
                             : peft_fail(r->error, PEFT_ERR_MEMORY, "text of %zu bytes: out of memory", bytes);
    peft_text_buffer_free(&spaced);
    return status;
}

peft_status peft_pre_tokenizer_run(const peft_pre_tokenizer *p, const char *text, size_t bytes, peft_take_piece *take,
                                   void *argument, peft_error *error)
{
    const run r = {p, take, argument, error};
    return bytes ? run_stage(&r, 0, text, bytes) : PEFT_OK;
}
