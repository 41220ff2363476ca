/* variants/router.h - the router of a mixture of experts: what each expert counts for each token.
 *
 *     z = R x + rb          p = softmax(z)          [T, E]
 *
 *     gate = p                                all experts
 *     gate = p on the k largest, else 0       top_k, not renormalised
 *     gate = softmax of the k largest z       top_k, renormalised: p / (sum of the p that are kept)
 *
 * R [E, in] reads the layer's input without the adapter's dropout; while training each of its features may be
 * multiplied with noise from 1 - jitter to 1 + jitter (Switch Transformers: Fedus et al. 2022, arXiv 2101.03961). With
 * the mean p' of p over all tokens of the batch, these losses keep the experts in use:
 *
 *     entropy      sum_e p'_e log p'_e                  least (-log E) where all are used alike
 *     switch       E sum_e f_e p'_e, f_e the share of expert e among the picks, a constant (the same paper)
 *     z            mean_t (log sum_e exp z_e)^2         keeps z small (ST-MoE: Zoph et al. 2022, arXiv 2202.08906) */
#ifndef PEFT_VARIANTS_ROUTER_H
#define PEFT_VARIANTS_ROUTER_H

#include <math.h>

#include "variants/adapter.h"

/* What a variant's options begin with. */
typedef struct peft_router_options {
    peft_common_options common;
    int64_t num_experts; /* of every layer; unless the variant says otherwise */
    int64_t top_k;       /* 0: all experts */
    bool renormalize, router_bias;
    double jitter;
    char *balance_loss;
    double balance_coef, z_loss_coef;
} peft_router_options;

enum { PEFT_MAX_EXPERTS = 4096 };

extern const char *const peft_router_balance_losses[]; /* none, entropy, switch */

#define PEFT_ROUTER_NUM_EXPERTS_ROW(initial_text)                                                                      \
    {                                                                                                                  \
        .name = "num_experts", .type = PEFT_OPTION_INT, .offset = offsetof(peft_router_options, num_experts),          \
        .initial = (initial_text), .min = 1, .max = PEFT_MAX_EXPERTS, .placeholder = "N",                              \
        .help = "experts of each layer", .group = "Adapter"                                                            \
    }

/* Rows of an option table for the rest. */
#define PEFT_ROUTER_OPTION_ROWS(top_k_text)                                                                            \
    {.name = "top_k",                                                                                                  \
     .type = PEFT_OPTION_INT,                                                                                          \
     .offset = offsetof(peft_router_options, top_k),                                                                   \
     .initial = (top_k_text),                                                                                          \
     .max = PEFT_MAX_EXPERTS,                                                                                          \
     .placeholder = "N",                                                                                               \
     .help = "experts that count for a token, the most probable ones; 0: all",                                         \
     .group = "Adapter"},                                                                                              \
        {.name = "renormalize",                                                                                        \
         .type = PEFT_OPTION_BOOL,                                                                                     \
         .offset = offsetof(peft_router_options, renormalize),                                                         \
         .initial = "true",                                                                                            \
         .help = "probabilities of the experts that count add up to one",                                              \
         .group = "Adapter"},                                                                                          \
        {.name = "router_bias",                                                                                        \
         .type = PEFT_OPTION_BOOL,                                                                                     \
         .offset = offsetof(peft_router_options, router_bias),                                                         \
         .help = "router with a bias",                                                                                 \
         .group = "Adapter"},                                                                                          \
        {.name = "jitter",                                                                                             \
         .type = PEFT_OPTION_FLOAT,                                                                                    \
         .offset = offsetof(peft_router_options, jitter),                                                              \
         .max = 0.999,                                                                                                 \
         .placeholder = "X",                                                                                           \
         .help = "while training, factors from 1 - X to 1 + X on the router's input",                                  \
         .group = "Adapter"},                                                                                          \
        {.name = "balance_loss",                                                                                       \
         .type = PEFT_OPTION_STRING,                                                                                   \
         .offset = offsetof(peft_router_options, balance_loss),                                                        \
         .initial = "none",                                                                                            \
         .choices = peft_router_balance_losses,                                                                        \
         .placeholder = "NAME",                                                                                        \
         .help = "loss that keeps all experts in use",                                                                 \
         .group = "Adapter"},                                                                                          \
        {.name = "balance_coef",                                                                                       \
         .type = PEFT_OPTION_FLOAT,                                                                                    \
         .offset = offsetof(peft_router_options, balance_coef),                                                        \
         .initial = "0.01",                                                                                            \
         .max = HUGE_VAL,                                                                                              \
         .placeholder = "X",                                                                                           \
         .help = "weight of that loss, in each layer",                                                                 \
         .group = "Adapter"},                                                                                          \
    {                                                                                                                  \
        .name = "z_loss_coef", .type = PEFT_OPTION_FLOAT, .offset = offsetof(peft_router_options, z_loss_coef),        \
        .max = HUGE_VAL, .placeholder = "X", .help = "weight of the loss that keeps the router's scores small",        \
        .group = "Adapter"                                                                                             \
    }

/* A variant's check and arrange: refuses options that leave a router without a gradient, and gives every layer
 * `num_experts` experts. */
peft_status peft_router_check(const void *options, peft_error *error);
peft_status peft_router_arrange(peft_adapters *all, peft_error *error);

/* Names and start values of a variant's router. */
typedef struct peft_router_spec {
    const char *weight, *bias;
    peft_start start;
    double spread;
} peft_router_spec;

/* Writes the specs of the router's values, weight and maybe bias, and returns their number. */
int32_t peft_router_values(const peft_adapter *adapter, const peft_router_spec *router, peft_value_spec *specs);

/* The gate [T, E] for x [T, in]; `values` are the layer's of the specs above. While training it adds the losses, and
 * observes "load", each expert's share of the picks (of p, where all count) [E], and "router_entropy" [1], the mean
 * over tokens of the entropy of p. */
peft_tensor *peft_router_gate(peft_graph *g, const peft_adapter *adapter, const peft_value *values, peft_tensor *x,
                              const peft_batch *batch);

#endif
