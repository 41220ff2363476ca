/* Plain text: a line, a row. Unlike in the other formats, an empty line is a row with an empty text. */
#include <stdlib.h>
#include <string.h>

#include "io/foreign.h"
#include "tasks/table_reader.h"

enum { TEXT, PAIR };

static size_t count_tabs(const char *line, size_t bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++) count += line[i] == '\t';
    return count;
}

static peft_status first_line(peft_table_reader *r, size_t tabs)
{
    static const char *const names[] = {"text", "text_pair"};
    for (size_t i = 0; i < (tabs ? 2 : 1); i++)
        if (peft_table_add_name(r, names[i], strlen(names[i])) != PEFT_OK) return r->status;
    return peft_table_end_header(r);
}

static peft_status add_line(peft_table_reader *r, const char *line, size_t bytes)
{
    size_t tabs = r->request->columns[PAIR].name ? count_tabs(line, bytes) : 0;
    if (!r->has_names && first_line(r, tabs) != PEFT_OK) return r->status;
    if (tabs != r->num_names - 1)
        return peft_table_fail_at(
            r, r->line, "expected %s, found %zu tabs",
            r->num_names == 1 ? "one text, as on the first line" : "two texts with one tab between them", tabs);
    const char *tab = tabs ? memchr(line, '\t', bytes) : NULL;
    size_t length = tab ? (size_t)(tab - line) : bytes;
    r->row_line = r->line;
    peft_status status = peft_table_set_cell(r, TEXT, line, length);
    if (status == PEFT_OK && tab) status = peft_table_set_cell(r, PAIR, tab + 1, bytes - length - 1);
    return status == PEFT_OK ? peft_table_add_row(r) : status;
}

peft_status peft_table_from_lines(const char *text, size_t bytes, const char *name, bool pairs, peft_table *table,
                                  peft_error *error)
{
    static const peft_table_format lines = {.line = add_line};
    const peft_table_request request = {
        .columns = {[TEXT] = {.name = "text"}, [PAIR] = {.name = pairs ? "text_pair" : NULL, .optional = true}}};
    *table = (peft_table){0};
    /* Any text is a list of lines: what is none has to be told before. Markup may well be somebody's texts. */
    if (peft_foreign_text(text, bytes) && !peft_foreign_is_markup(text, bytes))
        return peft_fail_foreign_text(error, PEFT_ERR_FORMAT, name, text, bytes);
    return peft_table_read_text(name, &lines, &request, text, bytes, table, error);
}

static bool set_only(peft_table *table, size_t column, const char *text)
{
    if (!text) return true;
    table->columns[column] = calloc(1, sizeof *table->columns[column]);
    return table->columns[column] && peft_table_keep(&table->arena, text, strlen(text), &table->columns[column][0]);
}

peft_status peft_table_from_text(const char *text, const char *pair, peft_table *table, peft_error *error)
{
    *table = (peft_table){.num_rows = 1};
    table->lines = calloc(1, sizeof *table->lines);
    if (!table->lines || !set_only(table, TEXT, text) || !set_only(table, PAIR, pair)) {
        peft_table_free(table);
        return peft_fail(error, PEFT_ERR_MEMORY, "text: out of memory");
    }
    table->lines[0] = 1;
    return PEFT_OK;
}
