#include "tasks/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "io/file.h"
#include "io/foreign.h"
#include "ops/nearest.h"
#include "tasks/table_reader.h"

static const peft_table_format *const formats[] = {&peft_table_tsv, &peft_table_csv, &peft_table_jsonl};
enum { NUM_FORMATS = sizeof formats / sizeof formats[0] };

static const char *extension_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');
    return dot ? dot : "";
}

bool peft_table_has_format(const char *path)
{
    const char *extension = extension_of(path);
    for (size_t i = 0; i < NUM_FORMATS; i++)
        if (strcmp(formats[i]->extension, extension) == 0) return true;
    return false;
}

bool peft_table_is_tsv(const char *path)
{
    return strcmp(extension_of(path), peft_table_tsv.extension) == 0;
}

bool peft_table_is_raw(const char *path, peft_quoting quoting)
{
    if (peft_table_is_tsv(path)) return quoting != PEFT_QUOTED;
    return quoting == PEFT_UNQUOTED && strcmp(extension_of(path), peft_table_csv.extension) == 0;
}

static const peft_table_format *find_format(const char *path, peft_error *error)
{
    const char *extension = extension_of(path);
    const char *extensions[NUM_FORMATS];
    for (size_t i = 0; i < NUM_FORMATS; i++) extensions[i] = formats[i]->extension;
    peft_names known = {extensions, NUM_FORMATS, sizeof extensions[0]};
    size_t index = peft_names_find(&known, extension);
    if (index < known.count) return formats[index];
    char where[PEFT_MESSAGE_BYTES];
    snprintf(where, sizeof where, "%s: file type", path);
    peft_fail_unknown(error, PEFT_ERR_UNSUPPORTED, where, extension, &known);
    return NULL;
}

static peft_status check_text(peft_table_reader *r, const char *line, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        utf8proc_int32_t letter;
        utf8proc_ssize_t read =
            utf8proc_iterate((const utf8proc_uint8_t *)line + at, (utf8proc_ssize_t)(bytes - at), &letter);
        if (read < 0)
            return peft_table_fail_at(r, r->line,
                                      "byte %zu of the line: expected UTF-8, found 0x%02X; if the file has another "
                                      "encoding, such as WINDOWS-1252, convert it: iconv -f WINDOWS-1252 -t UTF-8",
                                      at + 1, (unsigned)(unsigned char)line[at]);
        if (letter == 0)
            return peft_table_fail_at(r, r->line, "byte %zu of the line: a NUL byte in a text file", at + 1);
        at += (size_t)read;
    }
    return PEFT_OK;
}

static peft_status read_lines(peft_table_reader *r, const peft_table_format *as, const char *text, size_t bytes)
{
    const char *end = text + bytes;
    for (r->line = r->row_line = 1; text < end; r->line++) {
        const char *line_feed = memchr(text, '\n', (size_t)(end - text));
        const char *line_end = line_feed ? line_feed : end;
        size_t length = (size_t)(line_end - text);
        if (length > 0 && text[length - 1] == '\r') length--;
        if (check_text(r, text, length) != PEFT_OK || as->line(r, text, length) != PEFT_OK) return r->status;
        text = line_feed ? line_feed + 1 : end;
    }
    return as->end ? as->end(r) : PEFT_OK;
}

static peft_status read_text(peft_table_reader *r, const peft_table_format *as, const char *text, size_t bytes)
{
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    const size_t mark_bytes = sizeof byte_order_mark - 1;
    if (bytes >= mark_bytes && memcmp(text, byte_order_mark, mark_bytes) == 0) {
        text += mark_bytes;
        bytes -= mark_bytes;
    }
    if (bytes == 0) return peft_fail(r->error, PEFT_ERR_FORMAT, "%s: the file is empty", r->path);
    if ((as->start && as->start(r) != PEFT_OK) || read_lines(r, as, text, bytes) != PEFT_OK) return r->status;
    if (r->table->num_rows == 0) return peft_fail(r->error, PEFT_ERR_FORMAT, "%s: no rows in the file", r->path);
    return PEFT_OK;
}

/* Columns that the file lacks were reserved like the others. */
static void drop_absent_columns(peft_table_reader *r)
{
    for (size_t i = 0; i < PEFT_TABLE_MAX_COLUMNS; i++) {
        if (r->position[i] != PEFT_TABLE_ABSENT) continue;
        free(r->table->columns[i]);
        r->table->columns[i] = NULL;
    }
}

peft_status peft_table_read_text(const char *path, const peft_table_format *as, const peft_table_request *request,
                                 const char *text, size_t bytes, peft_table *table, peft_error *error)
{
    *table = (peft_table){0};
    peft_table_reader r = {.path = path, .request = request, .table = table, .error = error};
    csv_init(&r.csv, CSV_STRICT | CSV_STRICT_FINI);
    peft_status status = read_text(&r, as, text, bytes);
    if (status != PEFT_OK) status = peft_fail_foreign_text(error, status, path, text, bytes);
    csv_free(&r.csv);
    free(r.names);
    if (status == PEFT_OK)
        drop_absent_columns(&r);
    else
        peft_table_free(table);
    return status;
}

peft_status peft_table_read(const char *path, const peft_table_request *request, peft_table *table, peft_error *error)
{
    *table = (peft_table){0};
    const peft_table_format *as = find_format(path, error);
    if (!as) return PEFT_ERR_UNSUPPORTED;
    peft_mapped_file file;
    peft_status status = peft_file_map(path, &file, error);
    if (status != PEFT_OK) return status;
    status = peft_table_read_text(path, as, request, file.data, file.bytes, table, error);
    peft_file_unmap(&file);
    return status;
}

static bool copy_row(peft_table *to, const peft_table *from, size_t row)
{
    size_t at = to->num_rows++;
    to->lines[at] = from->lines[row];
    for (size_t i = 0; i < PEFT_TABLE_MAX_COLUMNS; i++) {
        if (!from->columns[i]) continue;
        const peft_cell *cell = &from->columns[i][row];
        if (!peft_table_keep(&to->arena, cell->text, cell->bytes, &to->columns[i][at])) return false;
    }
    return true;
}

static bool copy_rows(peft_table *to, const peft_table *from, const uint32_t *rows, size_t count)
{
    if (!(to->lines = calloc(count, sizeof *to->lines))) return false;
    for (size_t i = 0; i < PEFT_TABLE_MAX_COLUMNS; i++)
        if (from->columns[i] && !(to->columns[i] = calloc(count, sizeof *to->columns[i]))) return false;
    for (size_t i = 0; i < count; i++)
        if (!copy_row(to, from, rows[i])) return false;
    return true;
}

peft_status peft_table_select(const peft_table *from, const uint32_t *rows, size_t count, peft_table *table,
                              peft_error *error)
{
    *table = (peft_table){0};
    if (count == 0) return peft_fail(error, PEFT_ERR_ARGUMENT, "rows of a table: expected at least 1, found 0");
    if (copy_rows(table, from, rows, count)) return PEFT_OK;
    peft_table_free(table);
    return peft_fail(error, PEFT_ERR_MEMORY, "copy of %zu rows: out of memory", count);
}

void peft_table_free(peft_table *table)
{
    for (size_t i = 0; i < PEFT_TABLE_MAX_COLUMNS; i++) free(table->columns[i]);
    free(table->lines);
    peft_arena_free(&table->arena);
    *table = (peft_table){0};
}
