/* variants/values.h - memory and start values of what a variant's tables declare. For the creation of adapters. */
#ifndef PEFT_VARIANTS_VALUES_H
#define PEFT_VARIANTS_VALUES_H

#include "variants/adapter.h"

/* Allocates all values of `all` and the gradients of the trained ones, zeroed, and points each value at its place. */
peft_status peft_values_allocate(peft_adapters *all, peft_error *error);

/* Fills all values as their specs say. */
void peft_values_draw(peft_adapters *all, uint64_t seed);

/* The stream of random numbers (ops/rng.h) that belongs to something of a module. */
uint64_t peft_value_stream(const char *module, const char *name);

#endif
