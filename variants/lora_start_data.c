/* variants/lora_start_data.c - start values from what a layer does on training data.
 *
 *     eva      A = the r first principal axes of the layer's inputs    B = 0           (Paischer et al. 2024,
 * 2410.07170) corda    A = (S_r / s)^1/2 V_r^T C^-1    B = U_r (S_r / s)^1/2    W C = U S V^T   (Yang et al. 2024,
 * 2406.05223) lora_ga  A = V_r^T    B = U_r:2r S_r:2r out^1/4 / 4               dL/dW = U S V^T (Wang et al. 2024,
 * 2407.05000)
 *
 * C is the mean of x x^T over the inputs x, in units of its mean diagonal, and a hundredth of the unit matrix. The last
 * two are subtracted from W, as those of lora_start.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/linear_algebra.h"
#include "variants/lora.h"

const char *const peft_lora_corda_methods[] = {"ipm", "kpm", NULL};

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- eva ---- */

/* The covariance of the inputs: the mean of x x^T less that of the mean. */
static void find_covariance(const peft_trace *t, int64_t in, double *covariance)
{
    double tokens = (double)t->tokens;
    for (int64_t i = 0; i < in; i++)
        for (int64_t j = 0; j < in; j++)
            covariance[i * in + j] = t->moments[i * in + j] / tokens - t->sum[i] / tokens * (t->sum[j] / tokens);
}

/* Axes have no sign of their own: the one that makes the largest number positive. */
static double sign_of(const double *axis, int64_t count)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        if (fabs(axis[i]) > fabs(largest)) largest = axis[i];
    return largest < 0 ? -1 : 1;
}

peft_status peft_lora_start_eva(const peft_lora_start_case *x, peft_error *error)
{
    const int64_t in = x->adapter->in_features, rank = x->adapter->rank;
    double *axes = peft_lora_start_allocate(in * in + in, error);
    if (!axes) return PEFT_ERR_MEMORY;
    double *variances = axes + in * in, total = 0;
    find_covariance(x->trace, in, axes);
    for (int64_t i = 0; i < in; i++) total += axes[i * in + i];
    peft_status status = peft_eigen(in, axes, variances, error);
    for (int64_t j = 0; j < rank && status == PEFT_OK; j++) {
        x->worth[j] = j < in && total > 0 ? variances[j] / total : 0;
        if (j < in) peft_lora_start_row(x, j, sign_of(axes + j * in, in), axes + j * in);
    }
    free(axes);
    return status;
}

/* ---- corda ---- */

/* C, and its inverse. */
static peft_status find_moments(const peft_trace *t, int64_t in, double *C, double *inverse, peft_error *error)
{
    const double damping = 0.01;
    double total = 0;
    for (int64_t i = 0; i < in; i++) total += t->moments[i * in + i];
    double unit = total > 0 ? total / (double)in : 1;
    for (int64_t k = 0; k < in * in; k++) C[k] = t->moments[k] / unit;
    for (int64_t i = 0; i < in; i++) C[i * in + i] += damping;
    memcpy(inverse, C, (size_t)(in * in) * sizeof *C);
    return peft_invert(in, inverse, error);
}

typedef struct corda_parts {
    double *memory;
    double *C, *inverse; /* [in, in] */
    double *weight, *WC; /* [out, in] */
    double *U;           /* [out, k] */
    double *S;           /* [k] */
    double *Vt, *rows;   /* [k, in]; rows: Vt C^-1 */
} corda_parts;

static peft_status open_parts(corda_parts *p, const peft_lora_start_case *x, int64_t k, peft_error *error)
{
    int64_t in = x->adapter->in_features, out = x->adapter->out_features;
    p->memory = peft_lora_start_allocate(2 * in * in + 2 * out * in + (out + 1 + 2 * in) * k, error);
    if (!p->memory) return PEFT_ERR_MEMORY;
    p->C = p->memory;
    p->inverse = p->C + in * in;
    p->weight = p->inverse + in * in;
    p->WC = p->weight + out * in;
    p->U = p->WC + out * in;
    p->S = p->U + out * k;
    p->Vt = p->S + k;
    p->rows = p->Vt + k * in;
    peft_status status = peft_lora_start_copy_weight(x, p->weight, error);
    if (status) free(p->memory);
    return status;
}

/* The r largest components, or the r smallest. */
static int64_t first_component(const peft_lora_start_case *x, int64_t k)
{
    const peft_lora_options *options = x->adapter->all->options;
    bool smallest = options->corda_method && strcmp(options->corda_method, "kpm") == 0;
    return smallest ? k - smaller(x->adapter->rank, k) : 0;
}

peft_status peft_lora_start_corda(const peft_lora_start_case *x, peft_error *error)
{
    corda_parts p;
    const peft_adapter *a = x->adapter;
    int64_t in = a->in_features, out = a->out_features, k = smaller(in, out);
    peft_status status = peft_lora_start_check_scale(a, error);
    if (status == PEFT_OK) status = open_parts(&p, x, k, error);
    if (status) return status;
    status = find_moments(x->trace, in, p.C, p.inverse, error);
    if (status == PEFT_OK) {
        peft_product(out, in, in, p.weight, false, p.C, false, 0, p.WC);
        status = peft_svd(out, in, p.WC, p.U, p.S, p.Vt, error);
    }
    if (status == PEFT_OK) {
        peft_product(k, in, in, p.Vt, false, p.inverse, false, 0, p.rows);
        for (int64_t j = 0, c = first_component(x, k); c < k && j < a->rank; j++, c++) {
            double root = sqrt(p.S[c] / a->scaling);
            peft_lora_start_row(x, j, root, p.rows + c * in);
            peft_lora_start_column(x, j, root, p.U + c, k);
        }
    }
    free(p.memory);
    return status;
}

/* ---- lora_ga ---- */

peft_status peft_lora_start_ga(const peft_lora_start_case *x, peft_error *error)
{
    const double gamma = 16;
    const peft_adapter *a = x->adapter;
    int64_t in = a->in_features, out = a->out_features, k = smaller(in, out);
    double *gradient = peft_lora_start_allocate(in * out + (in + out + 1) * k, error);
    if (!gradient) return PEFT_ERR_MEMORY;
    double *U = gradient + in * out, *S = U + out * k, *Vt = S + k;
    for (int64_t e = 0; e < in * out; e++) gradient[e] = (double)x->trace->gradient[e];
    peft_status status = peft_svd(out, in, gradient, U, S, Vt, error);
    for (int64_t j = 0; j < smaller(a->rank, k) && status == PEFT_OK; j++) peft_lora_start_row(x, j, 1, Vt + j * in);
    for (int64_t j = 0, c = a->rank; c < k && j < a->rank && status == PEFT_OK; j++, c++)
        peft_lora_start_column(x, j, S[c] * pow((double)out, 0.25) / sqrt(gamma), U + c, k);
    free(gradient);
    return status;
}
