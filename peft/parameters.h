/* peft/parameters.h - everything that a run trains, in one list: adapters, head, and what else was asked for. */
#ifndef PEFT_PEFT_PARAMETERS_H
#define PEFT_PEFT_PARAMETERS_H

#include "models/model.h"
#include "ops/optimizer.h"

typedef struct peft_trained {
    char *name; /* "bert.encoder.layer.0.attention.self.query.lora_A.weight" */
    peft_shape shape;
    int64_t count;
    float *value, *gradient; /* gradient NULL: state of a schedule, not trained itself */
    peft_role role;
    bool no_decay;               /* weight decay leaves it alone */
    double learning_rate_factor; /* of the run's learning rate; 0: 1 */
} peft_trained;

typedef struct peft_parameters {
    peft_trained *items; /* adapters' values (frozen ones are left out) in their order, then the model's */
    int64_t num_items;
    int64_t num_trained; /* floats that the optimiser changes */
} peft_parameters;

/* `adapters` may be NULL. Values and gradients stay theirs and must outlive the list. */
peft_status peft_parameters_collect(peft_parameters *parameters, peft_adapters *adapters, peft_model *model,
                                    peft_error *error);
void peft_parameters_free(peft_parameters *parameters);

/* AdamW over what has a gradient, in the order of the list, with the threads of `ctx` (NULL: none). `up_ratio` is that
 * of LoRA+ (Hayou et al. 2024, arXiv 2402.12354): up sides of adapters, and vectors (biases among them), learn so many
 * times faster; 1: all alike. */
peft_status peft_parameters_optimizer(const peft_parameters *parameters, peft_context *ctx, double weight_decay,
                                      double up_ratio, peft_optimizer **optimizer, peft_error *error);

void peft_parameters_clear_gradients(const peft_parameters *parameters);

/* All values one after another, into memory of peft_parameters_floats floats, and back. */
int64_t peft_parameters_floats(const peft_parameters *parameters);
void peft_parameters_copy_out(const peft_parameters *parameters, float *values);
void peft_parameters_copy_in(const peft_parameters *parameters, const float *values);

#endif
