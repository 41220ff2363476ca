/* peft/adapter_file.h - opening the two files of an adapter's folder. */
#ifndef PEFT_PEFT_ADAPTER_FILE_H
#define PEFT_PEFT_ADAPTER_FILE_H

#include "io/safetensors.h"
#include "peft/config.h"

/* adapter_config.json. Where it is missing, the message names the folder's sub-folders that are adapters: PEFT saves an
 * adapter under its own name there. */
peft_status peft_adapter_config_open(peft_adapter_config *config, const char *folder, const peft_load_options *options,
                                     peft_error *error);

/* PEFT_ERR_FILE where sub-folders of a folder that is none are adapters, by their names. */
peft_status peft_fail_parent(const char *folder, peft_error *error);

/* adapter_model.safetensors, whose checksum, where it has one, is right. Where only a pickle is there, the message says
 * so. */
peft_status peft_adapter_file_open(peft_safetensors **file, const char *folder, peft_error *error);

#endif
