/* variants/factors.h - plain LoRA factors: memory for them, those of updates that have a gate, and of any update. */
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

/* Factors of any update [out, in], without the scaling: the update itself and a unit matrix, on the smaller side. */
peft_status peft_lora_factors_dense(const peft_adapter *adapter, const float *update, peft_lora_factors *factors,
                                    peft_error *error);

#endif
