/* ops/describe/dropout.h - what the building functions hand to the kernels. */
#ifndef PEFT_OPS_DESCRIBE_DROPOUT_H
#define PEFT_OPS_DESCRIBE_DROPOUT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct peft_dropout_attributes {
    double p;
    uint64_t stream;
    int64_t first_row;
    bool same_rows, same_columns; /* the mask's rows are alike, its columns are alike */
} peft_dropout_attributes;

typedef struct peft_jitter_attributes {
    double spread;
    uint64_t stream;
    int64_t first_row;
} peft_jitter_attributes;

#endif
