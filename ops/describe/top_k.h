/* ops/describe/top_k.h - what the building function hands to the kernel. */
#ifndef PEFT_OPS_DESCRIBE_TOP_K_H
#define PEFT_OPS_DESCRIBE_TOP_K_H

#include <stdint.h>

typedef struct peft_top_k_attributes {
    int64_t k;
    double kept, rest;
} peft_top_k_attributes;

#endif
