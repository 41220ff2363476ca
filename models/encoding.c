#include "models/encoding.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 128 };

void peft_encoding_free(peft_encoding *encoding)
{
    free(encoding->input_ids);
    free(encoding->token_type_ids);
    *encoding = (peft_encoding){0};
}

static bool resize(int32_t **values, size_t capacity)
{
    int32_t *grown = realloc(*values, capacity * sizeof *grown);
    if (grown) *values = grown;
    return grown != NULL;
}

bool peft_encoding_reserve(peft_encoding *encoding, size_t capacity)
{
    if (capacity <= encoding->capacity) return true;
    if (capacity > PTRDIFF_MAX / (2 * sizeof(int32_t))) return false;
    size_t wanted = encoding->capacity ? encoding->capacity : FIRST_CAPACITY;
    while (wanted < capacity) wanted *= 2;
    if (!resize(&encoding->input_ids, wanted) || !resize(&encoding->token_type_ids, wanted)) return false;
    encoding->capacity = wanted;
    return true;
}

bool peft_encoding_push(peft_encoding *encoding, int32_t id)
{
    if (encoding->length == encoding->capacity && !peft_encoding_reserve(encoding, encoding->length + 1)) return false;
    encoding->input_ids[encoding->length++] = id;
    return true;
}
