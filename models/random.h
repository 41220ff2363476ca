/* models/random.h - a model that was never trained, as a folder: to measure with where none was downloaded. */
#ifndef PEFT_MODELS_RANDOM_H
#define PEFT_MODELS_RANDOM_H

#include <jansson.h>
#include <stdint.h>

#include "ops/status.h"

/* Writes config.json, with the content of `config`, and model.safetensors in float into a folder that exists. Matrices
 * are normal with initializer_range, scales of norms 1, other vectors 0. Tensors share their values, so that writing
 * takes no more memory than the largest. A tokenizer is not made. Errors as of peft_model_open. */
peft_status peft_random_model_write(const char *folder, json_t *config, uint64_t seed, peft_error *error);

#endif
