/* tasks/table_reader.h - a table while it is being read: what tasks/table.c and the formats share. */
#ifndef PEFT_TASKS_TABLE_READER_H
#define PEFT_TASKS_TABLE_READER_H

#include <csv.h>

#include "tasks/table.h"

enum { PEFT_TABLE_ABSENT = -1 };

typedef struct peft_table_reader {
    const char *path;
    const peft_table_request *request;
    peft_table *table;
    size_t capacity; /* of the table's columns, in rows */

    const char **names; /* of the file's columns */
    size_t num_names, names_capacity;
    bool has_names;                             /* the header is complete */
    ptrdiff_t position[PEFT_TABLE_MAX_COLUMNS]; /* of each column asked for, in the file; or PEFT_TABLE_ABSENT */

    size_t line, row_line; /* line being read; line on which the row begins */
    size_t num_cells;      /* of the row so far */
    peft_cell row[PEFT_TABLE_MAX_COLUMNS];

    struct csv_parser csv;
    peft_status status; /* the first failure: libcsv's callbacks return nothing */
    peft_error *error;
} peft_table_reader;

/* How a kind of file is read. Errors are kept in the reader and returned. */
typedef struct peft_table_format {
    const char *extension;
    peft_status (*start)(peft_table_reader *r);                                /* NULL: nothing to do */
    peft_status (*line)(peft_table_reader *r, const char *line, size_t bytes); /* without its line end */
    peft_status (*end)(peft_table_reader *r);                                  /* NULL: nothing to do */
} peft_table_format;

extern const peft_table_format peft_table_tsv, peft_table_csv, peft_table_jsonl;

/* All rows of a text in memory. The table is empty after an error. */
peft_status peft_table_read_text(const char *path, const peft_table_format *as, const peft_table_request *request,
                                 const char *text, size_t bytes, peft_table *table, peft_error *error);

/* A copy of the text, with a NUL behind it; false: out of memory. */
bool peft_table_keep(peft_arena *arena, const char *text, size_t bytes, peft_cell *cell);

/* PEFT_ERR_FORMAT, with path and line in front. */
peft_status peft_table_fail_at(peft_table_reader *r, size_t line, const char *format, ...) PEFT_PRINTF(3, 4);
peft_status peft_table_fail_memory(peft_table_reader *r);

/* The columns of the file, one after the other; then the end of the header, where those asked for are looked up. */
peft_status peft_table_add_name(peft_table_reader *r, const char *text, size_t bytes);
peft_status peft_table_end_header(peft_table_reader *r);

/* Copies a text into the place of column `column` (of those asked for) of the current row; adds the row. */
peft_status peft_table_set_cell(peft_table_reader *r, size_t column, const char *text, size_t bytes);
peft_status peft_table_add_row(peft_table_reader *r);

#endif
