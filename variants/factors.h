/* variants/factors.h - plain LoRA factors: memory for them, and those of updates that have a gate. */
#ifndef PEFT_VARIANTS_FACTORS_H
#define PEFT_VARIANTS_FACTORS_H

#include "variants/adapter.h"

/* Memory for factors of this rank, which may be 0, with the adapter's scaling; the values are not set. */
peft_status peft_lora_factors_allocate(const peft_adapter *adapter, int64_t rank, peft_lora_factors *factors,
                                       peft_error *error);

/* The same update as s B diag(gate) A with A [rank, in], B [out, rank], gate [rank]: rows and columns whose gate is 0
 * are left out, the others' gates are multiplied into B. */
peft_status peft_lora_factors_gated(const peft_adapter *adapter, int64_t rank, const float *A, const float *B,
                                    const float *gate, peft_lora_factors *factors, peft_error *error);

#endif
