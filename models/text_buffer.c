#include "models/text_buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

static bool reserve(peft_text_buffer *buffer, size_t bytes)
{
    if (bytes <= buffer->capacity) return true;
    if (bytes > PTRDIFF_MAX / 2) return false;
    size_t wanted = buffer->capacity ? buffer->capacity : FIRST_CAPACITY;
    while (wanted < bytes) wanted *= 2;
    char *grown = realloc(buffer->text, wanted);
    if (!grown) return false;
    buffer->text = grown;
    buffer->capacity = wanted;
    return true;
}

bool peft_text_buffer_add(peft_text_buffer *buffer, const char *text, size_t bytes)
{
    if (bytes == 0) return true;
    if (!reserve(buffer, buffer->bytes + bytes)) return false;
    memcpy(buffer->text + buffer->bytes, text, bytes);
    buffer->bytes += bytes;
    return true;
}

void peft_text_buffer_free(peft_text_buffer *buffer)
{
    free(buffer->text);
    *buffer = (peft_text_buffer){0};
}
