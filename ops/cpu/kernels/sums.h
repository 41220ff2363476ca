/* ops/cpu/kernels/sums.h - sums over many elements: in double, in an order that only the sizes decide. */
#ifndef PEFT_OPS_CPU_KERNELS_SUMS_H
#define PEFT_OPS_CPU_KERNELS_SUMS_H

#include "ops/cpu/kernels/kernel.h"

enum { STRIP = 64 }; /* columns that are summed at the same time */

/* sums[j] = sum_i x[i][j] z[i][j] for `width` <= STRIP columns of `rows` rows, `stride` apart; z NULL: 1 */
static inline void strip_sums(const real *x, const real *z, int64_t rows, int64_t stride, int64_t width,
                              double sums[STRIP])
{
    memset(sums, 0, STRIP * sizeof *sums);
    for (int64_t i = 0; i < rows; i++, x += stride) {
        for (int64_t j = 0; j < width; j++) sums[j] += (double)(z ? x[j] * z[j] : x[j]);
        if (z) z += stride;
    }
}

/* d = scale sums, or d += scale sums */
static inline void put_sums(real *d, int64_t width, const double *sums, double scale, bool add)
{
    for (int64_t j = 0; j < width; j++) d[j] = (real)(scale * sums[j] + (add ? (double)d[j] : 0));
}

#endif
