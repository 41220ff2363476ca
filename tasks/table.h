/* tasks/table.h - chosen columns of a CSV, TSV or JSONL file, all rows in memory.
 *
 * The end of the file's name tells the format:
 *
 *     .tsv     tabs
 *     .csv     commas
 *     .jsonl   a JSON object a line, as io/json_decode.h reads it; columns are its keys, values are strings, numbers or
 *              booleans
 *
 * In .csv and .tsv a field that holds separators, quotes or line ends stands in '"', quotes in it are doubled, as
 * pandas, csv and datasets write them; unquoted, as GLUE's own files are, a '"' is a letter like any other.
 *
 * All of them: UTF-8, a byte-order mark at the start is dropped, a line ends with LF or CR LF (in a quoted field, too),
 * blanks around fields belong to them, empty lines are passed over. Every other oddity is an error that names file and
 * line: a row with more or fewer columns than the first, NUL bytes, bytes that are not UTF-8, quotes out of place. */
#ifndef PEFT_TASKS_TABLE_H
#define PEFT_TASKS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/arena.h"
#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PEFT_TABLE_MAX_COLUMNS = 4 };

/* UTF-8; text[bytes] is a NUL. Others are in the text only where JSON says "\u0000". */
typedef struct peft_cell {
    const char *text;
    size_t bytes;
} peft_cell;

typedef struct peft_table_column {
    const char *name;
    bool optional; /* a file may lack it, as a whole */
    bool lists;    /* .jsonl: a list of numbers is a cell, too: its text */
} peft_table_column;

/* How .csv and .tsv files are read. The last is what older versions did, whose runs go on with it. */
typedef enum peft_quoting { PEFT_QUOTED, PEFT_UNQUOTED, PEFT_QUOTED_CSV } peft_quoting;

typedef struct peft_table_request {
    peft_table_column columns[PEFT_TABLE_MAX_COLUMNS]; /* what to read; a NULL name reads nothing */
    const char *const *header; /* names of all columns of a .csv or .tsv file that does not start with them, NULL at
                                  the end; NULL: the first line is the header */
    peft_quoting quoting;
    bool skip_broken_rows; /* count rows with a wrong number of columns instead of failing */
} peft_table_request;

typedef struct peft_table {
    size_t num_rows;                            /* at least 1 */
    size_t num_skipped;                         /* broken rows */
    peft_cell *columns[PEFT_TABLE_MAX_COLUMNS]; /* [num_rows] each, in the order asked for; NULL: not in the file */
    size_t *lines;                              /* [num_rows] the line on which the row begins, from 1 */
    peft_arena arena;                           /* holds the texts */
} peft_table;

/* PEFT_ERR_FILE, PEFT_ERR_FORMAT, PEFT_ERR_UNSUPPORTED (another kind of file) or PEFT_ERR_MEMORY; the table is empty
 * then. Release with peft_table_free. */
PEFT_API peft_status peft_table_read(const char *path, const peft_table_request *request, peft_table *table,
                                     peft_error *error);

/* Does the name end as one of these kinds of files? */
PEFT_API bool peft_table_has_format(const char *path);

/* The kind of file that older versions read without quotes. */
PEFT_API bool peft_table_is_tsv(const char *path);

/* Are quotes letters like any other in such a file? */
PEFT_API bool peft_table_is_raw(const char *path, peft_quoting quoting);

/* Plain text from memory: a line, a row, also an empty one. Column 0 has the lines without their ends. With `pairs`,
 * and a tab on the first line, every line is two texts with one tab between them, columns 0 and 1; with pairs and no
 * tab there, no line may have one. `name` stands for a path in messages. */
PEFT_API peft_status peft_table_from_lines(const char *text, size_t bytes, const char *name, bool pairs,
                                           peft_table *table, peft_error *error);

/* A single row, whatever the texts hold. `pair` may be NULL. */
PEFT_API peft_status peft_table_from_text(const char *text, const char *pair, peft_table *table, peft_error *error);

/* A table of its own with the rows[0..count) of another, in this order. */
PEFT_API peft_status peft_table_select(const peft_table *from, const uint32_t *rows, size_t count, peft_table *table,
                                       peft_error *error);

/* Takes a zeroed struct, too. */
PEFT_API void peft_table_free(peft_table *table);

#ifdef __cplusplus
}
#endif
#endif
