/* variants/budget.h - rank budgets over all adapters, as AdaLoRA has them (Zhang et al. 2023, arXiv 2303.10512).
 *
 * An update is a sum of directions, B diag(E) A, and its budget a number of directions for the whole model. Each
 * direction has a score, the sum of how much its number in E, its row of A and its column of B matter:
 *
 *     I = |w dL/dw|
 *     Ia = beta1 Ia + (1 - beta1) I        Ua = beta2 Ua + (1 - beta2) |I - Ia|              (1)
 *     score_j = (Ia Ua)(E_j) + mean of (Ia Ua)(A_j,:) + mean of (Ia Ua)(B_:,j)               (2)
 *
 * After step t of T, with n layers, b0 directions at the start, bT = n target_rank of them at the end:
 *
 *     t <= t_i                    b0, nothing is masked
 *     t_i < t < T - t_f           b(t) = bT + (b0 - bT) (1 - (t - t_i) / (T - t_f - t_i))^3, rounded down   (3)
 *     T - t_f <= t                bT; who is left is settled at T - t_f
 *
 * The b0 - b(t) directions with the lowest scores get E_j = 0; of equal scores the earlier layer and direction goes
 * first. In the middle phase that happens every delta_t steps, and between them such a direction may come back, since
 * its E_j has a gradient and moments; in the last phase it stays 0. Scores are averaged before the last phase only. */
#ifndef PEFT_VARIANTS_BUDGET_H
#define PEFT_VARIANTS_BUDGET_H

#include <float.h>
#include <math.h>

#include "variants/adapter.h"

/* The options of a variant with a budget begin with these. */
typedef struct peft_budget_options {
    peft_common_options common; /* rank: directions of a layer at the start; its patterns are not used */
    int64_t target_rank;        /* of a layer, on average, at the end; 0: two thirds of the rank, rounded up */
    int64_t tinit, tfinal, delta_t;
    int64_t total_step; /* 0: as many as the run has */
    double beta1, beta2;
    double orth_reg_weight;
    json_t *rank_pattern; /* "MODULE.lora_E": [true, false, ...]: which of the first directions a file still has */
} peft_budget_options;

extern const peft_json_name peft_budget_json_names[];

/* Rows of an option table for them. */
/* clang-format off */
#define PEFT_BUDGET_OPTION_ROWS(rank_text, alpha_text, weight_text)                                                    \
    PEFT_RANK_OPTION_ROWS(rank_text, alpha_text),                                                                      \
    {.name = "target_rank", .type = PEFT_OPTION_INT, .offset = offsetof(peft_budget_options, target_rank),             \
     .initial = "0", .max = PEFT_MAX_RANK, .placeholder = "N",                                                         \
     .help = "rank of an update at the end, on average; 0: two thirds of its rank", .group = "Budget"},                \
    {.name = "tinit", .type = PEFT_OPTION_INT, .offset = offsetof(peft_budget_options, tinit),                         \
     .initial = "-1", .min = -1, .max = HUGE_VAL, .placeholder = "N",                                                  \
     .help = "steps before pruning begins; -1: a tenth of all", .group = "Budget"},                                    \
    {.name = "tfinal", .type = PEFT_OPTION_INT, .offset = offsetof(peft_budget_options, tfinal),                       \
     .initial = "-1", .min = -1, .max = HUGE_VAL, .placeholder = "N",                                                  \
     .help = "steps after pruning has ended; -1: half of all", .group = "Budget"},                                     \
    {.name = "delta_t", .type = PEFT_OPTION_INT, .offset = offsetof(peft_budget_options, delta_t),                     \
     .initial = "1", .min = 1, .max = HUGE_VAL, .placeholder = "N",                                                    \
     .help = "steps from one pruning to the next", .group = "Budget"},                                                 \
    {.name = "beta1", .type = PEFT_OPTION_FLOAT, .offset = offsetof(peft_budget_options, beta1),                       \
     .initial = "0.85", .min = DBL_MIN, .max = 1 - DBL_EPSILON, .placeholder = "X",                                    \
     .help = "of the average of sensitivities", .group = "Budget"},                                                    \
    {.name = "beta2", .type = PEFT_OPTION_FLOAT, .offset = offsetof(peft_budget_options, beta2),                       \
     .initial = "0.85", .min = DBL_MIN, .max = 1 - DBL_EPSILON, .placeholder = "X",                                    \
     .help = "of the average of their uncertainties", .group = "Budget"},                                              \
    {.name = "orth_reg_weight", .type = PEFT_OPTION_FLOAT, .offset = offsetof(peft_budget_options, orth_reg_weight),   \
     .initial = (weight_text), .max = HUGE_VAL, .placeholder = "X",                                                    \
     .help = "weight of the penalty that keeps directions orthonormal", .group = "Budget"},                            \
    {.name = "total_step", .type = PEFT_OPTION_INT, .offset = offsetof(peft_budget_options, total_step),               \
     .max = HUGE_VAL, .placeholder = "N", .help = "steps that the budget is spread over; 0: those of the run",         \
     .group = "Budget"},                                                                                               \
    {.name = "rank_pattern", .type = PEFT_OPTION_JSON, .offset = offsetof(peft_budget_options, rank_pattern),          \
     .placeholder = "JSON", .help = "directions that pruning has left to a file's modules", .group = "Budget"}
/* clang-format on */

/* Where a variant's values stand. */
typedef struct peft_budget_values {
    const char *key; /* of rank_pattern, behind the module: "lora_E" */
    int32_t E;       /* [r, 1] */
    int32_t rows;    /* [r, ...]: one row for each direction */
    int32_t columns; /* [..., r] */
    int32_t state;   /* the first of PEFT_BUDGET_STATE */
} peft_budget_values;

/* The state of a layer: averages (1) of E, rows and columns, and who is left. */
enum { PEFT_BUDGET_STATE = 7 };

/* Writes PEFT_BUDGET_STATE specs behind those of the values that they are about. */
void peft_budget_state_values(const peft_budget_values *v, peft_value_spec *specs);

/* Who is left of a layer's directions: [r], 1, or 0 once that is settled. */
float *peft_budget_kept(const peft_budget_values *v, const peft_adapter *adapter);

/* s = alpha / (rank + 1e-5), with alpha = rank where it is 0 or less; the rank before anything was pruned. */
double peft_budget_scaling(const peft_adapter *adapter);

/* Entries of peft_variant, for a variant that hands over its table. */
peft_status peft_budget_check_steps(const peft_adapters *all, int64_t num_steps, peft_error *error);
peft_status peft_budget_arrange(const peft_budget_values *v, peft_adapters *all, peft_error *error);
peft_status peft_budget_after_step(const peft_budget_values *v, peft_adapters *all, const peft_training_step *step,
                                   peft_error *error);
peft_status peft_budget_compact(const peft_budget_values *v, const peft_adapters *all, peft_adapters **smaller,
                                peft_error *error);

#endif
