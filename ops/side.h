/* ops/side.h - what a formula says to a graph besides its result: losses, observations, and stand-ins for leaves.
 *
 * A variant's forward function returns one tensor; a balance loss of its router, the load of its experts or the tensors
 * that a generator emits in place of its parameters come and go here. All of it is forgotten by peft_graph_reset.
 * Names are borrowed and must outlive that. */
#ifndef PEFT_OPS_SIDE_H
#define PEFT_OPS_SIDE_H

#include "ops/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `where` is the module it belongs to ("" for the model), `name` what it is: "balance", "gate". */
typedef struct peft_side_value {
    const char *where, *name;
    peft_tensor *tensor; /* kept: its data are there after the run */
    double weight;       /* of a loss in the total; 1 for observations */
} peft_side_value;

/* Adds `weight` times `loss` [1] to what the graph minimises: a mean over the batch, or a function of parameters alone.
 * After peft_graph_total_loss it fails the graph. */
PEFT_API void peft_graph_add_loss(peft_graph *g, const char *where, const char *name, peft_tensor *loss, double weight);

/* Losses that are added from here on count `share` times their weight; 1 after a reset. */
PEFT_API void peft_graph_share_losses(peft_graph *g, double share);

/* loss [1] + share * sum of weight times added loss: what to differentiate. `share` is the part of the optimiser step's
 * global batch that this graph computes, 1 where it is all of it, so that the added losses of all its parts count once.
 * Call it once, after the whole model. */
PEFT_API peft_tensor *peft_graph_total_loss(peft_graph *g, peft_tensor *loss, double share);

/* Keeps a value for the record of the run. It changes no gradient. */
PEFT_API void peft_graph_observe(peft_graph *g, const char *where, const char *name, peft_tensor *value);

/* What was added, in order; NULL past the end. */
PEFT_API const peft_side_value *peft_graph_loss_at(const peft_graph *g, int32_t index);
PEFT_API const peft_side_value *peft_graph_observation_at(const peft_graph *g, int32_t index);

/* From here on, `tensor` stands in for the leaf that `owner` (a peft_weight, a peft_value) would give: a tensor
 * that a generator emitted, one for each sequence of the batch, or the same numbers in double. */
PEFT_API void peft_graph_bind(peft_graph *g, const void *owner, peft_tensor *tensor);
/* The last tensor bound to `owner`, or NULL. */
PEFT_API peft_tensor *peft_graph_bound(const peft_graph *g, const void *owner);

#ifdef __cplusplus
}
#endif
#endif
