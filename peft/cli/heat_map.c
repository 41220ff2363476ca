#include "peft/cli/heat_map.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "peft/cli/table.h"

/* Where `name` is in the list, its end if it is new; it is added then. */
static bool place(char ***names, size_t *count, const char *name, size_t *index)
{
    for (*index = 0; *index < *count; (*index)++)
        if (strcmp((*names)[*index], name) == 0) return true;
    char **larger = realloc(*names, (*count + 1) * sizeof *larger);
    if (!larger) return false;
    *names = larger;
    larger[*count] = strdup(name);
    if (!larger[*count]) return false;
    ++*count;
    return true;
}

/* Values for one more row or column than `rows` and `columns`, which are the sizes until now. */
static bool grow(peft_heat_map *m, size_t rows, size_t columns)
{
    if (m->num_rows == rows && m->num_columns == columns) return true;
    double *values = malloc(m->num_rows * m->num_columns * sizeof *values);
    if (!values) return false;
    for (size_t r = 0; r < m->num_rows; r++)
        for (size_t c = 0; c < m->num_columns; c++)
            values[r * m->num_columns + c] = r < rows && c < columns ? m->values[r * columns + c] : nan("");
    free(m->values);
    m->values = values;
    return true;
}

void peft_heat_map_set(peft_heat_map *m, const char *row, const char *column, double value)
{
    size_t rows = m->num_rows, columns = m->num_columns, r, c;
    if (m->status != PEFT_OK) return;
    if (place(&m->rows, &m->num_rows, row, &r) && place(&m->columns, &m->num_columns, column, &c) &&
        grow(m, rows, columns))
        m->values[r * m->num_columns + c] = value;
    else
        m->status = PEFT_ERR_MEMORY;
}

void peft_heat_map_free(peft_heat_map *m)
{
    for (size_t r = 0; r < m->num_rows; r++) free(m->rows[r]);
    for (size_t c = 0; c < m->num_columns; c++) free(m->columns[c]);
    free(m->rows);
    free(m->columns);
    free(m->values);
    *m = (peft_heat_map){0};
}

peft_status peft_heat_map_print(const peft_heat_map *m, const char *corner, FILE *out, peft_error *error)
{
    const char **headings = malloc((m->num_columns + 1) * sizeof *headings);
    if (!headings || m->status != PEFT_OK) {
        free(headings);
        return peft_fail(error, PEFT_ERR_MEMORY, "table: out of memory");
    }
    headings[0] = corner;
    for (size_t c = 0; c < m->num_columns; c++) headings[c + 1] = m->columns[c];
    peft_text_table table;
    peft_text_table_init(&table, headings, m->num_columns + 1);
    for (size_t r = 0; r < m->num_rows; r++) {
        peft_text_table_cell(&table, "%s", m->rows[r]);
        for (size_t c = 0; c < m->num_columns; c++) {
            double value = m->values[r * m->num_columns + c];
            if (isnan(value))
                peft_text_table_cell(&table, "-");
            else
                peft_text_table_cell(&table, "%.4g", value);
        }
    }
    peft_status status = peft_text_table_print(&table, out, error);
    peft_text_table_free(&table);
    free(headings);
    return status;
}
