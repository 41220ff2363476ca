#include "io/foreign.h"

#include <string.h>
#include <strings.h>

static const char utf16[] = "UTF-16 text; convert its encoding: iconv -f UTF-16 -t UTF-8 FILE > NEW-FILE";
static const char utf16_le[] = "UTF-16 text; convert its encoding: iconv -f UTF-16LE -t UTF-8 FILE > NEW-FILE";
static const char utf16_be[] = "UTF-16 text; convert its encoding: iconv -f UTF-16BE -t UTF-8 FILE > NEW-FILE";
static const char utf32[] = "UTF-32 text; convert its encoding: iconv -f UTF-32 -t UTF-8 FILE > NEW-FILE";
static const char html[] = "an HTML page, such as a server sends in place of a file; download the file itself";

#define BYTES(text) (text), sizeof(text) - 1

/* Longer beginnings before their own beginnings. */
static const struct {
    const char *begin;
    size_t bytes;
    const char *kind;
} kinds[] = {
    {BYTES("version https://git-lfs.github.com/spec/"),
     "a Git LFS pointer, a few lines that stand for the file; fetch the file itself with `git lfs pull`"},
    {BYTES("\xFF\xFE\0\0"), utf32},
    {BYTES("\0\0\xFE\xFF"), utf32},
    {BYTES("\xFF\xFE"), utf16},
    {BYTES("\xFE\xFF"), utf16},
    {BYTES("\x1F\x8B"), "compressed by gzip; unpack it: gunzip -c FILE > NEW-FILE"},
    {BYTES("PK\x03\x04"),
     "a zip archive, as are PyTorch's .bin and .pt files, Excel's .xlsx and downloads that have to "
     "be unpacked"},
    {BYTES("\x28\xB5\x2F\xFD"), "compressed by zstd; unpack it: zstd -dc FILE > NEW-FILE"},
    {BYTES("\xFD"
           "7zXZ"),
     "compressed by xz; unpack it: xz -dc FILE > NEW-FILE"},
    {BYTES("BZh"), "compressed by bzip2; unpack it: bzip2 -dc FILE > NEW-FILE"},
    {BYTES("\x80\x02\x8A\x0A"), "an old PyTorch file, a pickle that can run any program; save it as safetensors"},
    {BYTES("GGUF"), "a GGUF model; the safetensors files that it was made from are needed"},
    {BYTES("\x89HDF"), "an HDF5 file, as TensorFlow writes; save the model as safetensors"},
    {BYTES("PAR1"), "a Parquet file; save the table as .csv or .jsonl"},
    {BYTES("ARROW1"), "an Arrow file; save the table as .csv or .jsonl"},
    {BYTES("\xD0\xCF\x11\xE0"), "an old Excel or Word file; save the table as .csv"},
    {BYTES("%PDF-"), "a PDF document"},
};

static bool begins(const char *text, size_t bytes, const char *begin, size_t length)
{
    return bytes >= length && memcmp(text, begin, length) == 0;
}

static bool begins_in_any_case(const char *text, size_t bytes, const char *begin)
{
    return bytes >= strlen(begin) && strncasecmp(text, begin, strlen(begin)) == 0;
}

/* Four bytes of ASCII in UTF-16 without a mark. */
static const char *unmarked_utf16(const char *text, size_t bytes)
{
    if (bytes < 4) return NULL;
    if (text[0] && !text[1] && text[2] && !text[3]) return utf16_le;
    if (!text[0] && text[1] && !text[2] && text[3]) return utf16_be;
    return NULL;
}

static const char *markup(const char *text, size_t bytes)
{
    while (bytes > 0 && strchr(" \t\r\n", *text) && *text) {
        text++;
        bytes--;
    }
    if (begins_in_any_case(text, bytes, "<!doctype html") || begins_in_any_case(text, bytes, "<html")) return html;
    return begins_in_any_case(text, bytes, "<?xml")
               ? "an XML document, such as a server sends in place of a file; download the file itself"
               : NULL;
}

bool peft_foreign_is_markup(const void *data, size_t bytes)
{
    return markup(data, bytes) != NULL;
}

const char *peft_foreign_kind(const void *data, size_t bytes)
{
    const char *text = data;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (begins(text, bytes, kinds[i].begin, kinds[i].bytes)) return kinds[i].kind;
    const char *kind = unmarked_utf16(text, bytes);
    return kind ? kind : markup(text, bytes);
}

const char *peft_foreign_text(const void *data, size_t bytes)
{
    const char *kind = peft_foreign_kind(data, bytes);
    if (kind || bytes == 0 || memchr(data, '\n', bytes) || !memchr(data, '\r', bytes)) return kind;
    return "text whose lines end with CR alone, as old Macs wrote it; convert it: tr '\\r' '\\n' < FILE > NEW-FILE";
}

static peft_status fail(peft_error *error, peft_status status, const char *path, const char *kind)
{
    if (!kind || (status != PEFT_ERR_FORMAT && status != PEFT_ERR_UNSUPPORTED)) return status;
    return peft_fail(error, status, "%s: this is %s", path, kind);
}

peft_status peft_fail_foreign(peft_error *error, peft_status status, const char *path, const void *data, size_t bytes)
{
    return fail(error, status, path, peft_foreign_kind(data, bytes));
}

peft_status peft_fail_foreign_text(peft_error *error, peft_status status, const char *path, const void *data,
                                   size_t bytes)
{
    return fail(error, status, path, peft_foreign_text(data, bytes));
}
