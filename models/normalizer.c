#include "models/normalizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "io/json.h"
#include "models/unicode.h"

/* ---- steps ---- */

static peft_status out_of_memory(size_t bytes, peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "text of %zu bytes: out of memory", bytes);
}

static peft_status to_form(const char *text, size_t bytes, int form, peft_text_buffer *out, peft_error *error)
{
    utf8proc_uint8_t *made = NULL;
    utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &made,
                                           (utf8proc_option_t)(UTF8PROC_STABLE | form));
    bool added = length >= 0 && peft_text_buffer_add(out, (const char *)made, (size_t)length);
    free(made);
    return added ? PEFT_OK : out_of_memory(bytes, error);
}

static peft_status to_nfc(const char *text, size_t bytes, peft_text_buffer *out, peft_error *error)
{
    return to_form(text, bytes, UTF8PROC_COMPOSE, out, error);
}

static peft_status to_nfd(const char *text, size_t bytes, peft_text_buffer *out, peft_error *error)
{
    return to_form(text, bytes, UTF8PROC_DECOMPOSE, out, error);
}

static peft_status to_nfkc(const char *text, size_t bytes, peft_text_buffer *out, peft_error *error)
{
    return to_form(text, bytes, UTF8PROC_COMPOSE | UTF8PROC_COMPAT, out, error);
}

static peft_status to_nfkd(const char *text, size_t bytes, peft_text_buffer *out, peft_error *error)
{
    return to_form(text, bytes, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, out, error);
}

static peft_status to_lower(const char *text, size_t bytes, peft_text_buffer *out, peft_error *error)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text, *end = at + bytes;
    while (at < end) {
        utf8proc_int32_t c;
        int32_t lower[PEFT_CHAR_MAX_LOWER];
        at += utf8proc_iterate(at, end - at, &c);
        size_t count = peft_char_lower(c, lower);
        for (size_t k = 0; k < count; k++) {
            char letter[4];
            size_t length = (size_t)utf8proc_encode_char(lower[k], (utf8proc_uint8_t *)letter);
            if (!peft_text_buffer_add(out, letter, length)) return out_of_memory(bytes, error);
        }
    }
    return PEFT_OK;
}

static const struct {
    const char *type;
    peft_normalizer_step *step;
} known[] = {{"NFC", to_nfc}, {"NFD", to_nfd}, {"NFKC", to_nfkc}, {"NFKD", to_nfkd}, {"Lowercase", to_lower}};

/* ---- reading ---- */

static peft_status add_step(peft_normalizer *n, const json_t *part, peft_error *error)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    for (size_t k = 0; type && k < sizeof known / sizeof known[0]; k++) {
        if (strcmp(type, known[k].type) != 0) continue;
        if (n->count == PEFT_NORMALIZER_MAX_STEPS)
            return peft_fail(error, PEFT_ERR_UNSUPPORTED, "normalizer: expected at most %d steps",
                             PEFT_NORMALIZER_MAX_STEPS);
        n->steps[n->count++] = known[k].step;
        return PEFT_OK;
    }
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "normalizer: type %s is not offered", type ? type : "(none)");
}

peft_status peft_normalizer_read(peft_normalizer *n, const json_t *part, peft_error *error)
{
    *n = (peft_normalizer){0};
    if (!part || json_is_null(part)) return PEFT_OK;
    const char *type = json_string_value(json_object_get(part, "type"));
    if (!type || strcmp(type, "Sequence") != 0) return add_step(n, part, error);
    json_t *list = NULL;
    peft_status status = peft_json_array(part, "normalizers", &list, "normalizer", error);
    for (size_t k = 0; status == PEFT_OK && k < json_array_size(list); k++)
        status = add_step(n, json_array_get(list, k), error);
    return status;
}

/* ---- applying ---- */

peft_status peft_normalizer_apply(const peft_normalizer *n, const char *text, size_t bytes, peft_text_buffer *out,
                                  peft_error *error)
{
    peft_text_buffer read = {0}, made = {0};
    peft_status status = peft_text_buffer_add(&read, text, bytes) ? PEFT_OK : out_of_memory(bytes, error);
    for (size_t k = 0; status == PEFT_OK && k < n->count; k++) {
        peft_text_buffer free_again = read;
        made.bytes = 0;
        status = n->steps[k](read.text, read.bytes, &made, error);
        read = made;
        made = free_again;
    }
    if (status == PEFT_OK && !peft_text_buffer_add(out, read.text, read.bytes)) status = out_of_memory(bytes, error);
    peft_text_buffer_free(&read);
    peft_text_buffer_free(&made);
    return status;
}
