/* ops/kernels/row.h - the exponentials of a row and their sum, without overflow. */
#ifndef PEFT_OPS_KERNELS_ROW_H
#define PEFT_OPS_KERNELS_ROW_H

#include "ops/kernels/vector_math.h"

/* The first `count` lanes of a vector, `rest` in the others. */
static inline vec load_first(const real *x, int64_t count, real rest)
{
    real lane[LANES];
    for (int64_t i = 0; i < LANES; i++) lane[i] = i < count ? x[i] : rest;
    return load(lane);
}

static inline void store_first(real *x, int64_t count, vec v)
{
    memcpy(x, &v, (size_t)count * sizeof *x);
}

/* c times the largest of x[0 ... count - 1], c > 0 */
static inline real largest_of_row(int64_t count, real c, const real *x)
{
    int64_t j = 0;
    vec most = broadcast(x[0]);
    for (; j + LANES <= count; j += LANES) {
        vec v = load(x + j);
        most = choose(v > most, v, most);
    }
    real largest = largest_lane(most);
    for (; j < count; j++) largest = larger(largest, x[j]);
    return c * largest;
}

/* y_j = exp(c x_j - m), m = max c x_j; y may be x, or NULL: not wanted. Returns the sum of the y_j, and
 * log sum exp(c x_j) in *log_sum. count >= 1. */
static inline real exp_row(int64_t count, real c, const real *x, real *y, real *log_sum)
{
    real largest = largest_of_row(count, c, x);
    vec sum = {0};
    int64_t j = 0;
    for (; j + LANES <= count; j += LANES) {
        vec e = vec_exp(c * load(x + j) - largest);
        if (y) store(y + j, e);
        sum += e;
    }
    if (j < count) {
        vec e = vec_exp(c * load_first(x + j, count - j, -INFINITY) - largest);
        if (y) store_first(y + j, count - j, e);
        sum += e;
    }
    real total = sum_lanes(sum);
    *log_sum = largest + REAL(log)(total);
    return total;
}

#endif
