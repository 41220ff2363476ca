/* ops/onednn/kernels.h - the kernels that this backend has instead of avx512's. */
#ifndef PEFT_OPS_ONEDNN_KERNELS_H
#define PEFT_OPS_ONEDNN_KERNELS_H

#include "ops/backend.h"

/* The op `linear` of a weight that was packed (packed.h): for products of floats, and of bf16. */
extern const peft_kernel peft_kernel_linear_packed, peft_kernel_linear_packed_bf16;

/* In bf16: those whose products have rounded factors, and those that round faster. */
extern const peft_kernel peft_kernel_activation_bf16, peft_kernel_attention_bf16, peft_kernel_cast_bf16,
    peft_kernel_dropout_bf16, peft_kernel_low_rank_bf16;

/* For adapters of at most so many ranks, which would leave a half of low_rank_bf16's vectors empty. */
extern const peft_kernel peft_kernel_low_rank_few;
enum { PEFT_FEW_RANKS = 8 };

#endif
