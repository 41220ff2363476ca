/* io/safetensors_checksum.c - one number for all that a file holds: the sum of the XXH3 of each tensor's bytes under
 * its name, and of each metadata value under its key. Programs that sort a file anew keep it right. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "io/safetensors_format.h"

static uint64_t hash(const char *name, const void *data, size_t bytes)
{
    return XXH3_64bits_withSeed(data, bytes, XXH3_64bits(name, strlen(name)));
}

uint64_t peft_checksum_of_tensor(const peft_file_tensor *tensor)
{
    return hash(tensor->name, tensor->data, tensor->bytes);
}

uint64_t peft_checksum_of_metadata(const char *key, const char *value)
{
    return strcmp(key, PEFT_CHECKSUM_KEY) == 0 ? 0 : hash(key, value, strlen(value));
}

void peft_checksum_to_text(uint64_t checksum, char text[PEFT_CHECKSUM_TEXT])
{
    snprintf(text, PEFT_CHECKSUM_TEXT, "%016" PRIx64, checksum);
}
