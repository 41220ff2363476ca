/* ops/engine/recall.h - how the backward pass gets what the forward pass computed.
 *
 *   kept      It stays in its place.
 *   again     Its node runs a second time: one of a checkpointed segment, which runs again as a whole, or a cheap one
 *             (peft_op.cheap) where this needs no more than is kept anyway: of the input and the output of an
 *             activation, one is stored.
 *   slope     The last run of an activation leaves its slope (peft_op.slope) in place of its input, where nothing else
 *             reads that.
 *   rounded   It stays in bf16, where peft_graph_keep_bf16 asks for it.
 *
 * Outside of segments, results of fewer rows than a trait of the backend says are kept. */
#ifndef PEFT_OPS_ENGINE_RECALL_H
#define PEFT_OPS_ENGINE_RECALL_H

#include "ops/engine/graph_internal.h"

typedef struct peft_recall {
    peft_graph *g;
    /* Of each node: */
    unsigned char *manner;
    peft_node **copies;    /* the node as its backward sees it; NULL: as it is */
    peft_tensor **rounded; /* its result in bf16, or NULL, */
    peft_tensor **widened; /* and as float again, once it was asked for */
} peft_recall;

/* Decides on each node and schedules the forward pass. */
bool peft_recall_begin(peft_recall *r, peft_graph *g);

/* Schedules what must run before the backward of node n, and returns the node whose kernel is to run; NULL: the graph
 * has failed. */
peft_node *peft_recall_node(peft_recall *r, int32_t n);

#endif
