/* tests/generators/golden.h - values of other programs in a safetensors file: w.NAME, in.NAME, out.NAME, grad.NAME. */
#ifndef PEFT_TESTS_GENERATORS_GOLDEN_H
#define PEFT_TESTS_GENERATORS_GOLDEN_H

#include "io/safetensors.h"
#include "io/value_set.h"

/* Of tests/fixtures/goldens; the test fails where it is not there. Close it with peft_safetensors_close. */
peft_safetensors *golden_open(const char *path);
const peft_file_tensor *golden_find(const peft_safetensors *file, const char *format, ...) PEFT_PRINTF(2, 3);
const float *golden_values(const peft_safetensors *file, const char *name);

/* It as a leaf [rows, its last dimension]. */
peft_tensor *golden_leaf(peft_graph *g, const peft_safetensors *file, const char *name, bool variable);

/* `found` is the tensor of that name, up to `tolerance` of its largest value. */
void golden_check(const peft_safetensors *file, const char *name, const float *found, double tolerance);

/* All w.NAME into the set's values PREFIX.NAME, and all grad.NAME beside their gradients, where a bias
 * counts as large as its weight. What the set lacks must end
 * in one of the names that `unused` lists (ends with NULL). */
void golden_load(const peft_safetensors *file, const peft_value_set *set, const char *prefix,
                 const char *const *unused);
void golden_check_gradients(const peft_safetensors *file, const peft_value_set *set, const char *prefix,
                            double tolerance);

#endif
