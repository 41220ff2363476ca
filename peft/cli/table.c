#include "peft/cli/table.h"

#include "peft/cli/text.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_BYTES = 512, GAP = 2 };

static bool grow(peft_text_table *table)
{
    size_t capacity = table->capacity ? 2 * table->capacity : 64;
    peft_text_cell *cells = realloc(table->cells, capacity * sizeof *cells);
    if (!cells) return false;
    table->cells = cells;
    table->capacity = capacity;
    return true;
}

static void add(peft_text_table *table, const char *text)
{
    if (table->status != PEFT_OK) return;
    bool room = table->count < table->capacity || grow(table);
    char *copy = room ? strdup(text) : NULL;
    if (copy)
        table->cells[table->count++] = (peft_text_cell){copy, false};
    else
        table->status = PEFT_ERR_MEMORY;
}

void peft_text_table_init(peft_text_table *table, const char *const *headings, size_t columns)
{
    *table = (peft_text_table){.columns = columns};
    for (size_t i = 0; i < columns; i++) add(table, headings[i]);
}

void peft_text_table_free(peft_text_table *table)
{
    for (size_t i = 0; i < table->count; i++) free(table->cells[i].text);
    free(table->cells);
    *table = (peft_text_table){0};
}

void peft_text_table_cell(peft_text_table *table, const char *format, ...)
{
    char text[CELL_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    peft_text_clean(text);
    add(table, text);
}

void peft_text_table_mean(peft_text_table *table, double mean, double deviation, int digits)
{
    if (isnan(mean))
        peft_text_table_cell(table, "-");
    else if (isnan(deviation))
        peft_text_table_cell(table, "%.*f", digits, mean);
    else
        peft_text_table_cell(table, "%.*f ± %.*f", digits, mean, digits, deviation);
}

void peft_text_table_bold(peft_text_table *table)
{
    if (table->status == PEFT_OK) table->cells[table->count - 1].bold = true;
}

static bool is_like_number(const char *cell)
{
    bool sign = *cell == '-' || *cell == '+';
    return isdigit((unsigned char)cell[sign]) || strcmp(cell, "-") == 0;
}

static size_t column_width(const peft_text_table *table, size_t column)
{
    size_t width = 0;
    for (size_t i = column; i < table->count; i += table->columns) {
        size_t cell = peft_text_columns(table->cells[i].text);
        if (cell > width) width = cell;
    }
    return width;
}

static bool column_is_numeric(const peft_text_table *table, size_t column)
{
    for (size_t i = column + table->columns; i < table->count; i += table->columns)
        if (!is_like_number(table->cells[i].text)) return false;
    return true;
}

static void print_cell(const peft_text_table *table, size_t index, FILE *out)
{
    size_t column = index % table->columns;
    bool last = column + 1 == table->columns, right = column_is_numeric(table, column);
    const peft_text_cell *cell = &table->cells[index];
    int padding = (int)(column_width(table, column) - peft_text_columns(cell->text));
    fprintf(out, "%*s%s%s%s%*s", right ? padding : 0, "", cell->bold ? "\033[1m" : "", cell->text,
            cell->bold ? "\033[0m" : "", right || last ? 0 : padding, "");
    if (last)
        putc('\n', out);
    else
        fprintf(out, "%*s", GAP, "");
}

peft_status peft_text_table_print(const peft_text_table *table, FILE *out, peft_error *error)
{
    if (table->status != PEFT_OK) return peft_fail(error, table->status, "table: %s", peft_status_text(table->status));
    if (table->count % table->columns != 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "table: the last row has %zu of %zu cells",
                         table->count % table->columns, table->columns);
    for (size_t i = 0; i < table->count; i++) print_cell(table, i, out);
    return PEFT_OK;
}
