/* ops/linear_algebra.c - the one file that knows LAPACK.
 *
 * LAPACK stores columns one after another. Our a [m, n], row by row, is to it the transpose a^T [n, m]; so each
 * function asks for the decomposition of that, whose parts are then stored as ours are, without a copy. The memory that
 * it works in is ours: left to itself, its C interface prints a message where it finds none. */
#include "ops/linear_algebra.h"

#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cpu/cpu.h"
#include "ops/rng.h"

/* ---- products ---- */

void peft_product(int64_t m, int64_t n, int64_t k, const double *a, bool transpose_a, const double *b, bool transpose_b,
                  double beta, double *c)
{
    const peft_gemm_shape shape = {.m = m,
                                   .n = n,
                                   .k = k,
                                   .row_a = transpose_a ? 1 : k,
                                   .column_a = transpose_a ? m : 1,
                                   .row_b = transpose_b ? 1 : n,
                                   .column_b = transpose_b ? k : 1,
                                   .row_c = n,
                                   .column_c = 1};
    peft_gemm_f64(peft_cpu_fastest_products(), &shape, 1, a, b, beta, c);
}

/* ---- LAPACK's conventions ---- */

static int64_t smaller(int64_t m, int64_t n)
{
    return m < n ? m : n;
}

static int64_t larger(int64_t m, int64_t n)
{
    return m < n ? n : m;
}

/* Its sizes have 32 bits, also that of the memory for up to 4 k^2 numbers that it works in; and what is not finite can
 * keep it going for ever. */
static peft_status check(int64_t m, int64_t n, const double *a, peft_error *error)
{
    enum { LARGEST = 20000 };
    if (smaller(m, n) > LARGEST || larger(m, n) > INT32_MAX)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "a matrix [%lld, %lld] is too large to be decomposed",
                         (long long)m, (long long)n);
    for (int64_t i = 0; i < m * n; i++)
        if (!isfinite(a[i])) return peft_fail(error, PEFT_ERR_NUMERIC, "a value of the matrix is %g", a[i]);
    return peft_gemm_reserve(1, error); /* LAPACK multiplies by BLIS, too */
}

/* Numbers and, behind them, indices to work with; one block. NULL: out of memory. */
static double *allocate(int64_t numbers, int64_t indices, peft_error *error)
{
    double *memory = malloc((size_t)numbers * sizeof *memory + (size_t)indices * sizeof(lapack_int) + 1);
    if (!memory) peft_fail(error, PEFT_ERR_MEMORY, "out of memory for a decomposition");
    return memory;
}

static peft_status outcome(lapack_int info, const char *failure, peft_error *error)
{
    return info ? peft_fail(error, PEFT_ERR_NUMERIC, "%s", failure) : PEFT_OK;
}

/* ---- singular values ---- */

/* a^T = v diag(s) u^T */
peft_status peft_svd(int64_t m, int64_t n, double *a, double *u, double *s, double *vt, peft_error *error)
{
    enum { INDICES = 8 }; /* for each singular value */
    peft_status status = check(m, n, a, error);
    if (status) return status;
    const lapack_int rows = (lapack_int)n, columns = (lapack_int)m, k = (lapack_int)smaller(m, n);
    double size;
    lapack_int index;
    LAPACKE_dgesdd_work(LAPACK_COL_MAJOR, 'S', rows, columns, a, rows, s, vt, rows, u, k, &size, -1, &index);
    double *work = allocate((int64_t)size, INDICES * (int64_t)k, error);
    if (!work) return PEFT_ERR_MEMORY;
    lapack_int *indices = (lapack_int *)(work + (int64_t)size);
    lapack_int info = LAPACKE_dgesdd_work(LAPACK_COL_MAJOR, 'S', rows, columns, a, rows, s, vt, rows, u, k, work,
                                          (lapack_int)size, indices);
    free(work);
    return outcome(info, "the singular values of a matrix did not converge", error);
}

typedef struct subspace {
    int64_t m, n, width;
    double *left;  /* [m, width] */
    double *right; /* [n, width] */
    double *work;  /* [larger of m and n, width] */
    double *inner; /* [width, width] */
    double *sizes; /* [width] */
} subspace;

static peft_status draw(const subspace *p, uint64_t seed, uint64_t stream, peft_error *error)
{
    size_t count = (size_t)(p->n * p->width);
    float *draws = malloc(count * sizeof *draws);
    if (!draws) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory for a decomposition");
    peft_random_normal(draws, count, 0, 1, seed, stream);
    for (size_t i = 0; i < count; i++) p->right[i] = (double)draws[i];
    free(draws);
    return PEFT_OK;
}

/* p->left becomes an orthonormal basis of what a makes of the subspace. */
static peft_status turn(const subspace *p, const double *a, int64_t iterations, peft_error *error)
{
    for (int64_t i = 0;; i++) {
        peft_product(p->m, p->width, p->n, a, false, p->right, false, 0, p->work);
        peft_status status = peft_qr(p->m, p->width, p->work, p->left, NULL, error);
        if (status != PEFT_OK || i == iterations) return status;
        peft_product(p->n, p->width, p->m, a, true, p->left, false, 0, p->work);
        status = peft_qr(p->n, p->width, p->work, p->right, NULL, error);
        if (status != PEFT_OK) return status;
    }
}

/* a = left (left^T a) = (left inner) diag(sizes) vt, of which the first `rank` terms are taken. */
static peft_status decompose_within(const subspace *p, const double *a, int64_t rank, double *u, double *s, double *vt,
                                    peft_error *error)
{
    peft_product(p->width, p->n, p->m, p->left, true, a, false, 0, p->work);
    peft_status status = peft_svd(p->width, p->n, p->work, p->inner, p->sizes, p->right, error);
    if (status) return status;
    memcpy(s, p->sizes, (size_t)rank * sizeof *s);
    memcpy(vt, p->right, (size_t)(rank * p->n) * sizeof *vt);
    peft_product(p->m, p->width, p->width, p->left, false, p->inner, false, 0, p->work);
    for (int64_t i = 0; i < p->m; i++) memcpy(u + i * rank, p->work + i * p->width, (size_t)rank * sizeof *u);
    return PEFT_OK;
}

peft_status peft_svd_randomised(int64_t m, int64_t n, const double *a, int64_t rank, int64_t iterations, uint64_t seed,
                                uint64_t stream, double *u, double *s, double *vt, peft_error *error)
{
    enum { MORE = 8 }; /* dimensions than are asked for, as section 4.2 there recommends */
    int64_t width = smaller(rank + MORE, smaller(m, n));
    double *memory = allocate((m + n + larger(m, n) + width + 1) * width, 0, error);
    if (!memory) return PEFT_ERR_MEMORY;
    subspace p = {.m = m, .n = n, .width = width, .left = memory};
    p.right = p.left + m * width;
    p.work = p.right + n * width;
    p.inner = p.work + larger(m, n) * width;
    p.sizes = p.inner + width * width;
    peft_status status = draw(&p, seed, stream, error);
    if (status == PEFT_OK) status = turn(&p, a, iterations, error);
    if (status == PEFT_OK) status = decompose_within(&p, a, rank, u, s, vt, error);
    free(memory);
    return status;
}

/* ---- orthogonal bases ---- */

/* a^T = r^T q^T, a lower triangle times rows that are orthonormal */
peft_status peft_qr(int64_t m, int64_t n, double *a, double *q, double *r, peft_error *error)
{
    peft_status status = check(m, n, a, error);
    if (status) return status;
    const lapack_int rows = (lapack_int)n, columns = (lapack_int)m, k = (lapack_int)smaller(m, n);
    double size, other, scale;
    LAPACKE_dgelqf_work(LAPACK_COL_MAJOR, rows, columns, a, rows, &scale, &size, -1);
    LAPACKE_dorglq_work(LAPACK_COL_MAJOR, k, columns, k, a, rows, &scale, &other, -1);
    if (other > size) size = other;
    double *work = allocate((int64_t)size + k, 0, error);
    if (!work) return PEFT_ERR_MEMORY;
    double *scales = work + (int64_t)size;
    LAPACKE_dgelqf_work(LAPACK_COL_MAJOR, rows, columns, a, rows, scales, work, (lapack_int)size);
    for (int64_t j = 0; j < k && r; j++)
        for (int64_t i = 0; i < n; i++) r[j * n + i] = i < j ? 0 : a[j * n + i];
    LAPACKE_dorglq_work(LAPACK_COL_MAJOR, k, columns, k, a, rows, scales, work, (lapack_int)size);
    for (int64_t i = 0; i < m; i++) memcpy(q + i * k, a + i * n, (size_t)k * sizeof *q);
    free(work);
    return PEFT_OK;
}

/* ---- symmetric matrices ---- */

static void reverse_rows(int64_t n, double *a, double *values)
{
    for (int64_t i = 0, j = n - 1; i < j; i++, j--) {
        double value = values[i];
        values[i] = values[j];
        values[j] = value;
        for (int64_t c = 0; c < n; c++) {
            double element = a[i * n + c];
            a[i * n + c] = a[j * n + c];
            a[j * n + c] = element;
        }
    }
}

peft_status peft_eigen(int64_t n, double *a, double *values, peft_error *error)
{
    peft_status status = check(n, n, a, error);
    if (status) return status;
    const lapack_int size = (lapack_int)n;
    double numbers;
    lapack_int count;
    LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, 'V', 'U', size, a, size, values, &numbers, -1, &count, -1);
    double *work = allocate((int64_t)numbers, count, error);
    if (!work) return PEFT_ERR_MEMORY;
    lapack_int *indices = (lapack_int *)(work + (int64_t)numbers);
    lapack_int info = LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, 'V', 'U', size, a, size, values, work, (lapack_int)numbers,
                                          indices, count);
    free(work);
    reverse_rows(n, a, values); /* from small to large is LAPACK's order */
    return outcome(info, "the eigenvalues of a matrix did not converge", error);
}

peft_status peft_invert(int64_t n, double *a, peft_error *error)
{
    peft_status status = check(n, n, a, error);
    if (status) return status;
    const lapack_int size = (lapack_int)n;
    lapack_int info = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', size, a, size);
    if (info == 0) info = LAPACKE_dpotri_work(LAPACK_COL_MAJOR, 'U', size, a, size);
    for (int64_t i = 0; i < n; i++) /* their upper triangle is our lower one */
        for (int64_t j = i + 1; j < n; j++) a[i * n + j] = a[j * n + i];
    return outcome(info, "a matrix is not positive definite", error);
}
