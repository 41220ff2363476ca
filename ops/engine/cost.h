/* ops/engine/cost.h - the least that a kernel call has to do, counted from shapes: the two axes of a roofline.
 *
 * flops   a multiplication and an addition are two; exp, erf and the like are one; comparisons and random numbers none
 * bytes   each tensor that the call needs read once, each result written once (and read, where it is added to), as if
 *         caches held everything within the call and nothing between calls */
#ifndef PEFT_OPS_ENGINE_COST_H
#define PEFT_OPS_ENGINE_COST_H

#include "ops/engine/op.h"

typedef struct peft_cost {
    double flops, bytes;
} peft_cost;

/* Of a node of a graph that was planned or run. */
peft_cost peft_node_cost(const peft_node *node, bool backward);

#endif
