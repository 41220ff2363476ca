#include "models/vocab_txt.h"

#include <inttypes.h>
#include <string.h>
#include <utf8proc.h>

#include "io/file.h"
#include "io/foreign.h"
#include "io/json.h"
#include "models/special_tokens.h"
#include "models/unicode.h"

typedef struct reader {
    const char *path;
    json_t *vocab;
    int64_t number;   /* of the next line, from 0 */
    int64_t repeated; /* lines whose token occurred before; the first of them is first_repeated */
    int64_t first_repeated;
} reader;

static size_t without_end(const char *line, size_t bytes)
{
    while (bytes) {
        size_t begin = bytes - 1;
        utf8proc_int32_t c;
        while (begin && ((unsigned char)line[begin] & 0xC0) == 0x80) begin--;
        utf8proc_iterate((const utf8proc_uint8_t *)line + begin, (utf8proc_ssize_t)(bytes - begin), &c);
        if (!(peft_char_class(c) & PEFT_CHAR_SPACE)) break;
        bytes = begin;
    }
    return bytes;
}

static peft_status add_line(reader *r, const char *line, size_t bytes, peft_error *error)
{
    if (peft_utf8_check(line, bytes) < bytes)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s:%" PRId64 ": the token is not valid UTF-8", r->path,
                         r->number + 1);
    bytes = without_end(line, bytes);
    if (json_object_getn(r->vocab, line, bytes) && r->repeated++ == 0) r->first_repeated = r->number;
    if (json_object_setn_new(r->vocab, line, bytes, json_integer(r->number++)) == 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", r->path);
}

static peft_status read_lines(reader *r, peft_error *error)
{
    peft_mapped_file file;
    peft_status status = peft_file_map(r->path, &file, error);
    if (status) return status;
    if (peft_foreign_text(file.data, file.bytes)) /* any lines make a vocabulary */
        status = peft_fail_foreign_text(error, PEFT_ERR_FORMAT, r->path, file.data, file.bytes);
    else if (file.bytes > PEFT_JSON_MAX_BYTES)
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected at most %d bytes, found %zu", r->path,
                           PEFT_JSON_MAX_BYTES, file.bytes);
    const char *at = file.data, *end = at + file.bytes;
    while (at < end && status == PEFT_OK) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end) line_end = end;
        status = add_line(r, at, (size_t)(line_end - at), error);
        at = line_end < end ? line_end + 1 : end;
    }
    peft_file_unmap(&file);
    return status;
}

peft_status peft_vocab_txt_load(const char *path, json_t **model, json_t *notes, peft_error *error)
{
    reader r = {.path = path, .vocab = json_object()};
    *model = NULL;
    peft_status status = r.vocab ? read_lines(&r, error) : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    if (status == PEFT_OK && r.repeated)
        status = peft_token_note(notes, error,
                                 "%s: %" PRId64 " lines repeat a token, the first in line %" PRId64
                                 ": the last line of a token counts",
                                 path, r.repeated, r.first_repeated + 1);
    if (status == PEFT_OK && !(*model = json_pack("{s:s, s:O}", "type", "WordPiece", "vocab", r.vocab)))
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    json_decref(r.vocab);
    return status;
}
