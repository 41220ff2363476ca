/* ops/describe/matmul.h - what the building function hands to the kernels. */
#ifndef PEFT_OPS_DESCRIBE_MATMUL_H
#define PEFT_OPS_DESCRIBE_MATMUL_H

#include <stdbool.h>

typedef struct peft_matmul_attributes {
    bool transpose_a, transpose_b;
} peft_matmul_attributes;

#endif
