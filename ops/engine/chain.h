/* ops/engine/chain.h - steps that run together, a tile of rows after another.
 *
 * Between two attentions a layer works row by row: product, adapter, dropout, sum, norm, product, activation. Op by op,
 * each reads whole tensors from memory and writes them back. Tile by tile, what a step has written is still in a cache
 * when the next one reads it, what must go to memory goes there while products are computed, and threads wait for each
 * other once. A tensor that only the steps of one chain use, row by row, has memory for the rows of one tile in each
 * thread, and none for all rows. How rows are cut depends on their number alone: the same bits for any number of
 * threads. */
#ifndef PEFT_OPS_ENGINE_CHAIN_H
#define PEFT_OPS_ENGINE_CHAIN_H

#include "ops/engine/graph_internal.h"

/* Gives every step its chain, of one step or more. Part of the plan, after storages have merged. */
void peft_graph_find_chains(peft_graph *g, const peft_context *ctx);

/* Runs the chain that begins with this step, and times it where the context has a profile. */
void peft_chain_run(const peft_graph *g, peft_context *ctx, int32_t first);

#endif
