#include "generators/canonical.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/linear_algebra.h"

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Memory for one update; b and a are the smaller sizes of B and of A, k the singular values that there can be. */
typedef struct workspace {
    int64_t rank, in, out, b, a, k;
    double *B, *A;        /* B [out, rank], A^T [in, rank] */
    double *QB, *RB;      /* [out, b], [b, rank] */
    double *QA, *RA;      /* [in, a], [a, rank] */
    double *core;         /* [b, a] */
    double *U, *S, *Vt;   /* [b, k], [k], [k, a] */
    double *left, *right; /* [out, k], [k, in] */
} workspace;

static peft_status open_workspace(workspace *w, double **memory, peft_error *error)
{
    const int64_t sizes[] = {w->out * w->rank, w->in * w->rank, w->out * w->b, w->b * w->rank, w->in * w->a,
                             w->a * w->rank,   w->b * w->a,     w->b * w->k,   w->k,           w->k * w->a,
                             w->out * w->k,    w->k * w->in};
    double **const places[] = {&w->B,    &w->A, &w->QB, &w->RB, &w->QA,   &w->RA,
                               &w->core, &w->U, &w->S,  &w->Vt, &w->left, &w->right};
    int64_t total = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) total += sizes[i];
    double *at = *memory = malloc((size_t)total * sizeof **memory);
    if (!at) return peft_fail(error, PEFT_ERR_MEMORY, "canonical factors: out of memory");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        *places[i] = at;
        at += sizes[i];
    }
    return PEFT_OK;
}

static void read_factors(const workspace *w, const float *A, const float *B)
{
    for (int64_t i = 0; i < w->out * w->rank; i++) w->B[i] = (double)B[i];
    for (int64_t r = 0; r < w->rank; r++)
        for (int64_t i = 0; i < w->in; i++) w->A[i * w->rank + r] = (double)A[r * w->in + i];
}

static double sign_of_column(const workspace *w, int64_t column)
{
    double largest = 0;
    for (int64_t o = 0; o < w->out; o++) {
        double value = w->left[o * w->k + column];
        if (fabs(value) > fabs(largest)) largest = value;
    }
    return largest < 0 ? -1 : 1;
}

static void write_factors(const workspace *w, float *A, float *B)
{
    memset(A, 0, (size_t)(w->rank * w->in) * sizeof *A);
    memset(B, 0, (size_t)(w->rank * w->out) * sizeof *B);
    for (int64_t j = 0; j < w->k; j++) {
        const double factor = sqrt(w->S[j]) * sign_of_column(w, j);
        for (int64_t o = 0; o < w->out; o++) B[o * w->rank + j] = (float)(factor * w->left[o * w->k + j]);
        for (int64_t i = 0; i < w->in; i++) A[j * w->in + i] = (float)(factor * w->right[j * w->in + i]);
    }
}

static peft_status decompose(const workspace *w, peft_error *error)
{
    peft_status status = peft_qr(w->out, w->rank, w->B, w->QB, w->RB, error);
    if (status == PEFT_OK) status = peft_qr(w->in, w->rank, w->A, w->QA, w->RA, error);
    if (status != PEFT_OK) return status;
    peft_product(w->b, w->a, w->rank, w->RB, false, w->RA, true, 0, w->core);
    status = peft_svd(w->b, w->a, w->core, w->U, w->S, w->Vt, error);
    if (status != PEFT_OK) return status;
    peft_product(w->out, w->k, w->b, w->QB, false, w->U, false, 0, w->left);
    peft_product(w->k, w->in, w->a, w->Vt, false, w->QA, true, 0, w->right);
    return PEFT_OK;
}

peft_status peft_canonical_factors(int64_t rank, int64_t in_features, int64_t out_features, float *A, float *B,
                                   peft_error *error)
{
    double *memory = NULL;
    workspace w = {.rank = rank, .in = in_features, .out = out_features};
    w.b = least(w.out, rank);
    w.a = least(w.in, rank);
    w.k = least(w.a, w.b);
    peft_status status = open_workspace(&w, &memory, error);
    if (status == PEFT_OK) {
        read_factors(&w, A, B);
        status = decompose(&w, error);
    }
    if (status == PEFT_OK) write_factors(&w, A, B);
    free(memory);
    return status;
}
