/* ops/cpu/kernels/row.h - the exponentials of a row and their sum, without overflow. */
#ifndef PEFT_OPS_CPU_KERNELS_ROW_H
#define PEFT_OPS_CPU_KERNELS_ROW_H

#include "ops/cpu/kernels/elementwise.h"
#include "ops/cpu/kernels/vector_math.h"

/* What a lane holds where there is no element: its exponential is 0. */
#define NOTHING ((real)-INFINITY)

/* max c x_j, c > 0 */
static inline real largest_of_row(int64_t count, real c, const real *x)
{
    vec most = broadcast(NOTHING);
    for (int64_t j = 0; j < count; j += LANES) most = larger_lanes(load_some(x + j, count - j, NOTHING), most);
    return c * largest_lane(most);
}

/* y_j = exp(c x_j - largest); y may be x, or NULL: not wanted. Returns their sum. */
static inline real exp_row_below(int64_t count, real c, real largest, const real *x, real *y)
{
    vec sum = {0};
    for (int64_t j = 0; j < count; j += LANES) {
        vec e = vec_exp(c * load_some(x + j, count - j, NOTHING) - largest);
        if (y) store_some(y + j, count - j, e);
        sum += e;
    }
    return sum_lanes(sum);
}

/* With the largest of the row; and log sum exp(c x_j) in *log_sum. */
static inline real exp_row(int64_t count, real c, const real *x, real *y, real *log_sum)
{
    real largest = largest_of_row(count, c, x), total = exp_row_below(count, c, largest, x, y);
    *log_sum = largest + REAL(log)(total);
    return total;
}

#endif
