/* variants/molora.h - what the variants share whose experts are LoRAs. */
#ifndef PEFT_VARIANTS_MOLORA_H
#define PEFT_VARIANTS_MOLORA_H

#include "variants/router.h"

enum { MOLORA_A, MOLORA_B, MOLORA_ROUTER, MOLORA_MAX_VALUES = MOLORA_ROUTER + 2 };

/* How A and the router are drawn. */
typedef struct molora_start {
    peft_start start;
    double spread;
} molora_start;

double molora_scaling(const peft_adapter *adapter); /* alpha / rank of an expert */
int32_t molora_layer_values_from(const peft_adapter *adapter, molora_start start, peft_value_spec *specs);
peft_tensor *molora_forward(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch);

peft_status molora_expert_to_lora(const peft_adapter *adapter, int64_t expert, peft_lora_factors *factors,
                                  peft_error *error);

#endif
