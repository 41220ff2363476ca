/* ops/kernels/row.h - the exponentials of a row and their sum, without overflow. */
#ifndef PEFT_OPS_KERNELS_ROW_H
#define PEFT_OPS_KERNELS_ROW_H

#include "ops/kernels/elementwise.h"
#include "ops/kernels/vector_math.h"

/* What a lane holds where there is no element: its exponential is 0. */
#define NOTHING ((real)-INFINITY)

/* y_j = exp(c x_j - m), m = max c x_j, c > 0; y may be x, or NULL: not wanted. Returns the sum of the y_j, and
 * log sum exp(c x_j) in *log_sum. */
static inline real exp_row(int64_t count, real c, const real *x, real *y, real *log_sum)
{
    vec most = broadcast(NOTHING), sum = {0};
    for (int64_t j = 0; j < count; j += LANES) most = larger_lanes(load_some(x + j, count - j, NOTHING), most);
    real largest = c * largest_lane(most);
    for (int64_t j = 0; j < count; j += LANES) {
        vec e = vec_exp(c * load_some(x + j, count - j, NOTHING) - largest);
        if (y) store_some(y + j, count - j, e);
        sum += e;
    }
    real total = sum_lanes(sum);
    *log_sum = largest + REAL(log)(total);
    return total;
}

#endif
