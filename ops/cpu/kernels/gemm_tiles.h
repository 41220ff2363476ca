/* ops/cpu/kernels/gemm_tiles.h - matrix products in `real`, and how rows of tokens are cut for the threads. */
#ifndef PEFT_OPS_CPU_KERNELS_GEMM_TILES_H
#define PEFT_OPS_CPU_KERNELS_GEMM_TILES_H

#include "ops/cpu/gemm.h"
#include "ops/cpu/kernels/kernel.h"

#define GEMM_ARCH KERNEL_NAME(PEFT_GEMM, PEFT_BACKEND)

static inline void gemm(const peft_gemm_shape *shape, real alpha, const real *a, const real *b, real beta, real *c)
{
#ifdef PEFT_REAL_F64
    peft_gemm_f64(GEMM_ARCH, shape, alpha, a, b, beta, c);
#else
    peft_gemm_f32(GEMM_ARCH, shape, alpha, a, b, beta, c);
#endif
}

static inline size_t gemm_buffer_bytes(int64_t columns)
{
    return (size_t)peft_gemm_buffer_bytes(GEMM_ARCH, columns);
}

/* Every tile packs the whole weight again, so tiles are large; but there are enough of them for a few threads. */
static inline int64_t gemm_grain(int64_t rows)
{
    enum { SMALLEST = 192, LARGEST = 960, UNIT = 32, TILES = 8 };
    int64_t grain = (rows / TILES + UNIT - 1) / UNIT * UNIT;
    return grain < SMALLEST ? SMALLEST : grain > LARGEST ? LARGEST : grain;
}

#endif
