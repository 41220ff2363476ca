#include "peft/cli/compare/csv.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

/* Quoted where commas, quotes or line ends would be taken for the file's own. */
static void write_text(FILE *out, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, out);
        return;
    }
    putc('"', out);
    for (; *text; text++) {
        if (*text == '"') putc('"', out);
        putc(*text, out);
    }
    putc('"', out);
}

/* The shortest of 15, 16 or 17 digits that is the same number again: 0.1 and not 0.10000000000000001. */
static void write_real(FILE *out, double value)
{
    enum { FEWEST = 15, MOST = 17 };
    char text[64];
    for (int digits = FEWEST; digits <= MOST; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    fputs(text, out);
}

static void write_field(FILE *out, const json_t *value)
{
    if (json_is_string(value))
        write_text(out, json_string_value(value));
    else if (json_is_integer(value))
        fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        write_real(out, json_real_value(value));
    else if (json_is_boolean(value))
        fputs(json_is_true(value) ? "true" : "false", out);
}

static void write_rows(FILE *out, const char *const *columns, size_t count, const json_t *rows)
{
    for (size_t k = 0; k < count; k++) {
        write_text(out, columns[k]);
        putc(k + 1 < count ? ',' : '\n', out);
    }
    for (size_t i = 0; i < json_array_size(rows); i++)
        for (size_t k = 0; k < count; k++) {
            write_field(out, json_object_get(json_array_get(rows, i), columns[k]));
            putc(k + 1 < count ? ',' : '\n', out);
        }
}

peft_status peft_csv_save(const char *path, const char *const *columns, size_t count, const json_t *rows,
                          peft_error *error)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out) write_rows(out, columns, count, rows);
    bool complete = out && !ferror(out);
    if (out && fclose(out) != 0) complete = false;
    peft_status status = complete ? peft_file_write(path, text, bytes, error)
                                  : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    free(text);
    return status;
}
