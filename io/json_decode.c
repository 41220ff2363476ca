#include "io/json_decode.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "io/number.h"

/* A word outside of strings that jansson refuses, and what makes it take it: text put before and after it. */
typedef struct mend {
    size_t begin, end; /* of the word */
    const char *before, *after;
} mend;

static const char quote_before[] = "\"\\u0000", quote_after[] = "\"", as_real[] = ".0";

static size_t growth(const mend *m)
{
    return strlen(m->before) + strlen(m->after);
}

/* ---- numbers ---- */

static size_t skip_digits(const char *word, size_t at)
{
    return at + strspn(word + at, "0123456789");
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)? ; *whole_end is the end of the integer part. */
static bool is_number(const char *word, size_t *whole_end)
{
    size_t begin = word[0] == '-', at = skip_digits(word, begin);
    *whole_end = at;
    if (at == begin || (word[begin] == '0' && at > begin + 1)) return false;
    if (word[at] == '.') {
        size_t fraction = at + 1;
        if ((at = skip_digits(word, fraction)) == fraction) return false;
    }
    if (word[at] == 'e' || word[at] == 'E') {
        size_t exponent = at + 1;
        if (word[exponent] == '-' || word[exponent] == '+') exponent++;
        if ((at = skip_digits(word, exponent)) == exponent) return false;
    }
    return word[at] == '\0';
}

static bool fits_int64(const char *word)
{
    static const char most[] = "9223372036854775807", least[] = "9223372036854775808";
    bool negative = word[0] == '-';
    const char *digits = word + negative;
    size_t count = strlen(digits), limit = sizeof most - 1;
    return count != limit ? count < limit : strcmp(digits, negative ? least : most) <= 0;
}

static bool fits_double(const char *word)
{
    double value;
    return peft_number_read(word, &value) && isfinite(value);
}

static bool is_named_number(const char *word)
{
    return strcmp(word, "NaN") == 0 || strcmp(word, "Infinity") == 0 || strcmp(word, "-Infinity") == 0;
}

/* Does the word need mending? Then what goes around it is set. */
static bool judge(const char *word, mend *m)
{
    size_t whole_end;
    bool number = is_number(word, &whole_end);
    bool integer = number && word[whole_end] == '\0';
    if (integer && fits_int64(word)) return false;
    bool beyond = number ? !fits_double(word) : is_named_number(word);
    if (!beyond && !integer) return false;
    m->before = beyond ? quote_before : "";
    m->after = beyond ? quote_after : as_real;
    return true;
}

/* ---- text ---- */

static bool is_word_byte(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           byte == '+' || byte == '-' || byte == '.';
}

/* The place behind the string whose opening quote is at `at`. */
static size_t skip_string(const char *text, size_t bytes, size_t at)
{
    for (at++; at < bytes && text[at] != '"'; at++)
        if (text[at] == '\\') at++;
    return at < bytes ? at + 1 : bytes;
}

/* Does a colon follow? Then the word stands where a key belongs, and stays as wrong as it is. */
static bool stands_as_key(const char *text, size_t bytes, size_t at)
{
    while (at < bytes && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r' || text[at] == '\n')) at++;
    return at < bytes && text[at] == ':';
}

/* The first word from `at` on that has to be mended. Words of more than MOST bytes are left to jansson. */
static bool next_mend(const char *text, size_t bytes, size_t at, mend *m)
{
    enum { MOST = 1024 };
    while (at < bytes) {
        if (text[at] == '"') {
            at = skip_string(text, bytes, at);
            continue;
        }
        size_t begin = at;
        while (at < bytes && is_word_byte(text[at])) at++;
        size_t length = at - begin;
        if (length == 0) {
            at++;
            continue;
        }
        char word[MOST + 1];
        if (length > MOST) continue;
        memcpy(word, text + begin, length);
        word[length] = '\0';
        *m = (mend){.begin = begin, .end = at};
        if (judge(word, m) && !stands_as_key(text, bytes, at)) return true;
    }
    return false;
}

static size_t total_growth(const char *text, size_t bytes)
{
    size_t total = 0;
    mend m = {0};
    while (next_mend(text, bytes, m.end, &m)) total += growth(&m);
    return total;
}

static char *append(char *to, const char *text, size_t bytes)
{
    memcpy(to, text, bytes);
    return to + bytes;
}

static void write_mended(const char *text, size_t bytes, char *to)
{
    size_t done = 0;
    mend m = {0};
    while (next_mend(text, bytes, m.end, &m)) {
        to = append(to, text + done, m.begin - done);
        to = append(to, m.before, strlen(m.before));
        to = append(to, text + m.begin, m.end - m.begin);
        to = append(to, m.after, strlen(m.after));
        done = m.end;
    }
    append(to, text + done, bytes - done);
}

/* Takes what was put in before the place of the failure out of its numbers. */
static void correct_place(const char *text, size_t bytes, json_error_t *failure)
{
    size_t grown = 0, grown_in_line = 0, line_begin = 0, position = (size_t)failure->position;
    mend m = {0};
    while (next_mend(text, bytes, m.end, &m) && m.begin + grown < position) {
        size_t end = m.end + grown + growth(&m);
        if (position < end) { /* inside of a word counts as its end */
            failure->column += (int)(end - position);
            position = end;
        }
        if (memchr(text + line_begin, '\n', m.begin - line_begin)) grown_in_line = 0;
        line_begin = m.begin;
        grown += growth(&m);
        grown_in_line += growth(&m);
    }
    position -= grown;
    if (position > line_begin && memchr(text + line_begin, '\n', position - line_begin)) grown_in_line = 0;
    failure->position = (int)position;
    failure->column -= (int)grown_in_line;
}

/* jansson passes over a NUL that stands behind a number, and miscounts from there on. */
static bool holds_nul(const char *text, size_t bytes, json_error_t *failure)
{
    const char *nul = bytes ? memchr(text, '\0', bytes) : NULL;
    if (!nul) return false;
    const char *line = text;
    *failure = (json_error_t){.line = 1, .text = "NUL byte", .position = (int)(nul - text + 1)};
    for (const char *end; (end = memchr(line, '\n', (size_t)(nul - line))) != NULL; line = end + 1) failure->line++;
    failure->column = (int)(nul - line + 1);
    failure->text[sizeof failure->text - 1] = json_error_invalid_syntax; /* where json_error_code finds it */
    return true;
}

json_t *peft_json_decode(const char *text, size_t bytes, json_error_t *failure)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    if (holds_nul(text, bytes, failure)) return NULL;
    size_t grown = total_growth(text, bytes);
    if (grown == 0) return json_loadb(text, bytes, flags, failure);
    char *mended = malloc(bytes + grown);
    if (!mended) {
        *failure = (json_error_t){0};
        return NULL;
    }
    write_mended(text, bytes, mended);
    json_t *root = json_loadb(mended, bytes + grown, flags, failure);
    if (!root) correct_place(text, bytes, failure);
    free(mended);
    return root;
}

bool peft_json_out_of_memory(const json_error_t *failure)
{
    return failure->text[0] == '\0' || json_error_code(failure) == json_error_out_of_memory;
}

const char *peft_json_beyond_real(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t whole_end;
    size_t bytes = json_string_length(value);
    if (!text || bytes == 0 || text[0] != '\0' || bytes != 1 + strlen(text + 1)) return NULL;
    text++;
    return is_named_number(text) || (is_number(text, &whole_end) && !fits_double(text)) ? text : NULL;
}
