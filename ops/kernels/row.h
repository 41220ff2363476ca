/* ops/kernels/row.h - the exponentials of a row and their sum, without overflow. */
#ifndef PEFT_OPS_KERNELS_ROW_H
#define PEFT_OPS_KERNELS_ROW_H

#include "ops/kernels/elementwise.h"
#include "ops/kernels/vector_math.h"

/* y_j = exp(c x_j - m), m = max c x_j, c > 0; y may be x, or NULL: not wanted. Returns the sum of the y_j, and
 * log sum exp(c x_j) in *log_sum. A lane that holds no element is -infinity, of which exp is nothing. */
static inline real exp_row(int64_t count, real c, const real *x, real *y, real *log_sum)
{
    vec most = broadcast(-INFINITY), sum = {0};
    for (int64_t j = 0; j < count; j += LANES) {
        vec v = load_some(x + j, count - j, -INFINITY);
        most = choose(v > most, v, most);
    }
    real largest = c * largest_lane(most);
    for (int64_t j = 0; j < count; j += LANES) {
        vec e = vec_exp(c * load_some(x + j, count - j, -INFINITY) - largest);
        if (y) store_some(y + j, count - j, e);
        sum += e;
    }
    real total = sum_lanes(sum);
    *log_sum = largest + REAL(log)(total);
    return total;
}

#endif
