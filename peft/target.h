/* peft/target.h - which linear layers of a model get an adapter, by the rules of Hugging Face PEFT.
 *
 * For a module's name, the first rule that applies decides:
 *
 *     1. exclude_modules       a string: expression for the whole name; a list: names, or their ends from a dot on
 *     2. modules_to_save       the module is one of these, or lies below one: it is trained in full instead
 *     3. target_modules        as exclude_modules; "all-linear": every linear layer but the head's output; none: what
 *                              is usual for the model
 *     4. layers_to_transform   with lists only: the first number in the name, behind layers_pattern where given; a
 * whole name in target_modules is taken whatever its number
 *
 * Unlike there, an item or a pattern that matches nothing is an error, unless allow_unmatched says otherwise. */
#ifndef PEFT_PEFT_TARGET_H
#define PEFT_PEFT_TARGET_H

#include "models/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_target_options {
    json_t *target_modules, *exclude_modules;     /* a string or a list of strings */
    json_t *layers_to_transform, *layers_pattern; /* a number or a list of numbers; a string or a list of strings */
    json_t *modules_to_save;                      /* a list of names; the head is always among them */
    char *bias;                                   /* none; all, lora_only (VeRA: vera_only): biases are trained too */
    bool allow_unmatched; /* items and patterns that match nothing are no error, nor is it where no layer is left */
} peft_target_options;

PEFT_API extern const peft_option peft_target_option_table[];

/* Sets selected[i] for linears[i]. `default_targets` ends with NULL. The report, which may be NULL, becomes a new array
 * of what each item and pattern matched (json_decref):
 *
 *     {"setting": "target_modules", "pattern": "query", "modules": ["bert.encoder.layer.0.attention.self.query", ...]}
 *
 * and a number of layers_to_transform in which no target lies, as a pattern without modules.
 *
 * PEFT_ERR_ARGUMENT: malformed settings; an item or a pattern that matches no layer; no layer left. */
PEFT_API peft_status peft_targets_find(const peft_linear_layer *linears, int64_t num_linears,
                                       const char *const *default_targets, const peft_target_options *options,
                                       bool *selected, json_t **report, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
