/* io/safetensors.h - named tensors in one file, mapped into memory.
 *
 *   bytes 0 to 8      N, the length of the header (64 bits, little-endian)
 *   bytes 8 to 8 + N  JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …,
 *                     "__metadata__": {"format": "pt"}}, padded with spaces at its end
 *   the rest          the tensors' bytes, row-major, little-endian, without holes or overlaps
 */
#ifndef PEFT_IO_SAFETENSORS_H
#define PEFT_IO_SAFETENSORS_H

#include <stddef.h>

#include "io/file_tensor.h"
#include "ops/status.h"

typedef struct peft_key_value {
    const char *key;
    const char *value;
} peft_key_value;

typedef struct peft_safetensors peft_safetensors;

/* Opens a file after checking all of its header; tensors live until it is closed. PEFT_ERR_FORMAT where the file is
 * malformed, PEFT_ERR_UNSUPPORTED for an element type that peft_dtype lacks or more than PEFT_MAX_DIMS dimensions. NaN
 * and infinity in the data are legal and not looked for. The second form reads from `data`, which has to outlive it. */
peft_status peft_safetensors_open(const char *path, peft_safetensors **file, peft_error *error);
peft_status peft_safetensors_open_memory(const char *path, const void *data, size_t bytes, peft_safetensors **file,
                                         peft_error *error);
void peft_safetensors_close(peft_safetensors *file); /* NULL is allowed */

/* Gives the memory of the file's pages back to the system (peft_file_release). */
void peft_safetensors_release(const peft_safetensors *file);

/* Tensors in the order of their names (as bytes). */
size_t peft_safetensors_count(const peft_safetensors *file);
const peft_file_tensor *peft_safetensors_at(const peft_safetensors *file, size_t index);
const peft_file_tensor *peft_safetensors_find(const peft_safetensors *file, const char *name); /* NULL: not there */

const char *peft_safetensors_path(const peft_safetensors *file); /* as it was opened */

/* The value of a key of `__metadata__`, or NULL. */
const char *peft_safetensors_metadata(const peft_safetensors *file, const char *key);

/* The key of `__metadata__` under which a file carries a checksum of its tensors and other metadata. */
#define PEFT_CHECKSUM_KEY "xxh3"

/* PEFT_ERR_FORMAT: the file carries a checksum, and is no longer what it was when that was made. Reads all of it. */
peft_status peft_safetensors_verify(const peft_safetensors *file, peft_error *error);

/* Writes a file atomically: wide element types first, then by name, so that every tensor is aligned for its type and
 * the same input gives the same bytes. PEFT_ERR_ARGUMENT for a name that comes twice, or bytes that are not those of
 * dtype and shape. Metadata keep their order; PEFT_CHECKSUM_KEY with the value NULL stands for the checksum. */
peft_status peft_safetensors_write(const char *path, const peft_file_tensor *tensors, size_t count,
                                   const peft_key_value *metadata, size_t num_metadata, peft_error *error);

#endif
