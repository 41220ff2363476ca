/* peft/adapter_write.h - the two files of an adapter's folder, whatever they are made from. */
#ifndef PEFT_PEFT_ADAPTER_WRITE_H
#define PEFT_PEFT_ADAPTER_WRITE_H

#include "io/file_tensor.h"
#include "peft/adapter_tensors.h"
#include "peft/config.h"

/* Everything is borrowed. */
typedef struct peft_adapter_files {
    const peft_adapter_config *config;
    const peft_adapter_tensors *tensors; /* those with data are written */
    const peft_file_tensor *others;      /* [num_others] written as they are, under their own names */
    size_t num_others;
    const char *base; /* what is known of the base (peft/provenance.h), or NULL */
} peft_adapter_files;

/* Makes the folder where there is none. Both files are complete before either replaces an old one. */
peft_status peft_adapter_write(const char *folder, const peft_adapter_files *content, peft_error *error);

/* The names of the adapted layers, for target_modules: a new array; NULL if memory runs out. */
json_t *peft_adapter_modules(const peft_adapters *adapters);

#endif
