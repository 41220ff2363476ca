/* ops/describe/cross_entropy.h - what the building function hands to the kernels. */
#ifndef PEFT_OPS_DESCRIBE_CROSS_ENTROPY_H
#define PEFT_OPS_DESCRIBE_CROSS_ENTROPY_H

typedef struct peft_cross_entropy_attributes {
    double label_smoothing, normalizer; /* normalizer 0: the sum of the weights of these rows' labels */
} peft_cross_entropy_attributes;

#endif
