/* tests/generators/generated_model.h - a few linear layers with adapters of any variant, and a network that emits
 * these.
 */
#ifndef PEFT_TESTS_GENERATORS_GENERATED_MODEL_H
#define PEFT_TESTS_GENERATORS_GENERATED_MODEL_H

#include "generators/t2l/t2l.h"
#include "ops/side.h"

enum {
    MODEL_LAYERS = 4,
    MODEL_TASKS = 3,  /* each is one sequence of a batch */
    MODEL_LENGTH = 3, /* tokens of a sequence */
    MODEL_TOKENS = MODEL_TASKS * MODEL_LENGTH,
    MODEL_IN = 6,
    MODEL_MOST = 9, /* out features at most */
    MODEL_VECTOR = 5,
    MODEL_KINDS = 4 /* at most: MoLA's layers have numbers of experts of their own */
};

typedef struct generated_model {
    peft_adapters *adapters;
    peft_t2l net;
    float weights[MODEL_LAYERS][MODEL_MOST * MODEL_IN], biases[MODEL_LAYERS][MODEL_MOST];
    float x[MODEL_TOKENS * MODEL_IN], targets[MODEL_LAYERS][MODEL_TOKENS * MODEL_MOST];
    float vectors[MODEL_TASKS * MODEL_VECTOR];
    int32_t starts[MODEL_TASKS + 1];
    peft_weight weight[MODEL_LAYERS], bias[MODEL_LAYERS];
    peft_base_linear base[MODEL_LAYERS];
} generated_model;

int num_variants(void);

/* Adapters of the variant of this number, with its start values, and a network; `text` are settings of the network,
 * "head=M;start=zero". */
void model_open(generated_model *model, int variant, const char *text);
void model_close(generated_model *model);

/* A network with these settings for these adapters, or why there is none. */
peft_status net_open(peft_t2l *net, peft_adapters *adapters, const char *text, int64_t vector_size, peft_error *error);

/* The loss of all layers for a batch of all tasks, each with the adapter that the network makes of its vector. */
peft_tensor *model_loss(peft_graph *g, const generated_model *model, peft_tensor *vectors, peft_dtype dtype,
                        bool training);

/* The same in double, the trained values moved by `step` along a direction that `salt` chooses; and, unless it is NULL,
 * the derivative along it by the backward pass. */
double model_loss_at(const generated_model *model, double step, uint64_t salt, double *derivative);

/* What the network emits and finishes for some descriptions: the caller frees each tensor. */
void model_emit(const generated_model *model, const peft_t2l *net, const float *vectors, int64_t descriptions,
                int threads, float *tensors[MODEL_KINDS][PEFT_MAX_VALUES]);
void free_tensors(float *tensors[MODEL_KINDS][PEFT_MAX_VALUES]);

#endif
