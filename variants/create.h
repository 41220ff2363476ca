/* variants/create.h - adapters in two steps, for readers of files: what they are, then memory for it. A file that does
 * not fit is so refused before its settings cost anything. */
#ifndef PEFT_VARIANTS_CREATE_H
#define PEFT_VARIANTS_CREATE_H

#include "variants/adapter.h"

/* Does a file hold the values of this adapter, whose specs are set? */
typedef struct peft_file_shapes {
    bool (*fit)(void *argument, const peft_adapter *adapter);
    void *argument;
} peft_file_shapes;

/* As peft_adapters_create, but `data` of all values is NULL. `shapes` are those of a file that is read, or NULL. Of the
 * ranks that patterns give a module, the first that fits them counts, not the first of all, and names that match
 * nothing are no error. */
peft_status peft_adapters_describe(peft_adapters **all, const peft_variant *variant, const void *options,
                                   const peft_layer *layers, int64_t num_layers, const peft_file_shapes *shapes,
                                   peft_error *error);

/* Memory for the values, and start values. */
peft_status peft_adapters_allocate(peft_adapters *all, uint64_t seed, peft_error *error);

#endif
