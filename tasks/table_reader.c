#include "tasks/table_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/nearest.h"

peft_status peft_table_fail_at(peft_table_reader *r, size_t line, const char *format, ...)
{
    char text[PEFT_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return r->status = peft_fail(r->error, PEFT_ERR_FORMAT, "%s:%zu: %s", r->path, line, text);
}

peft_status peft_table_fail_memory(peft_table_reader *r)
{
    return r->status = peft_fail(r->error, PEFT_ERR_MEMORY, "%s: out of memory", r->path);
}

static bool grow(void *array, size_t count, size_t element)
{
    void *old, *larger;
    memcpy(&old, array, sizeof old);
    larger = realloc(old, count * element);
    if (larger) memcpy(array, &larger, sizeof larger);
    return larger;
}

static bool reserve_rows(peft_table *table, size_t capacity)
{
    bool fits = grow(&table->lines, capacity, sizeof *table->lines);
    for (size_t i = 0; i < PEFT_TABLE_MAX_COLUMNS; i++)
        fits = fits && grow(&table->columns[i], capacity, sizeof *table->columns[i]);
    return fits;
}

bool peft_table_keep(peft_arena *arena, const char *text, size_t bytes, peft_cell *cell)
{
    char *copy = peft_arena_take(arena, bytes + 1);
    if (!copy) return false;
    memcpy(copy, text, bytes);
    *cell = (peft_cell){copy, bytes};
    return true;
}

peft_status peft_table_add_name(peft_table_reader *r, const char *text, size_t bytes)
{
    if (r->num_names == r->names_capacity) {
        size_t capacity = r->names_capacity ? 2 * r->names_capacity : 16;
        if (!grow(&r->names, capacity, sizeof *r->names)) return peft_table_fail_memory(r);
        r->names_capacity = capacity;
    }
    peft_cell name;
    if (!peft_table_keep(&r->table->arena, text, bytes, &name)) return peft_table_fail_memory(r);
    r->names[r->num_names++] = name.text;
    return PEFT_OK;
}

static peft_status find_column(peft_table_reader *r, size_t column)
{
    const peft_table_column *wanted = &r->request->columns[column];
    ptrdiff_t *position = &r->position[column];
    *position = PEFT_TABLE_ABSENT;
    if (!wanted->name) return PEFT_OK;
    for (size_t i = 0; i < r->num_names; i++) {
        if (strcmp(r->names[i], wanted->name) != 0) continue;
        if (*position != PEFT_TABLE_ABSENT)
            return peft_table_fail_at(r, r->row_line, "column \"%s\" is there twice", wanted->name);
        *position = (ptrdiff_t)i;
    }
    if (*position != PEFT_TABLE_ABSENT || wanted->optional) return PEFT_OK;

    char where[PEFT_MESSAGE_BYTES];
    snprintf(where, sizeof where, "%s:%zu: column", r->path, r->row_line);
    peft_names known = {r->names, r->num_names, sizeof *r->names};
    return r->status = peft_fail_unknown(r->error, PEFT_ERR_FORMAT, where, wanted->name, &known);
}

peft_status peft_table_end_header(peft_table_reader *r)
{
    r->has_names = true;
    for (size_t i = 0; i < PEFT_TABLE_MAX_COLUMNS && r->status == PEFT_OK; i++) find_column(r, i);
    return r->status;
}

peft_status peft_table_add_row(peft_table_reader *r)
{
    peft_table *table = r->table;
    if (table->num_rows == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 256;
        if (!reserve_rows(table, capacity)) return peft_table_fail_memory(r);
        r->capacity = capacity;
    }
    for (size_t i = 0; i < PEFT_TABLE_MAX_COLUMNS; i++) table->columns[i][table->num_rows] = r->row[i];
    table->lines[table->num_rows++] = r->row_line;
    return PEFT_OK;
}

peft_status peft_table_set_cell(peft_table_reader *r, size_t column, const char *text, size_t bytes)
{
    return peft_table_keep(&r->table->arena, text, bytes, &r->row[column]) ? PEFT_OK : peft_table_fail_memory(r);
}
