/* io/weights.h - the tensors of a model folder, in one file (model.safetensors) or in shards
 * (model.safetensors.index.json). */
#ifndef PEFT_IO_WEIGHTS_H
#define PEFT_IO_WEIGHTS_H

#include "io/file_tensor.h"
#include "ops/status.h"

typedef struct peft_weights peft_weights;

/* Maps all files of the folder; tensors live until it is closed. What carries a checksum, as the models that we write
 * do, is compared with it (PEFT_ERR_FORMAT). model.safetensors wins where both forms are there. Of a sharded model
 * every tensor has to lie in the shard that the index names, and every tensor of a shard has to be in the index
 * (PEFT_ERR_FORMAT). PEFT_ERR_UNSUPPORTED for a folder that has its weights only as pickle (pytorch_model.bin), which
 * is never read since it can run any program. */
peft_status peft_weights_open(const char *folder, peft_weights **weights, peft_error *error);
void peft_weights_close(peft_weights *weights); /* NULL is allowed */

/* Gives the memory of the files' pages back to the system; they are read again where somebody looks. */
void peft_weights_release(const peft_weights *weights);

/* Tensors of all files in the order of their names (as bytes). */
size_t peft_weights_count(const peft_weights *weights);
const peft_file_tensor *peft_weights_at(const peft_weights *weights, size_t index);
const peft_file_tensor *peft_weights_find(const peft_weights *weights, const char *name); /* NULL: not there */

/* The files themselves, for fingerprints: one, or the shards in the order in which the index names them first. */
size_t peft_weights_num_files(const peft_weights *weights);
const char *peft_weights_path(const peft_weights *weights, size_t index);

#endif
