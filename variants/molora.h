/* variants/molora.h - what the variants share whose experts are LoRAs. */
#ifndef PEFT_VARIANTS_MOLORA_H
#define PEFT_VARIANTS_MOLORA_H

#include "variants/router.h"

enum { PEFT_MOLORA_A, PEFT_MOLORA_B, PEFT_MOLORA_ROUTER, PEFT_MOLORA_MAX_VALUES = PEFT_MOLORA_ROUTER + 2 };

/* How A and the router are drawn. */
typedef struct peft_molora_start {
    peft_start start;
    double spread;
} peft_molora_start;

double peft_molora_scaling(const peft_adapter *adapter); /* alpha / rank of an expert */
int32_t peft_molora_layer_values_from(const peft_adapter *adapter, peft_molora_start start, peft_value_spec *specs);
peft_tensor *peft_molora_forward(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                                 peft_tensor *x, const peft_batch *batch);

peft_status peft_molora_expert_to_lora(const peft_adapter *adapter, int64_t expert, peft_lora_factors *factors,
                                       peft_error *error);

#endif
