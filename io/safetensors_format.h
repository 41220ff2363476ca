/* io/safetensors_format.h - what the reader and the writer of safetensors share. */
#ifndef PEFT_IO_SAFETENSORS_FORMAT_H
#define PEFT_IO_SAFETENSORS_FORMAT_H

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100000000 };

#define METADATA_KEY "__metadata__"

#endif
