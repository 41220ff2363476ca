/* peft/provenance.h - what an adapter's folder says about the base it was trained on, and about itself.
 *
 * Files that we write describe each adapted weight of the base (models/descriptor.h) in the metadata of
 * adapter_model.safetensors, under PEFT_BASE_KEY: {"bert.encoder.layer.0.attention.self.query": [norm, ...], ...}.
 * Copies in 16 bits, in several files or saved anew have the same numbers up to 0.5 %; other models, and the one into
 * which the adapter was merged, have not. */
#ifndef PEFT_PEFT_PROVENANCE_H
#define PEFT_PEFT_PROVENANCE_H

#include "io/safetensors.h"
#include "peft/config.h"

#define PEFT_BASE_KEY "base"

/* The text for PEFT_BASE_KEY, the caller's (free). NULL: no memory. */
char *peft_base_describe(peft_model *model, const peft_adapters *adapters);

/* PEFT_ERR_ARGUMENT: the file describes another base than `model`, and the options do not allow it. Notes where nothing
 * but the hash of the files of the base is known, in run.json, and it is another. `adapters` are the file's. */
peft_status peft_base_check(peft_model *model, const peft_adapters *adapters, const peft_safetensors *file,
                            const char *folder, const peft_load_options *options, peft_error *error);

/* Notes which fields of adapter_config.json are not those that the run wrote, by run.json beside it. */
peft_status peft_config_check(const char *folder, const peft_load_options *options, peft_error *error);

#endif
