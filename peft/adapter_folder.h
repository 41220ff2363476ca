/* peft/adapter_folder.h - an adapter as a folder of two files, as Hugging Face PEFT has it.
 *
 *     adapter_config.json         the method, its settings, the targets (peft/config.h)
 *     adapter_model.safetensors   base_model.model.MODULE.VALUE   values of the adapter of a layer
 *                                 base_model.VALUE                values of the model
 *                                 base_model.model.WEIGHT         weights trained in full: the head, modules_to_save,
 *                                                                 biases (of an adapted layer as
 *                                                                 MODULE.base_layer.bias) */
#ifndef PEFT_PEFT_ADAPTER_FOLDER_H
#define PEFT_PEFT_ADAPTER_FOLDER_H

#include "peft/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads a folder onto a model that has no adapter yet: makes its adapters, attaches them and fills them and the weights
 * trained in full. The file's tensors and the model's have to be the same: each one that is missing, unexpected or of
 * another shape is an error that names it, and PEFT_ERR_NUMERIC a value that is not finite. Names without the encoder's
 * prefix ("bert.") are taken where that makes all of them fit, which is noted. *adapters is the caller's (NULL: the
 * folder has none, only a head); `config`, which may be NULL, is what the file said (peft_adapter_config_free).
 * `options` may be NULL. On failure the model has no adapter, and its weights are those of before. */
PEFT_API peft_status peft_adapter_load(peft_model *model, const char *folder, const peft_load_options *options,
                                       peft_adapters **adapters, peft_adapter_config *config, peft_error *error);

/* Writes the adapters and all weights that are trained in full, in float32, making the folder where there is none. The
 * same values give the same bytes. Both files are complete before either replaces an old one. `adapters` may be NULL (a
 * head alone), and so may `model` (adapters of one's own layers); `targets` is what they were made with, and NULL
 * stands for the names of the adapted layers. */
PEFT_API peft_status peft_adapter_save(peft_model *model, peft_adapters *adapters, const peft_target_options *targets,
                                       const char *folder, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
