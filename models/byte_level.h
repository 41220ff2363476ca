/* models/byte_level.h - GPT-2's alphabet: each byte as a character that can be seen, so that any text is a sequence of
 * 256 letters. The bytes '!' to '~', 0xA1 to 0xAC and 0xAE to 0xFF are themselves; the other 68 are U+0100 and on. */
#ifndef PEFT_MODELS_BYTE_LEVEL_H
#define PEFT_MODELS_BYTE_LEVEL_H

#include <stddef.h>
#include <stdint.h>

enum { PEFT_BYTE_LETTER_BYTES = 2 };

/* Writes the letter of a byte as UTF-8; the number of bytes, 1 or 2. */
size_t peft_byte_letter(uint8_t byte, char letter[PEFT_BYTE_LETTER_BYTES]);

#endif
