/* peft/limits.h - what this machine can do at most, measured: matrix products, and memory.
 *
 * Measured with the kernels that train, on all threads of a context, each call several times and the fastest taken:
 * others who use the machine can only make one slower. */
#ifndef PEFT_PEFT_LIMITS_H
#define PEFT_PEFT_LIMITS_H

#include "ops/context.h"

/* y = x W^T with x [rows, in], W [out, in] frozen (packed where the context does that), and dx = dy W. */
typedef struct peft_product {
    int64_t rows, in_features, out_features;
} peft_product;

typedef struct peft_product_speed {
    double forward, backward; /* FLOP/s; 2 rows in out operations each */
} peft_product_speed;

peft_status peft_product_measure(peft_context *ctx, const peft_product *product, peft_product_speed *speed,
                                 peft_error *error);

/* The best of large square products, FLOP/s. */
peft_status peft_peak_measure(peft_context *ctx, double *flops_per_second, peft_error *error);

/* a = b + c over arrays that no cache holds, bytes/s: three times their size, as STREAM counts it. */
peft_status peft_bandwidth_measure(peft_context *ctx, double *bytes_per_second, peft_error *error);

#endif
