/* ops/cpu/gemm.h - matrix product on one thread, C = alpha A B + beta C, by BLIS.
 *
 * A [m, k], B [k, n], C [m, n], each with a stride between rows and one between columns (a transpose swaps them).
 * The kernels of BLIS are chosen by the caller's backend, never by the CPU's vendor: left alone, BLIS 0.9 takes its
 * generic kernels on CPUs newer than itself, five times slower. */
#ifndef PEFT_OPS_CPU_GEMM_H
#define PEFT_OPS_CPU_GEMM_H

#include <stdint.h>

#include "ops/status.h"

/* The names are those of the kernels. */
typedef enum peft_gemm_arch {
    PEFT_GEMM_avx512,
    PEFT_GEMM_avx2,
    PEFT_GEMM_portable,
    PEFT_GEMM_portable_f64,
    PEFT_NUM_GEMM_ARCHS
} peft_gemm_arch;

typedef struct peft_gemm_shape {
    int64_t m, n, k;
    int64_t row_a, column_a, row_b, column_b, row_c, column_c; /* strides, in elements */
} peft_gemm_shape;

/* Has BLIS take the memory into which so many threads at once pack their matrices: later it would end the process where
 * there is none. It keeps it, for all contexts. PEFT_ERR_MEMORY: there is not enough. */
peft_status peft_gemm_reserve(int threads, peft_error *error);

void peft_gemm_f32(peft_gemm_arch arch, const peft_gemm_shape *s, float alpha, const float *a, const float *b,
                   float beta, float *c);
void peft_gemm_f64(peft_gemm_arch arch, const peft_gemm_shape *s, double alpha, const double *a, const double *b,
                   double beta, double *c);

/* Bytes that BLIS touches in each thread to pack blocks of A and B, for products of at most `columns` columns. */
int64_t peft_gemm_buffer_bytes(peft_gemm_arch arch, int64_t columns);
const char *peft_gemm_version(void);

#endif
