/* models/unicode.h - what tokenizers ask about characters, on top of utf8proc. */
#ifndef PEFT_MODELS_UNICODE_H
#define PEFT_MODELS_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Offset of the first byte that is not valid UTF-8 (overlong forms, surrogates and values over U+10FFFF are not), or
 * `bytes` where all of the text is valid. NUL is a character like any other. */
size_t peft_utf8_check(const char *text, size_t bytes);

/* What a character is to Hugging Face's BERT normalizer and pre-tokenizer; a sum of these, 0 for letters and the rest.
 */
enum {
    PEFT_CHAR_SPACE = 1,       /* White_Space */
    PEFT_CHAR_CONTROL = 2,     /* Cc but tab, LF and CR; Cf; Co; U+FFFD: dropped by clean_text */
    PEFT_CHAR_PUNCTUATION = 4, /* P* and the ASCII symbols: a word of its own */
    PEFT_CHAR_MARK = 8         /* Mn: dropped by strip_accents */
};
unsigned peft_char_class(int32_t c);

/* Is it part of a word as regular expressions have it (\w): a letter, mark, digit, connector or joiner? */
bool peft_char_is_word(int32_t c);

/* Is it an ideograph that BERT makes a word of its own? */
bool peft_char_is_ideograph(int32_t c);

/* Canonical decomposition and lower case of one character without its context. Both return the number of characters
 * written, at least 1. */
enum { PEFT_CHAR_MAX_DECOMPOSED = 4, PEFT_CHAR_MAX_LOWER = 2 };
size_t peft_char_decompose(int32_t c, int32_t decomposed[PEFT_CHAR_MAX_DECOMPOSED]);
size_t peft_char_lower(int32_t c, int32_t lower[PEFT_CHAR_MAX_LOWER]);

#endif
