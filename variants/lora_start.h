/* variants/lora_start.h - start values of A and B: a row for each word of --init (docs/initialisation.md).
 *
 * Some starts take B A from the base weight and train it beside the rest, W - s B0 A0, with A0, B0 the start values. W
 * is never changed here: the layer computes W x - s B0 A0 x + s B A x. */
#ifndef PEFT_VARIANTS_LORA_START_H
#define PEFT_VARIANTS_LORA_START_H

#include "variants/adapter.h"

/* A layer whose A and B get their start. Both are filled as the table of values says. */
typedef struct peft_lora_start_case {
    peft_adapter *adapter;
    const peft_weight *weight; /* [out, in] */
    uint64_t seed;
    const peft_trace *trace; /* NULL: nothing was asked for */
    double *worth;           /* [rank], to be set by a start that hands out ranks */
} peft_lora_start_case;

typedef struct peft_lora_start {
    bool normal;    /* A is drawn from a normal distribution, else uniformly */
    bool subtracts; /* see above */
    bool shares_ranks;
    peft_trace_kind trace;
    peft_status (*set)(const peft_lora_start_case *x, peft_error *error); /* NULL: as drawn */
} peft_lora_start;

/* Words of --init and of --corda-method; both end with NULL. */
extern const char *const peft_lora_start_names[];
extern const char *const peft_lora_corda_methods[];

/* The row that the options of `all`, which begin with a peft_lora_options, name. */
const peft_lora_start *peft_lora_start_of(const peft_adapters *all);

/* Entries of peft_variant: they set A and B, and A0 and B0 where the start is subtracted. */
peft_status peft_lora_init(peft_adapter *adapter, const peft_base_linear *base, uint64_t seed, peft_error *error);
peft_trace_wish peft_lora_trace_wish(const peft_adapters *all);
peft_status peft_lora_init_from_trace(peft_adapter *adapter, const peft_base_linear *base, const peft_trace *trace,
                                      double *worth, peft_error *error);

/* ---- functions that set ---- */

peft_status peft_lora_start_eva(const peft_lora_start_case *x, peft_error *error);
peft_status peft_lora_start_corda(const peft_lora_start_case *x, peft_error *error);
peft_status peft_lora_start_ga(const peft_lora_start_case *x, peft_error *error);

/* What they use: the layer's weight; memory for so many numbers; whether the scale of the update can be shared between
 * A and B. */
double *peft_lora_start_allocate(int64_t count, peft_error *error);
peft_status peft_lora_start_copy_weight(const peft_lora_start_case *x, double *to, peft_error *error);
peft_status peft_lora_start_check_scale(const peft_adapter *adapter, peft_error *error);

/* Row j of A [rank, in] becomes `factor` times `row`; column j of B [out, rank] `factor` times the numbers that stand
 * `stride` apart in `column`. */
void peft_lora_start_row(const peft_lora_start_case *x, int64_t j, double factor, const double *row);
void peft_lora_start_column(const peft_lora_start_case *x, int64_t j, double factor, const double *column,
                            int64_t stride);

/* ---- the rest, variants/lora_rest.c ---- */

/* Adds A0 and B0 to the specs of A and B; returns the number of all. */
int32_t peft_lora_rest_values(peft_value_spec *specs);
/* A and B, just set, are what is subtracted. */
void peft_lora_rest_begin(peft_adapter *adapter);
/* W x + b - s B0 A0 x; W x + b where nothing is subtracted. */
peft_tensor *peft_lora_rest_forward(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                                    peft_tensor *x, const peft_batch *batch);
/* W - s B0 A0; W where nothing is subtracted. */
peft_tensor *peft_lora_rest_weight(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                                   const peft_batch *batch);
/* W + scale B A */
peft_tensor *peft_lora_add_product(peft_graph *g, peft_tensor *W, peft_tensor *A, peft_tensor *B, double scale);
/* [A; A0] and [B, -B0]. PEFT_ERR_UNSUPPORTED: what is subtracted is not known, since there was no base weight. */
peft_status peft_lora_rest_to_lora(const peft_adapter *adapter, peft_lora_factors *factors, peft_error *error);

#endif
