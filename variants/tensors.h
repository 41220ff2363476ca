/* variants/tensors.h - an adapter as a list of named tensors: for programs that generate adapters.
 *
 * What a generator has to emit is the value set of the adapters, whatever the variant, without the states of schedules:
 *
 *     peft_adapters_create(&all, variant, options, layers, num_layers, 0, &error);
 *     all->set.items[k]                                 names, shapes, roles, start values (io/value_set.h)
 *     peft_adapters_set(all, tensors, count, &error);   as often as wanted: the values stay in place
 *
 * In a graph a tensor that was computed there stands in for a value: peft_graph_bind(g, value, tensor) in ops/side.h.
 * It has the value's shape, or [S, shape]: one for each sequence of the batch. The result is then what S runs with one
 * adapter each would give, of every variant; where the formula allows it as grouped products, else one sequence after
 * another. What each of these runs adds to the loss counts 1 / S. Gradients reach what the tensor was computed from.
 * What does not fit fails the graph with the tensor's name. */
#ifndef PEFT_VARIANTS_TENSORS_H
#define PEFT_VARIANTS_TENSORS_H

#include "variants/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A tensor in memory, row-major; borrowed. */
typedef struct peft_named_tensor {
    const char *name;
    peft_shape shape;
    const float *data;
} peft_named_tensor;

/* Copies the tensors into the adapters, in place. They have to be those of the set that files hold, trained values and
 * frozen ones, in any order: one that is missing, unexpected or there twice (PEFT_ERR_ARGUMENT), misshapen
 * (PEFT_ERR_SHAPE) or not finite (PEFT_ERR_NUMERIC) is an error that names it, and nothing is changed. Adapters whose
 * values depend on the base (DoRA) need peft_adapter_init_from_base before the first time. */
PEFT_API peft_status peft_adapters_set(peft_adapters *all, const peft_named_tensor *tensors, size_t count,
                                       peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
