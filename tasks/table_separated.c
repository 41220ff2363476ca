/* CSV and TSV through libcsv. */
#include <string.h>

#include "tasks/table_reader.h"

enum { NO_QUOTE = 0xFF }; /* a byte that UTF-8 never holds */

static void read_field(void *text, size_t bytes, void *data)
{
    peft_table_reader *r = data;
    if (r->status != PEFT_OK) return;
    if (!r->has_names) {
        peft_table_add_name(r, text, bytes);
        return;
    }
    for (size_t i = 0; i < PEFT_TABLE_MAX_COLUMNS; i++)
        if (r->position[i] == (ptrdiff_t)r->num_cells) peft_table_set_cell(r, i, text, bytes);
    r->num_cells++;
}

static void end_row(int line_end, void *data)
{
    (void)line_end;
    peft_table_reader *r = data;
    if (r->status != PEFT_OK) return;
    if (!r->has_names)
        peft_table_end_header(r);
    else if (r->num_cells == r->num_names)
        peft_table_add_row(r);
    else if (r->request->skip_broken_rows)
        r->table->num_skipped++;
    else
        peft_table_fail_at(r, r->row_line, "expected %zu columns, found %zu", r->num_names, r->num_cells);
    r->num_cells = 0;
    r->row_line = r->line + 1;
}

static int is_line_feed(unsigned char byte)
{
    return byte == '\n';
}

static int is_never(unsigned char byte)
{
    (void)byte;
    return 0;
}

static peft_status fail_csv(peft_table_reader *r)
{
    if (csv_error(&r->csv) != CSV_EPARSE) return peft_table_fail_memory(r);
    return peft_table_fail_at(
        r, r->line,
        "a '\"' out of place: a field with quotes in it stands in quotes, those in it doubled; where "
        "quotes are letters like others, give --no-quoting");
}

static peft_status feed(peft_table_reader *r, const char *text, size_t bytes)
{
    if (csv_parse(&r->csv, text, bytes, read_field, end_row, r) != bytes && r->status == PEFT_OK) fail_csv(r);
    return r->status;
}

static peft_status separated_line(peft_table_reader *r, const char *line, size_t bytes)
{
    if (bytes == 0 && r->num_cells == 0 && r->row_line == r->line) r->row_line++;
    if (feed(r, line, bytes) == PEFT_OK) feed(r, "\n", 1);
    return r->status;
}

static peft_status separated_end(peft_table_reader *r)
{
    if (csv_fini(&r->csv, read_field, end_row, r) != 0 && r->status == PEFT_OK) {
        if (csv_error(&r->csv) != CSV_EPARSE) return peft_table_fail_memory(r);
        peft_table_fail_at(
            r, r->row_line,
            "a quoted field in the row that begins here has no closing '\"'; where quotes are letters like "
            "others, give --no-quoting");
    }
    return r->status;
}

/* Line numbers are counted here, so only LF ends a row for libcsv, and it is fed line by line. */
static peft_status separated_start(peft_table_reader *r, unsigned char delimiter, bool quoted)
{
    csv_set_delim(&r->csv, delimiter);
    csv_set_quote(&r->csv, quoted ? CSV_QUOTE : NO_QUOTE);
    csv_set_term_func(&r->csv, is_line_feed);
    csv_set_space_func(&r->csv, is_never);
    if (!r->request->header) return PEFT_OK;
    for (const char *const *name = r->request->header; *name; name++)
        if (peft_table_add_name(r, *name, strlen(*name)) != PEFT_OK) return r->status;
    return peft_table_end_header(r);
}

static peft_status tsv_start(peft_table_reader *r)
{
    return separated_start(r, CSV_TAB, r->request->quoting == PEFT_QUOTED);
}

static peft_status csv_start(peft_table_reader *r)
{
    return separated_start(r, CSV_COMMA, r->request->quoting != PEFT_UNQUOTED);
}

const peft_table_format peft_table_tsv = {".tsv", tsv_start, separated_line, separated_end};
const peft_table_format peft_table_csv = {".csv", csv_start, separated_line, separated_end};
