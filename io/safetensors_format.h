/* io/safetensors_format.h - what the reader and the writer of safetensors share. */
#ifndef PEFT_IO_SAFETENSORS_FORMAT_H
#define PEFT_IO_SAFETENSORS_FORMAT_H

#include "io/safetensors.h"

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100000000 };

#define METADATA_KEY "__metadata__"

/* Parts of the checksum, which is their sum; as hexadecimal text. */
enum { PEFT_CHECKSUM_TEXT = 17 };
uint64_t peft_checksum_of_tensor(const peft_file_tensor *tensor);
uint64_t peft_checksum_of_metadata(const char *key, const char *value);
void peft_checksum_to_text(uint64_t checksum, char text[PEFT_CHECKSUM_TEXT]);

#endif
