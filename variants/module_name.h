/* variants/module_name.h - names of modules: parts with dots in between, "bert.encoder.layer.0.attention.self.query".
 */
#ifndef PEFT_VARIANTS_MODULE_NAME_H
#define PEFT_VARIANTS_MODULE_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/nearest.h"

/* `name` is `suffix` or ends with "." and `suffix`. */
bool peft_module_ends_with(const char *name, const char *suffix);

/* `name` is, or lies below, a module whose name ends with `part`: bert.pooler.dense with pooler, with bert.pooler. As
 * Hugging Face PEFT has it, also within a word: pre_classifier.weight with classifier. */
bool peft_module_lies_in(const char *name, const char *part);

/* The hidden layer that a module lies in: the first part of its name that is a number. -1: outside of them, as a pooler
 * or a head. */
int64_t peft_module_layer(const char *name);

/* Fails with PEFT_ERR_ARGUMENT where `pattern` of the setting `what` matches none of `modules`: says so, guesses what
 * was meant, and lists the names that the modules end in. */
peft_status peft_fail_unmatched(peft_error *error, const char *what, const char *pattern, const peft_names *modules);

#endif
