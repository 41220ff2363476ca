/* peft/inject.h - puts adapters on the linear layers of a model, and takes them off. */
#ifndef PEFT_PEFT_INJECT_H
#define PEFT_PEFT_INJECT_H

#include "peft/target.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Everything between an open model and its training: chooses the layers (peft/target.h), makes adapters for them with
 * start values from `seed`, attaches them, and gives the modules to save, the head and what was drawn like it among
 * them (peft_model_is_drawn), and the biases asked for private copies to train. Start values that look at training data
 * (peft_adapters_trace_wish) are set by peft_train. `variant` NULL makes no adapters: *adapters is then NULL. `report`
 * as in peft_targets_find; both it and `targets` (all defaults) may be NULL. The adapters are the caller's; detach or
 * close the model before they are freed. On failure no adapter is attached. */
PEFT_API peft_status peft_inject(peft_model *model, const peft_variant *variant, const void *options,
                                 const peft_target_options *targets, uint64_t seed, peft_adapters **adapters,
                                 json_t **report, peft_error *error);

/* Gives every weight of the model a private copy to train. */
PEFT_API peft_status peft_train_all_weights(peft_model *model, peft_error *error);

/* The layer of this name, also without the encoder's part ("bert."), as files of bare encoders have it; or NULL. */
peft_linear_layer *peft_find_linear(peft_model *model, const char *module);

/* Start values that depend on the weights of the layers of the same names (variants/adapter.h). */
peft_status peft_init_from_base(peft_model *model, peft_adapters *adapters, uint64_t seed, peft_error *error);

/* Puts each adapter on the layer that has its name. PEFT_ERR_ARGUMENT, and nothing is attached: no layer has it, it has
 * an adapter already, or other sizes. */
PEFT_API peft_status peft_attach(peft_model *model, const peft_adapters *adapters, peft_error *error);
/* Leaves the model's other adapters where they are. NULL is allowed. */
PEFT_API void peft_detach(peft_model *model, const peft_adapters *adapters);

/* Is the weight of this name trained in full, by modules_to_save or as a bias? `adapters` (which may be NULL) are those
 * of bias "lora_only". */
bool peft_is_saved_weight(const peft_target_options *targets, const char *weight, const peft_adapters *adapters);

/* Does modules_to_save mean something by this name: a module with weights, or a head as PEFT names it for every model?
 */
bool peft_is_saved_module(peft_model *model, const char *name);

/* Was the model opened with its head? */
bool peft_has_head(peft_model *model);

#ifdef __cplusplus
}
#endif
#endif
