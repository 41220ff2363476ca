/* variants/lora_start.c - start values that need the base weight, or that no one distribution has.
 *
 * With W = U diag(S) V^T, singular values from large to small, s the scale of the update and r its rank:
 *
 *     pissa       A = (S_r / s)^1/2 V_r^T    B = U_r (S_r / s)^1/2         (Meng et al. 2024, arXiv 2404.02948, eq.
 * 2-4) olora       A = R_r    B = Q_r,   W = Q R                            (Bueyuekakyuez 2024, arXiv 2406.01775)
 *     orthogonal  A = O_1^T R_1 / 10    B = R_2 O_2 / 10                   (datta0.github.io, "rethink lora init")
 *
 * with the first r terms, rows or columns of each. The first two are then subtracted: after pissa |W - s B0 A0| is
 * S_{r+1}. Of an orthogonal matrix O [r, r], O_1 are the rows 0, 2, ... and O_2 the rows 1, 3, ..., and R_1, R_2 are
 * normal: B A = R_2 O_2 O_1^T R_1 / 100 = 0, though neither is. Directions beyond the smaller side of W, for which
 * there are no terms, start as LoRA's do. */
#include "variants/lora_start.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/linear_algebra.h"
#include "ops/rng.h"
#include "variants/lora.h"

void peft_lora_start_row(const peft_lora_start_case *x, int64_t j, double factor, const double *row)
{
    int64_t in = x->adapter->in_features;
    float *A = x->adapter->values[PEFT_LORA_A].data + j * in;
    for (int64_t i = 0; i < in; i++) A[i] = (float)(factor * row[i]);
}

void peft_lora_start_column(const peft_lora_start_case *x, int64_t j, double factor, const double *column,
                            int64_t stride)
{
    float *B = x->adapter->values[PEFT_LORA_B].data + j;
    for (int64_t o = 0; o < x->adapter->out_features; o++)
        B[o * x->adapter->rank] = (float)(factor * column[o * stride]);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

double *peft_lora_start_allocate(int64_t count, peft_error *error)
{
    double *memory = malloc((size_t)count * sizeof *memory);
    if (!memory) peft_fail(error, PEFT_ERR_MEMORY, "out of memory for start values");
    return memory;
}

peft_status peft_lora_start_check_scale(const peft_adapter *a, peft_error *error)
{
    if (a->scaling > 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT, "init: expected an alpha above 0, found %g", a->alpha);
}

peft_status peft_lora_start_copy_weight(const peft_lora_start_case *x, double *to, peft_error *error)
{
    float *copy;
    const float *W = peft_weight_values(x->weight, &copy);
    if (!W) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory for the weight");
    for (int64_t i = 0; i < x->adapter->in_features * x->adapter->out_features; i++) to[i] = (double)W[i];
    free(copy);
    return PEFT_OK;
}

/* ---- pissa ---- */

/* The first terms of the weight's singular value decomposition. */
typedef struct terms {
    int64_t count;
    double *memory; /* of all the others */
    double *weight; /* [out, in] */
    double *U;      /* [out, count] */
    double *S;      /* [count] */
    double *Vt;     /* [count, in] */
} terms;

static peft_status open_terms(terms *t, const peft_lora_start_case *x, int64_t count, peft_error *error)
{
    int64_t in = x->adapter->in_features, out = x->adapter->out_features;
    peft_status status = peft_lora_start_check_scale(x->adapter, error);
    if (status) return status;
    *t = (terms){.count = count, .memory = peft_lora_start_allocate(in * out + (in + out + 1) * count, error)};
    if (!t->memory) return PEFT_ERR_MEMORY;
    t->weight = t->memory;
    t->U = t->memory + in * out;
    t->S = t->U + out * count;
    t->Vt = t->S + count;
    status = peft_lora_start_copy_weight(x, t->weight, error);
    if (status) free(t->memory);
    return status;
}

static void take_terms(const peft_lora_start_case *x, const terms *t)
{
    for (int64_t j = 0; j < smaller(x->adapter->rank, t->count); j++) {
        double root = sqrt(t->S[j] / x->adapter->scaling);
        peft_lora_start_row(x, j, root, t->Vt + j * x->adapter->in_features);
        peft_lora_start_column(x, j, root, t->U + j, t->count);
    }
}

static peft_status pissa(const peft_lora_start_case *x, peft_error *error)
{
    terms t = {0};
    int64_t in = x->adapter->in_features, out = x->adapter->out_features;
    peft_status status = open_terms(&t, x, smaller(in, out), error);
    if (status) return status;
    status = peft_svd(out, in, t.weight, t.U, t.S, t.Vt, error);
    if (status == PEFT_OK) take_terms(x, &t);
    free(t.memory);
    return status;
}

/* The N of "pissa_niter_N". */
static int64_t num_iterations(const peft_adapters *all)
{
    return strtoll(strrchr(((const peft_lora_options *)all->options)->init, '_') + 1, NULL, 10);
}

static peft_status pissa_niter(const peft_lora_start_case *x, peft_error *error)
{
    terms t = {0};
    const peft_adapter *a = x->adapter;
    int64_t in = a->in_features, out = a->out_features;
    peft_status status = open_terms(&t, x, smaller(a->rank, smaller(in, out)), error);
    if (status) return status;
    status = peft_svd_randomised(out, in, t.weight, t.count, num_iterations(a->all), x->seed,
                                 peft_value_stream(a->module, "pissa"), t.U, t.S, t.Vt, error);
    if (status == PEFT_OK) take_terms(x, &t);
    free(t.memory);
    return status;
}

/* ---- olora ---- */

static peft_status olora(const peft_lora_start_case *x, peft_error *error)
{
    int64_t in = x->adapter->in_features, out = x->adapter->out_features, k = smaller(in, out);
    double *memory = peft_lora_start_allocate(in * out + (in + out) * k, error);
    if (!memory) return PEFT_ERR_MEMORY;
    double *Q = memory + in * out, *R = Q + out * k;
    peft_status status = peft_lora_start_copy_weight(x, memory, error);
    if (status == PEFT_OK) status = peft_qr(out, in, memory, Q, R, error);
    for (int64_t j = 0; j < smaller(x->adapter->rank, k) && status == PEFT_OK; j++) {
        peft_lora_start_row(x, j, 1, R + j * in);
        peft_lora_start_column(x, j, 1, Q + j, k);
    }
    free(memory);
    return status;
}

/* ---- orthogonal ---- */

static peft_status draw_normal(const peft_lora_start_case *x, const char *name, int64_t count, double *to,
                               peft_error *error)
{
    float *draws = malloc((size_t)count * sizeof *draws);
    if (!draws) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory for start values");
    peft_random_normal(draws, (size_t)count, 0, 1, x->seed, peft_value_stream(x->adapter->module, name));
    for (int64_t i = 0; i < count; i++) to[i] = (double)draws[i];
    free(draws);
    return PEFT_OK;
}

/* side [r, width] = O_k^T R_k, with the rows of the other half of O left out by rows of zeros in R. */
static peft_status draw_side(const peft_lora_start_case *x, const double *O, int64_t first, const char *name,
                             int64_t width, double *R, double *side, peft_error *error)
{
    int64_t r = x->adapter->rank;
    peft_status status = draw_normal(x, name, r * width, R, error);
    if (status) return status;
    for (int64_t j = 1 - first; j < r; j += 2) memset(R + j * width, 0, (size_t)width * sizeof *R);
    peft_product(r, width, r, O, true, R, false, 0, side);
    return PEFT_OK;
}

static peft_status orthogonal(const peft_lora_start_case *x, peft_error *error)
{
    const double tenth = 0.1;
    const int64_t r = x->adapter->rank, in = x->adapter->in_features, out = x->adapter->out_features;
    const int64_t widest = in > out ? in : out;
    double *memory = peft_lora_start_allocate(2 * r * r + 2 * r * widest, error);
    if (!memory) return PEFT_ERR_MEMORY;
    double *drawn = memory, *O = drawn + r * r, *R = O + r * r, *side = R + r * widest;
    peft_status status = draw_normal(x, "orthogonal", r * r, drawn, error);
    if (status == PEFT_OK) status = peft_qr(r, r, drawn, O, NULL, error);
    if (status == PEFT_OK) status = draw_side(x, O, 0, "orthogonal.A", in, R, side, error);
    for (int64_t j = 0; j < r && status == PEFT_OK; j++) peft_lora_start_row(x, j, tenth, side + j * in);
    if (status == PEFT_OK) status = draw_side(x, O, 1, "orthogonal.B", out, R, side, error);
    for (int64_t j = 0; j < r && status == PEFT_OK; j++) peft_lora_start_column(x, j, tenth, side + j * out, 1);
    free(memory);
    return status;
}

/* ---- the table ---- */

enum { KAIMING, GAUSSIAN, ORTHOGONAL, PISSA, PISSA_NITER, OLORA, EVA, CORDA, LORA_GA, NUM_STARTS };

const char *const peft_lora_start_names[NUM_STARTS + 1] = {
    [KAIMING] = "kaiming", [GAUSSIAN] = "gaussian", [ORTHOGONAL] = "orthogonal",
    [PISSA] = "pissa",     [OLORA] = "olora",       [PISSA_NITER] = "pissa_niter_N",
    [EVA] = "eva",         [CORDA] = "corda",       [LORA_GA] = "lora_ga"};

static const peft_lora_start starts[NUM_STARTS] = {
    [GAUSSIAN] = {.normal = true},
    [ORTHOGONAL] = {.set = orthogonal},
    [PISSA] = {.subtracts = true, .set = pissa},
    [PISSA_NITER] = {.subtracts = true, .set = pissa_niter},
    [OLORA] = {.subtracts = true, .set = olora},
    [EVA] = {.shares_ranks = true, .trace = PEFT_TRACE_INPUTS, .set = peft_lora_start_eva},
    [CORDA] = {.subtracts = true, .trace = PEFT_TRACE_INPUTS, .set = peft_lora_start_corda},
    [LORA_GA] = {.subtracts = true, .trace = PEFT_TRACE_GRADIENT, .set = peft_lora_start_ga},
};

const peft_lora_start *peft_lora_start_of(const peft_adapters *all)
{
    const char *init = ((const peft_lora_options *)all->options)->init;
    int k = init ? NUM_STARTS - 1 : KAIMING;
    while (k > 0 && !peft_option_is_choice(peft_lora_start_names[k], init)) k--;
    return &starts[k];
}

static peft_status set(const peft_lora_start *start, const peft_lora_start_case *x, peft_error *error)
{
    peft_status status = start->set(x, error);
    if (status) return peft_fail_in(error, status, x->adapter->module);
    if (start->subtracts) peft_lora_rest_begin(x->adapter);
    return PEFT_OK;
}

peft_status peft_lora_init(peft_adapter *a, const peft_base_linear *base, uint64_t seed, peft_error *error)
{
    const peft_lora_start *start = peft_lora_start_of(a->all);
    if (!start->set || start->trace != PEFT_TRACE_NOTHING) return PEFT_OK;
    return set(start, &(peft_lora_start_case){a, base->weight, seed, NULL, NULL}, error);
}

peft_trace_wish peft_lora_trace_wish(const peft_adapters *all)
{
    const peft_lora_options *options = all->options;
    const peft_lora_start *start = peft_lora_start_of(all);
    return (peft_trace_wish){start->trace, options->init_batches, start->shares_ranks ? options->eva_rho : 1};
}

/* NOLINTNEXTLINE(readability-non-const-parameter): it is written through the case */
peft_status peft_lora_init_from_trace(peft_adapter *a, const peft_base_linear *base, const peft_trace *trace,
                                      double *worth, peft_error *error)
{
    const peft_lora_start_case x = {a, base->weight, 0, trace, worth};
    return set(peft_lora_start_of(a->all), &x, error);
}
