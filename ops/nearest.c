#include "ops/nearest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LETTERS = 48 }; /* longer names are compared by their first 48 letters */

const char *peft_names_at(const peft_names *names, size_t index)
{
    const char *name;
    memcpy(&name, (const char *)names->first + index * names->stride, sizeof name);
    return name;
}

size_t peft_names_find(const peft_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        const char *candidate = peft_names_at(names, i);
        if (candidate && strcmp(candidate, name) == 0) return i;
    }
    return names->count;
}

static int fold(char letter)
{
    return letter == '-' ? '_' : tolower((unsigned char)letter);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: row[j] is the number of edits from the first i letters of a to the first j of b; the two
 * rows before it are kept, the second for swapped neighbours. */
static size_t edits(const char *a, const char *b)
{
    size_t rows[3][MAX_LETTERS + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    size_t a_letters = strnlen(a, MAX_LETTERS), b_letters = strnlen(b, MAX_LETTERS);

    for (size_t j = 0; j <= b_letters; j++) before[j] = above[j] = j;
    for (size_t i = 1; i <= a_letters; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_letters; j++) {
            size_t change = fold(a[i - 1]) != fold(b[j - 1]);
            row[j] = smaller(above[j - 1] + change, smaller(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]))
                row[j] = smaller(row[j], before[j - 2] + 1);
        }
        size_t *recycled = before;
        before = above;
        above = row;
        row = recycled;
    }
    return above[b_letters];
}

const char *peft_nearest(const char *name, const peft_names *names)
{
    const char *best = NULL;
    size_t fewest = (strnlen(name, MAX_LETTERS) + 2) / 3 + 1;
    for (size_t i = 0; i < names->count; i++) {
        const char *candidate = peft_names_at(names, i);
        size_t distance = candidate ? edits(name, candidate) : fewest;
        if (distance >= fewest) continue;
        best = candidate;
        fewest = distance;
    }
    return best;
}

static void list_names(char *text, size_t bytes, const peft_names *names)
{
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < names->count && at < bytes; i++) {
        const char *name = peft_names_at(names, i);
        if (name) at += (size_t)snprintf(text + at, bytes - at, "%s%s", at ? ", " : "", name);
    }
}

peft_status peft_fail_unknown(peft_error *error, peft_status status, const char *what, const char *name,
                              const peft_names *names)
{
    char known[PEFT_MESSAGE_BYTES];
    list_names(known, sizeof known, names);
    const char *best = peft_nearest(name, names);
    return peft_fail(error, status, "%s \"%s\": unknown%s%s%s Known: %s", what, name, best ? "; did you mean \"" : ".",
                     best ? best : "", best ? "\"?" : "", known);
}
