#include "peft/cli/text.h"

#include <stdbool.h>
#include <string.h>

static size_t columns_of(const char *text, size_t bytes)
{
    size_t columns = 0;
    for (size_t i = 0; i < bytes; i++) columns += ((unsigned char)text[i] & 0xC0) != 0x80; /* not a continuation */
    return columns;
}

size_t peft_text_columns(const char *text)
{
    return columns_of(text, strlen(text));
}

void peft_text_clean(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7F) *text = ' ';
}

static size_t start_line(FILE *out, size_t indent)
{
    fprintf(out, "\n%*s", (int)indent, "");
    return indent;
}

void peft_text_wrap(FILE *out, const char *text, size_t indent, size_t column, size_t width)
{
    bool first = true; /* word of its line */
    while (*text) {
        size_t bytes = strcspn(text, " \n"), columns = columns_of(text, bytes);
        if (!first && column + 1 + columns > width) {
            column = start_line(out, indent);
            first = true;
        }
        if (bytes) {
            fprintf(out, "%s%.*s", first ? "" : " ", (int)bytes, text);
            column += columns + !first;
            first = false;
        }
        text += bytes;
        if (*text == '\n' && text[1]) {
            column = start_line(out, indent);
            first = true;
        }
        if (*text) text++;
    }
    putc('\n', out);
}
