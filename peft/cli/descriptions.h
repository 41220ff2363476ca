/* peft/cli/descriptions.h - vectors of descriptions of tasks, from an encoder or from a file. */
#ifndef PEFT_CLI_DESCRIPTIONS_H
#define PEFT_CLI_DESCRIPTIONS_H

#include "peft/cli/inference.h"

typedef struct peft_vectors {
    float *values; /* [count, size] */
    int64_t count, size;
} peft_vectors;

/* A description as generators read it, as the published program has it: without blanks around it, and with a full stop
 * behind a last letter. In place of the texts of the dataset. PEFT_ERR_ARGUMENT: an empty one, by its line. */
peft_status peft_descriptions_prepare(peft_dataset *texts, peft_error *error);

/* The vectors of these texts: what the sentence encoder makes of them, sqrt(size) long. `options->model` is its folder.
 * The values are the caller's (free). */
peft_status peft_descriptions_encode(const peft_dataset *texts, const peft_inference_options *options,
                                     const peft_arguments *arguments, peft_output *output, peft_vectors *vectors,
                                     peft_error *error);

/* From a file, as they are: the only tensor [count, size] of a .safetensors file, or the "embeddings" of a .json file
 * that `peft embed --json` wrote. */
peft_status peft_vectors_load(const char *path, peft_vectors *vectors, peft_error *error);

#endif
