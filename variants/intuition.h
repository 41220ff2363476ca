/* variants/intuition.h - a gate of rank-1 experts from a router and from what is known of the whole sequence.
 *
 *     c_q = C e_q                   [S, n]      how near sequence q is to each of n centroids
 *     p = softmax(R x)              [T, n]
 *     o = sigmoid(100 w_o)          M = sigmoid(100 w_M)          one number each
 *     gate_t = M (n o p_t + kappa (1 - o) c_q(t))                 (Liu et al. 2024, arXiv 2404.08985, authors' program)
 *
 * e_q is the intuition: a vector that the caller gives with the batch, or, built in, the mean of the prompt's input
 * embeddings, centred and of length one. C [n, size] belongs to the model, all else to a layer. R, w_o and w_M start at
 * zero: the router is undecided and o = M = 1/2. The factor 100 makes w_o and w_M move fast, so they have a learning
 * rate of their own. The authors have 32 for n, which is their number of experts, and 4 for kappa. */
#ifndef PEFT_VARIANTS_INTUITION_H
#define PEFT_VARIANTS_INTUITION_H

#include <math.h>

#include "variants/adapter.h"

/* What a variant's options begin with. */
typedef struct peft_intuition_options {
    peft_common_options common;
    char *intuition;     /* embeddings, vectors */
    char *centroids;     /* trained, kmeans */
    int64_t vector_size; /* of e; 0: the smallest input of the adapted layers, which is the model's hidden size */
    double kappa;
    double scalar_rate; /* of w_o and w_M, as a factor of the learning rate */
} peft_intuition_options;

extern const char *const peft_intuition_sources[], *const peft_intuition_centroids[];

/* Rows of an option table for them. */
#define PEFT_INTUITION_OPTION_ROWS                                                                                     \
    {.name = "alpha",                                                                                                  \
     .elsewhere = "lora_alpha",                                                                                        \
     .type = PEFT_OPTION_FLOAT,                                                                                        \
     .offset = offsetof(peft_common_options, alpha),                                                                   \
     .initial = "1",                                                                                                   \
     .placeholder = "X",                                                                                               \
     .help = "scale of the update",                                                                                    \
     .group = "Adapter"},                                                                                              \
        {.name = "dropout",                                                                                            \
         .elsewhere = "lora_dropout",                                                                                  \
         .type = PEFT_OPTION_FLOAT,                                                                                    \
         .offset = offsetof(peft_common_options, dropout),                                                             \
         .initial = "0",                                                                                               \
         .max = 0.999,                                                                                                 \
         .placeholder = "X",                                                                                           \
         .help = "dropout on the experts' input while training",                                                       \
         .group = "Adapter"},                                                                                          \
        {.name = "intuition",                                                                                          \
         .type = PEFT_OPTION_STRING,                                                                                   \
         .offset = offsetof(peft_intuition_options, intuition),                                                        \
         .initial = "embeddings",                                                                                      \
         .choices = peft_intuition_sources,                                                                            \
         .placeholder = "NAME",                                                                                        \
         .help = "what is known of a sequence: the mean of its input embeddings, or the batch's vectors",              \
         .group = "Adapter"},                                                                                          \
        {.name = "centroids",                                                                                          \
         .type = PEFT_OPTION_STRING,                                                                                   \
         .offset = offsetof(peft_intuition_options, centroids),                                                        \
         .initial = "trained",                                                                                         \
         .choices = peft_intuition_centroids,                                                                          \
         .placeholder = "NAME",                                                                                        \
         .help = "what a sequence is compared with: learned, or the centres of the training sequences' clusters",      \
         .group = "Adapter"},                                                                                          \
        {.name = "vector_size",                                                                                        \
         .type = PEFT_OPTION_INT,                                                                                      \
         .offset = offsetof(peft_intuition_options, vector_size),                                                      \
         .max = 1 << 20,                                                                                               \
         .placeholder = "N",                                                                                           \
         .help = "numbers in a sequence's vector; 0: as many as the smallest adapted layer has inputs",                \
         .group = "Adapter"},                                                                                          \
        {.name = "kappa",                                                                                              \
         .type = PEFT_OPTION_FLOAT,                                                                                    \
         .offset = offsetof(peft_intuition_options, kappa),                                                            \
         .initial = "4",                                                                                               \
         .placeholder = "X",                                                                                           \
         .help = "weight of the intuition beside the router",                                                          \
         .group = "Adapter"},                                                                                          \
    {                                                                                                                  \
        .name = "scalar_rate", .type = PEFT_OPTION_FLOAT, .offset = offsetof(peft_intuition_options, scalar_rate),     \
        .initial = "0.05", .min = DBL_MIN, .max = HUGE_VAL, .placeholder = "X",                                        \
        .help = "learning rate of the two scalars of a gate, as a factor of that of the rest", .group = "Adapter"      \
    }

/* Names of a variant's values. */
typedef struct peft_intuition_names {
    const char *router, *omega, *main, *centroids;
} peft_intuition_names;

enum { PEFT_INTUITION_VALUES = 3 };

/* Writes the specs of a layer's gate of n experts, and of the model's centroids; returns their number. */
int32_t peft_intuition_layer_values(const peft_adapter *adapter, const peft_intuition_names *names, int64_t n,
                                    peft_value_spec *specs);
int32_t peft_intuition_model_values(const peft_adapters *all, const peft_intuition_names *names, int64_t n,
                                    peft_value_spec *specs);

/* A variant's fit: the centroids, where they are not trained, become the centres of the vectors' clusters. */
peft_status peft_intuition_fit(peft_adapters *all, const float *vectors, int64_t count, uint64_t seed,
                               peft_error *error);
int64_t peft_intuition_fit_size(const peft_adapters *all);

/* The gate [T, n] for x [T, in]; `values` are the layer's of the specs above. While training it observes "gate", the
 * mean over tokens [n], and "omega" and "main" [1]. */
peft_tensor *peft_intuition_gate(peft_graph *g, const peft_adapter *adapter, const peft_value *values, peft_tensor *x,
                                 const peft_batch *batch);

#endif
