/* variants/lora.h - what the variants share whose update is plain B A. */
#ifndef PEFT_VARIANTS_LORA_H
#define PEFT_VARIANTS_LORA_H

#include "variants/adapter.h"

typedef struct lora_options {
    peft_common_options common;
    char *init;
} lora_options;

enum { LORA_A, LORA_B, LORA_VALUES };

extern const peft_option lora_option_table[];
extern const peft_json_name lora_json_names[];
extern const peft_json_field lora_json_fields[];

int32_t lora_layer_values(const peft_adapter *adapter, peft_value_spec *specs);
peft_tensor *lora_forward(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base, peft_tensor *x,
                          const peft_batch *batch);
peft_status lora_to_lora(const peft_adapter *adapter, peft_lora_factors *factors, peft_error *error);

#endif
