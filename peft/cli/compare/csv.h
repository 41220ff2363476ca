/* peft/cli/compare/csv.h - rows of results as a CSV file that any program reads (RFC 4180, LF line ends). */
#ifndef PEFT_CLI_COMPARE_CSV_H
#define PEFT_CLI_COMPARE_CSV_H

#include <jansson.h>
#include <stddef.h>

#include "ops/status.h"

/* Writes `rows`, an array of objects, atomically: a header line, then a line a row with the fields columns[0..count).
 * A field that a row does not have, or that is null, is empty; numbers have as many digits as it takes to read them
 * back; booleans are true and false. PEFT_ERR_FILE, PEFT_ERR_MEMORY. */
peft_status peft_csv_save(const char *path, const char *const *columns, size_t count, const json_t *rows,
                          peft_error *error);

#endif
