/* ops/describe/norm.h - the attributes of the norms of rows. */
#ifndef PEFT_OPS_DESCRIBE_NORM_H
#define PEFT_OPS_DESCRIBE_NORM_H

#include <stdbool.h>

typedef struct peft_norm_attributes {
    double eps;
    bool centred; /* around the mean of the row; false: around 0 */
} peft_norm_attributes;

#endif
