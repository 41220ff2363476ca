/* variants/by_sequence.h - batches whose sequences have adapters of their own. */
#ifndef PEFT_VARIANTS_BY_SEQUENCE_H
#define PEFT_VARIANTS_BY_SEQUENCE_H

#include "variants/adapter.h"

/* Does what is bound to the adapter's values and to those of the model fit them? If not, the graph fails with the name.
 */
bool peft_check_bound(peft_graph *g, const peft_adapter *adapter, const peft_batch *batch);

/* Is some value of the adapter bound to one tensor for each sequence? */
bool peft_adapter_differs(peft_graph *g, const peft_adapter *adapter);

/* The adapted layer for each sequence by itself, by a forward function that takes one adapter at a time; the outputs,
 * one after another. What is bound for all sequences stays so. */
peft_tensor *peft_forward_by_sequence(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                                      peft_tensor *x, const peft_batch *batch);

#endif
