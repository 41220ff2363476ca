/* models/text_buffer.h - a text that grows, for the steps of a tokenizer that change texts. */
#ifndef PEFT_MODELS_TEXT_BUFFER_H
#define PEFT_MODELS_TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/* Start with `peft_text_buffer buffer = {0};`. The text may hold NUL and does not end with one. */
typedef struct peft_text_buffer {
    char *text; /* [bytes] */
    size_t bytes, capacity;
} peft_text_buffer;

/* Appends; false where memory is out, and the buffer is as it was. */
bool peft_text_buffer_add(peft_text_buffer *buffer, const char *text, size_t bytes);

/* Releases the memory and zeroes the struct. */
void peft_text_buffer_free(peft_text_buffer *buffer);

#endif
