/* peft/adapter_tensors.h - what belongs into adapter_model.safetensors, with the names that it has there. */
#ifndef PEFT_PEFT_ADAPTER_TENSORS_H
#define PEFT_PEFT_ADAPTER_TENSORS_H

#include "models/model.h"

#define PEFT_MODEL_PREFIX "base_model.model."

/* One tensor: a value of an adapter, or a weight trained in full. */
typedef struct peft_adapter_tensor {
    char *key;
    const char *name, *other_name; /* of a value: the key's end, and what a file that is read may have there instead */
    peft_shape shape;
    const peft_value *value; /* one of these two is NULL */
    peft_weight *weight;
    bool filled; /* of loading: the file has it */
} peft_adapter_tensor;

typedef struct peft_adapter_tensors {
    peft_adapter_tensor *items;
    size_t count;
} peft_adapter_tensors;

/* All values but the states of schedules, and all weights of the model, in the order of their keys. `adapters` may be
 * NULL. Release with peft_adapter_tensors_free. */
peft_status peft_adapter_tensors_list(peft_adapter_tensors *tensors, peft_model *model, peft_adapters *adapters,
                                      peft_error *error);
void peft_adapter_tensors_free(peft_adapter_tensors *tensors);

/* Where it lives; NULL: a weight that is not trained, or a value without memory yet. */
float *peft_adapter_tensor_data(const peft_adapter_tensor *tensor);

/* The tensor of this key, or one whose key ends so by its other name; NULL: none. */
peft_adapter_tensor *peft_adapter_tensors_find(const peft_adapter_tensors *tensors, const char *key);

#endif
