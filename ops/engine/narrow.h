/* ops/engine/narrow.h - values that are written in bf16, since all who read them round them to bf16 first.
 *
 * What a GELU or an attention gives goes into products of bf16 alone, and so do the gradients that it hands down. Each
 * of these products would read floats and round them for itself. Written in bf16, they are rounded once and half as
 * large: the same bits, and fewer bytes between one op and the next. */
#ifndef PEFT_OPS_ENGINE_NARROW_H
#define PEFT_OPS_ENGINE_NARROW_H

#include "ops/engine/graph_internal.h"

/* Does the kernel of a node, in the context that the graph is for, round in[i] (PEFT_IN(i)) or the gradient of its
 * result (PEFT_OUT(0)) wherever it reads them? In bf16 they are as good. */
bool peft_rounds(const peft_graph *g, const peft_node *node, uint32_t what);

/* Gives such results of nodes the type PEFT_BF16. Before anything is decided of them. */
void peft_narrow_results(peft_graph *g);

/* In which type the backward of `node`, the first to contribute to dL/d in[i], writes it. */
peft_dtype peft_gradient_dtype(const peft_graph *g, const peft_node *node, int32_t i);

#endif
