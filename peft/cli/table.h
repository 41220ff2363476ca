/* peft/cli/table.h - tables of text with aligned columns.
 *
 * Cells are added row by row. After an error calls do nothing; printing reports it, so it is asked for once. A column
 * whose cells all begin like numbers (or are "-") stands to the right. */
#ifndef PEFT_CLI_TABLE_H
#define PEFT_CLI_TABLE_H

#include "ops/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct peft_text_cell {
    char *text;
    bool bold;
} peft_text_cell;

typedef struct peft_text_table {
    peft_text_cell *cells; /* row by row, the headings first */
    size_t count, capacity, columns;
    peft_status status;
} peft_text_table;

/* The headings become the first row; how many there are is the number of columns. */
void peft_text_table_init(peft_text_table *table, const char *const *headings, size_t columns);
void peft_text_table_free(peft_text_table *table);

void peft_text_table_cell(peft_text_table *table, const char *format, ...) PEFT_PRINTF(2, 3);

/* "0.874 ± 0.012"; "0.874" where there is no deviation (NaN: a single run), "-" where there is no mean. */
void peft_text_table_mean(peft_text_table *table, double mean, double deviation, int digits);

/* Makes the cell that was added last bold: where the results go to a terminal that shows it (peft_output.bold). */
void peft_text_table_bold(peft_text_table *table);

/* PEFT_ERR_MEMORY if a cell could not be kept, PEFT_ERR_ARGUMENT if the last row is not complete. */
peft_status peft_text_table_print(const peft_text_table *table, FILE *out, peft_error *error);

#endif
