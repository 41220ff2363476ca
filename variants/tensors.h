/* variants/tensors.h - an adapter as a list of named tensors: for programs that generate adapters.
 *
 * What a generator has to emit is the list of a variant's own tables, whatever the variant:
 *
 *     peft_adapters_create(&all, variant, options, layers, num_layers, 0, &error);
 *     peft_adapters_list(all, &list, &error);           names, shapes, roles, start values
 *     peft_adapters_set(all, tensors, count, &error);   as often as wanted: the values stay in place
 *
 * In a graph a tensor that was computed there stands in for a value: peft_graph_bind(g, value, tensor) in ops/side.h.
 * It has the value's shape, or [S, shape]: one for each sequence of the batch, where spec.shared does not forbid it.
 * Gradients reach what it was computed from. What does not fit fails the graph with the tensor's name. */
#ifndef PEFT_VARIANTS_TENSORS_H
#define PEFT_VARIANTS_TENSORS_H

#include "variants/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_adapter_item {
    char *name;                /* "MODULE.VALUE", or "VALUE" where it is one for the model */
    const char *module;        /* "" for the model */
    peft_adapter_value *value; /* its spec says shape, role and start; its address is what peft_graph_bind takes */
} peft_adapter_item;

typedef struct peft_adapter_list {
    peft_adapter_item *items;
    int64_t count;
} peft_adapter_list;

/* All that files hold of the adapters: trained values and frozen ones, not the states of schedules; layers in their
 * order, then the model's. It lives no longer than the adapters. Release with peft_adapter_list_free, which takes a
 * struct of zeros too. */
PEFT_API peft_status peft_adapters_list(peft_adapters *all, peft_adapter_list *list, peft_error *error);
PEFT_API void peft_adapter_list_free(peft_adapter_list *list);

/* A tensor in memory, row-major; borrowed. */
typedef struct peft_named_tensor {
    const char *name;
    peft_shape shape;
    const float *data;
} peft_named_tensor;

/* Copies the tensors into the adapters, in place. They have to be those of the list, in any order: one that is missing,
 * unexpected or there twice (PEFT_ERR_ARGUMENT), misshapen (PEFT_ERR_SHAPE) or not finite (PEFT_ERR_NUMERIC) is an
 * error that names it, and nothing is changed. Adapters whose values depend on the base (DoRA) need
 * peft_adapter_init_from_base before the first time. */
PEFT_API peft_status peft_adapters_set(peft_adapters *all, const peft_named_tensor *tensors, size_t count,
                                       peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
