/* peft/cli/text.h - text that people read: its width and its lines. */
#ifndef PEFT_CLI_TEXT_H
#define PEFT_CLI_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Columns that UTF-8 text takes on a terminal, one for each code point. */
size_t peft_text_columns(const char *text);

/* Turns control characters, also line ends, into spaces: names from files may hold what a terminal would obey. */
void peft_text_clean(char *text);

/* Writes text in lines of at most `width` columns, broken at spaces. `column` is where the cursor stands; every further
 * line starts at `indent`. A '\n' in the text ends a line too, as does the end of the text. */
void peft_text_wrap(FILE *out, const char *text, size_t indent, size_t column, size_t width);

#endif
