/* variants/adapter.h - the adapters of a model: made from a variant's tables, whatever the variant. */
#ifndef PEFT_VARIANTS_ADAPTER_H
#define PEFT_VARIANTS_ADAPTER_H

#include "variants/variant.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Variants of this build; NULL past the end, or where no variant has the name. */
PEFT_API const peft_variant *peft_variant_at(size_t index);
PEFT_API const peft_variant *peft_variant_find(const char *name);
/* The same, with an error that names the nearest known one. */
PEFT_API peft_status peft_variant_get(const char *name, const peft_variant **variant, peft_error *error);

/* Is the table of a variant whole? PEFT_ERR_ARGUMENT names the variant and the entry that is missing or contradicts
 * another. Adapters are not made of a table that is not. */
PEFT_API peft_status peft_variant_check(const peft_variant *variant, peft_error *error);

/* Defaults in `options`, of variant->options_bytes, whatever stood there: also in what the variant shares with others
 * and its table leaves out. Release with peft_options_free. */
PEFT_API peft_status peft_variant_options_init(const peft_variant *variant, void *options, peft_error *error);

/* PEFT's files of this variant have no such field. `variant` may be NULL (no). */
PEFT_API bool peft_variant_lacks(const peft_variant *variant, const char *field);

/* A layer to adapt. The name is copied. */
typedef struct peft_layer {
    const char *module;
    int64_t in_features, out_features;
} peft_layer;

/* Makes adapters for `layers` with start values drawn from `seed`. `options` is the variant's struct, filled through
 * its table; it is copied. A start value depends on the seed, its module and its name alone. PEFT_ERR_ARGUMENT: options
 * that do not fit together, no layer or the same twice, a key of rank_pattern or alpha_pattern that matches no layer.
 */
PEFT_API peft_status peft_adapters_create(peft_adapters **all, const peft_variant *variant, const void *options,
                                          const peft_layer *layers, int64_t num_layers, uint64_t seed,
                                          peft_error *error);
PEFT_API void peft_adapters_free(peft_adapters *all); /* NULL is allowed */

/* The adapter of a module, or NULL. */
PEFT_API peft_adapter *peft_adapters_find(peft_adapters *all, const char *module);

/* Start values that depend on the base layer, for variants that have such. */
PEFT_API peft_status peft_adapter_init_from_base(peft_adapter *adapter, const peft_base_linear *base, uint64_t seed,
                                                 peft_error *error);

/* Start values that depend on the training data: vectors [count, size], one for each of some or all of its sequences,
 * of the kind that batches will have (peft_batch_embedding_means, or the caller's own). Call it before training where
 * peft_adapters_fit_size, the size that is wanted, is above 0. PEFT_ERR_ARGUMENT: no vector, or another size. */
PEFT_API int64_t peft_adapters_fit_size(const peft_adapters *all);
PEFT_API peft_status peft_adapters_fit(peft_adapters *all, const float *vectors, int64_t count, int64_t size,
                                       uint64_t seed, peft_error *error);

/* Start values that depend on a layer's work on the training data, and what these want to see of it: nothing where the
 * variant or its options have no such. peft_calibrate (peft/calibrate.h) looks, and calls the second. */
PEFT_API peft_trace_wish peft_adapters_trace_wish(const peft_adapters *all);
PEFT_API peft_status peft_adapter_init_from_trace(peft_adapter *adapter, const peft_base_linear *base,
                                                  const peft_trace *trace, double *worth, peft_error *error);

/* The adapter's update as plain LoRA factors, whose memory is the caller's (free A and B). PEFT_ERR_UNSUPPORTED where
 * it depends on the input. */
PEFT_API peft_status peft_adapter_to_lora(const peft_adapter *adapter, peft_lora_factors *factors, peft_error *error);
/* The same for one expert of a mixture of LoRAs, counted from 0: what the layer would be if the router chose it alone.
 * PEFT_ERR_UNSUPPORTED: the variant has no such experts; PEFT_ERR_ARGUMENT: the layer has not as many. */
PEFT_API peft_status peft_adapter_expert_to_lora(const peft_adapter *adapter, int64_t expert,
                                                 peft_lora_factors *factors, peft_error *error);

/* All adapters as plain LoRAs with the same updates, for programs that know no other method: *plain is the caller's
 * (peft_adapters_free). The most frequent rank and alpha become the options, others stand in rank_pattern and
 * alpha_pattern; layers of whose update nothing is left are left out. PEFT_ERR_UNSUPPORTED: the update depends on the
 * input, or nothing is left of any. */
PEFT_API peft_status peft_adapters_to_lora(const peft_adapters *all, peft_adapters **plain, peft_error *error);
/* The same for one expert of a mixture of LoRAs, on the layers that have so many; and how many experts a layer has at
 * most, 0 where none are LoRAs. */
PEFT_API peft_status peft_adapters_expert_to_lora(const peft_adapters *all, int64_t expert, peft_adapters **plain,
                                                  peft_error *error);
PEFT_API int64_t peft_adapters_num_experts(const peft_adapters *all);

/* The adapted layer, or the plain one where adapter is NULL. */
PEFT_API peft_tensor *peft_adapter_forward(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                                           peft_tensor *x, const peft_batch *batch);

/* May tokens whose output nobody reads be left out of the batch? The others' outputs, all gradients and losses stay the
 * same. NULL, the plain layer: they may. */
PEFT_API bool peft_adapter_by_token(const peft_adapter *adapter);

/* The weight V [out, in] of the adapted layer y = V x + b, or the plain one where adapter is NULL. NULL: it cannot be
 * had, or the graph has failed. */
PEFT_API peft_tensor *peft_adapter_weight(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                                          const peft_batch *batch);

/* For forward functions: a value as it counts in this graph: what is bound to it, else a leaf, which is a parameter
 * while a trained value trains. */
peft_tensor *peft_value_leaf(peft_graph *g, const peft_value *value, const peft_batch *batch);
/* The batch's starts where the value is bound to one tensor for each sequence, else NULL. */
peft_tensor *peft_value_starts(peft_graph *g, const peft_value *value, const peft_batch *batch);
/* x while not training, else with the adapter's dropout. */
peft_tensor *peft_adapter_dropout(peft_graph *g, const peft_adapter *adapter, peft_tensor *x, const peft_batch *batch);

/* Every value, layers in their order, then those of the model: `visit` gets the owner's module ("" for the model's). A
 * status other than PEFT_OK ends the walk and is returned. */
typedef peft_status peft_value_visit(void *argument, const char *module, peft_value *value, peft_error *error);
PEFT_API peft_status peft_adapters_each_value(peft_adapters *all, peft_value_visit *visit, void *argument,
                                              peft_error *error);

/* Before training. PEFT_ERR_ARGUMENT: the options have no place in so many steps. */
PEFT_API peft_status peft_adapters_check_steps(const peft_adapters *all, int64_t num_steps, peft_error *error);

/* After the optimiser's update. */
PEFT_API peft_status peft_adapters_after_step(peft_adapters *all, const peft_training_step *step, peft_error *error);

/* The notes of the variant, one call each; `note` may be NULL. */
PEFT_API void peft_adapters_notes(const peft_adapters *all, peft_note_function *note, void *argument);

/* The adapters as files hold them: *smaller is without what pruning has switched off, has the same outputs, and is the
 * caller's (peft_adapters_free). NULL: all of it is needed. */
PEFT_API peft_status peft_adapters_compact(const peft_adapters *all, peft_adapters **smaller, peft_error *error);

/* weight [out, in] and bias [out] (or NULL) with the adapter folded in, in place. PEFT_ERR_UNSUPPORTED where the
 * update depends on the input. */
PEFT_API peft_status peft_adapter_merge(const peft_adapter *adapter, float *weight, float *bias, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
