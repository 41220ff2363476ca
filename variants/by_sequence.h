/* variants/by_sequence.h - batches whose sequences have adapters of their own. */
#ifndef PEFT_VARIANTS_BY_SEQUENCE_H
#define PEFT_VARIANTS_BY_SEQUENCE_H

#include "variants/adapter.h"

/* Does what is bound to the adapter's values and to those of the model fit them? If not, the graph fails with the name.
 */
bool peft_check_bound(peft_graph *g, const peft_adapter *adapter, const peft_batch *batch);

/* Is some value that the layer reads bound to one tensor for each sequence? */
bool peft_adapter_differs(peft_graph *g, const peft_adapter *adapter);

/* The adapted layer for a batch whose sequences have adapters of their own: by the variant's grouped products where it
 * has them and all of the layer's values come for each sequence, else for one sequence after another. What is bound for
 * all sequences stays so. */
peft_tensor *peft_forward_by_sequence(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                                      peft_tensor *x, const peft_batch *batch);

/* What `describe` makes of the rows of x, called for each sequence with its own batch and its own of the layer's values
 * from number `first` on and of the model's; the results, one after another: a part of a formula whose other parts are
 * grouped. */
typedef peft_tensor *peft_describe_rows(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                                        peft_tensor *x, const peft_batch *batch);
peft_tensor *peft_rows_by_sequence(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                                   peft_tensor *x, const peft_batch *batch, int32_t first,
                                   peft_describe_rows *describe);

/* Of a tensor with an entry for each sequence, [S, ...] -> [...]. */
peft_tensor *peft_entry_of_sequence(peft_graph *g, peft_tensor *all, int64_t sequence);

#endif
