/* ops/state.h - numbers that live across runs: a run finds them as the last one left them. Ops write to them
 * (peft_running_average); graphs of one context share them. */
#ifndef PEFT_OPS_STATE_H
#define PEFT_OPS_STATE_H

#include "ops/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_state {
    peft_context *ctx;
    const char *name;
    peft_dtype dtype;
    peft_shape shape;
    void *memory; /* where the kernels of the context find it */
} peft_state;

/* `values` are those it starts with; `name` outlives it. Close it before the context, and after graphs that have it. */
PEFT_API peft_status peft_state_open(peft_state **state, peft_context *ctx, const char *name, peft_dtype dtype,
                                     peft_shape shape, const void *values, peft_error *error);
PEFT_API void peft_state_close(peft_state *state); /* NULL is allowed */

/* Both wait for what runs. */
PEFT_API void peft_state_read(const peft_state *state, void *values);
PEFT_API void peft_state_write(const peft_state *state, const void *values);

/* As leaf of a graph that runs in its context. It has no gradient. */
PEFT_API peft_tensor *peft_state_leaf(peft_graph *g, peft_state *state);

#ifdef __cplusplus
}
#endif
#endif
