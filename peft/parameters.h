/* peft/parameters.h - everything that a run trains: the values of one or several sets, in one list. */
#ifndef PEFT_PEFT_PARAMETERS_H
#define PEFT_PEFT_PARAMETERS_H

#include "io/value_set.h"
#include "models/model.h"
#include "ops/optimizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_parameters {
    peft_value_item *items; /* of all sets in their order, without frozen values; names and values are the sets' */
    int64_t num_items;
    int64_t num_trained; /* floats that the optimiser changes */
} peft_parameters;

/* The sets must outlive the list. PEFT_ERR_ARGUMENT: two values have the same name, or none is trained. */
PEFT_API peft_status peft_parameters_collect(peft_parameters *parameters, const peft_value_set *const *sets,
                                             int64_t num_sets, peft_error *error);
PEFT_API void peft_parameters_free(peft_parameters *parameters);

/* The weights of a model that are trained themselves (the head, and what peft_model_train was told), as a set: the
 * memory is the model's. Release with peft_value_set_free, before the model is closed. */
PEFT_API peft_status peft_model_values(peft_value_set *set, peft_model *model, peft_error *error);

/* AdamW over what has a gradient, in the order of the list, with the threads of `ctx` (NULL: none). `up_ratio` is that
 * of LoRA+ (Hayou et al. 2024, arXiv 2402.12354): up sides of adapters, and vectors (biases among them), learn so many
 * times faster; 1: all alike. */
peft_status peft_parameters_optimizer(const peft_parameters *parameters, peft_context *ctx, double weight_decay,
                                      double up_ratio, peft_optimizer **optimizer, peft_error *error);

void peft_parameters_clear_gradients(const peft_parameters *parameters);

/* All values one after another, into memory of peft_parameters_floats floats, and back. */
PEFT_API int64_t peft_parameters_floats(const peft_parameters *parameters);
PEFT_API void peft_parameters_copy_out(const peft_parameters *parameters, float *values);
PEFT_API void peft_parameters_copy_in(const peft_parameters *parameters, const float *values);

#ifdef __cplusplus
}
#endif
#endif
