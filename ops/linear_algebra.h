/* ops/linear_algebra.h - products and decompositions of matrices in double, by BLIS and LAPACK.
 *
 * For what is computed once: start values, conversions. Each runs on the thread that calls; several may run at a time.
 * Matrices are dense and stored row by row; k = min(m, n). The same input gives the same bits on the same CPU. Signs of
 * singular vectors, eigenvectors and of Q's columns are as LAPACK leaves them. PEFT_ERR_NUMERIC: an element is not
 * finite, or an iteration did not converge. */
#ifndef PEFT_OPS_LINEAR_ALGEBRA_H
#define PEFT_OPS_LINEAR_ALGEBRA_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/status.h"

/* c [m, n] = op(a) op(b) + beta c, op(a) [m, k], op(b) [k, n]; op transposes where asked. */
void peft_product(int64_t m, int64_t n, int64_t k, const double *a, bool transpose_a, const double *b, bool transpose_b,
                  double beta, double *c);

/* a [m, n] = u diag(s) vt with u [m, k], s [k] from large to small, vt [k, n]. `a` is overwritten. */
peft_status peft_svd(int64_t m, int64_t n, double *a, double *u, double *s, double *vt, peft_error *error);

/* The first `rank` <= k terms of the same, found in a random subspace of some more dimensions that `iterations`
 * products with a and its transpose turn towards them (Halko et al. 2011, arXiv 0909.4061, alg. 4.4 and 5.1): u [m,
 * rank], s [rank], vt [rank, n]. `a` is kept. */
peft_status peft_svd_randomised(int64_t m, int64_t n, const double *a, int64_t rank, int64_t iterations, uint64_t seed,
                                uint64_t stream, double *u, double *s, double *vt, peft_error *error);

/* a [m, n] = q r with q [m, k] of orthonormal columns and r [k, n] upper triangular, by Householder's reflections,
 * which leave signs to r's diagonal. `r` NULL: not wanted. `a` is overwritten. */
peft_status peft_qr(int64_t m, int64_t n, double *a, double *q, double *r, peft_error *error);

/* a [n, n], symmetric, = sum_j values[j] row_j^T row_j: `a` becomes the eigenvectors as rows, `values` [n] is from
 * large to small. */
peft_status peft_eigen(int64_t n, double *a, double *values, peft_error *error);

/* a [n, n], symmetric and positive definite, becomes its inverse. PEFT_ERR_NUMERIC also where it is not definite. */
peft_status peft_invert(int64_t n, double *a, peft_error *error);

#endif
