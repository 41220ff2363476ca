/* ops/describe/dimension.h - a tensor seen from one of its dimensions, and the attributes of the ops that work along
 * one. */
#ifndef PEFT_OPS_DESCRIBE_DIMENSION_H
#define PEFT_OPS_DESCRIBE_DIMENSION_H

#include "ops/ops.h"

/* [outer, size, inner]: the product of the dimensions before, the dimension itself, the product of those after it. */
typedef struct peft_dimension {
    int64_t outer, size, inner;
} peft_dimension;

/* PEFT_ALL_DIMS: all elements are one dimension. */
static inline peft_dimension peft_dimension_of(const peft_shape *shape, int32_t dim)
{
    if (dim == PEFT_ALL_DIMS) return (peft_dimension){1, peft_shape_count(shape), 1};
    peft_dimension seen = {1, shape->size[dim], 1};
    for (int32_t d = 0; d < dim; d++) seen.outer *= shape->size[d];
    for (int32_t d = dim + 1; d < shape->ndim; d++) seen.inner *= shape->size[d];
    return seen;
}

typedef struct peft_permute_attributes {
    int32_t order[PEFT_MAX_DIMS];
} peft_permute_attributes;

typedef struct peft_slice_attributes {
    int32_t dim;
    int64_t begin;
} peft_slice_attributes;

typedef struct peft_concat_attributes {
    int32_t dim;
} peft_concat_attributes;

typedef struct peft_sum_attributes {
    int32_t dim;
    double factor; /* of the sum: 1, or 1 / size for a mean */
} peft_sum_attributes;

#endif
