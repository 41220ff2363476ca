/* peft/adapter_layers.h - the layers that a file of adapter tensors is for: those that its tensors name. */
#ifndef PEFT_PEFT_ADAPTER_LAYERS_H
#define PEFT_PEFT_ADAPTER_LAYERS_H

#include "io/safetensors.h"
#include "peft/target.h"
#include "variants/create.h"

typedef struct peft_file_layers {
    const peft_safetensors *file;
    peft_layer *layers; /* [count] in the order of the model, with its names */
    int64_t count;
    const char *unselected; /* one of them that the settings leave out while they select others, or NULL */
    const char *left_out;   /* what the file's names lack at their beginning: "bert.", or "" */
} peft_file_layers;

/* The layers of the model that tensors of the file name, and those that the settings select and that have none, which
 * is for the caller to refuse. Modules outside of the hidden layers, as a pooler, may be selected in vain: the
 * adapter's own model may lack them. `report` as in peft_targets_find, in which items that match nothing are no error.
 * Release with peft_file_layers_free, which takes a struct of zeros too. */
peft_status peft_file_layers_find(peft_file_layers *found, const peft_safetensors *file, peft_model *model,
                                  const peft_target_options *targets, json_t **report, peft_error *error);
void peft_file_layers_free(peft_file_layers *found);

/* The tensor "base_model.model.MODULE.VALUE" by either of the value's names, or NULL. With module "" that of the model,
 * "base_model.VALUE". */
const peft_file_tensor *peft_file_value(const peft_safetensors *file, const char *module, const peft_value_spec *spec);

/* For peft_adapters_describe: all values of the adapter have their shape in the file. `argument` is a peft_file_layers,
 * of which file and left_out count. */
bool peft_file_layers_fit(void *argument, const peft_adapter *adapter);

#endif
