/* The cells of an accepted table are UTF-8, without NUL bytes but those that JSON writes as \u0000, and its rows follow
 * each other. The first letter of the input says what kind of file the rest is: "0" .csv, "1" .tsv, "2" .jsonl; with 4
 * added a file without header line; with 8 added one whose broken rows are left out. */
#include "tasks/table.h"

#include <string.h>

#include "models/unicode.h"
#include "tests/fuzz/fuzz.h"

static void check_cell(const peft_cell *cell, bool json)
{
    FUZZ_CHECK(cell->text[cell->bytes] == '\0' && (json || strlen(cell->text) == cell->bytes));
    FUZZ_CHECK(peft_utf8_check(cell->text, cell->bytes) == cell->bytes);
}

static void check_table(const peft_table *table, bool json)
{
    FUZZ_CHECK(table->num_rows >= 1);
    for (size_t row = 0; row < table->num_rows; row++) {
        FUZZ_CHECK(table->lines[row] > (row ? table->lines[row - 1] : 0));
        for (size_t i = 0; i < PEFT_TABLE_MAX_COLUMNS; i++)
            if (table->columns[i]) check_cell(&table->columns[i][row], json);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"t.csv", "t.tsv", "t.jsonl"}, *const header[] = {"id", "text", "label", NULL};
    if (size == 0) return 0;
    const unsigned kind = data[0] & 15;
    if (kind % 4 == 3) return 0;
    const peft_table_request request = {
        .columns = {{.name = "text"}, {.name = "pair", .optional = true}, {.name = "label", .optional = true}},
        .header = kind & 4 ? header : NULL,
        .skip_broken_rows = kind & 8,
    };
    peft_table table;
    peft_error error = {0};
    const char *path = fuzz_write(names[kind % 4], (fuzz_bytes){data + 1, size - 1});
    peft_status status = peft_table_read(path, &request, &table, &error);
    FUZZ_CHECK(status == PEFT_OK || strncmp(error.message, path, strlen(path)) == 0);
    FUZZ_CHECK((status == PEFT_OK) == (table.lines != NULL));
    if (status) return 0;
    fuzz_accepted++;
    check_table(&table, kind % 4 == 2);
    peft_table_free(&table);
    return 0;
}
