/* ops/graph.h - describe, differentiate, plan, run.
 *
 * describe       Building functions (ops/ops.h) append a node and return its output: a tensor with a shape and no
 *                memory yet. After an error they return NULL and do nothing, and they accept NULL inputs, so that a
 *                formula is written without checks in between; ask peft_graph_status once, at the end.
 * differentiate  Every op has a forward and a backward kernel and says what backward reads. Walking the nodes in
 *                reverse gives gradients for what asks for them; a frozen weight costs nothing. What is cheap to
 *                compute is computed again for backward rather than kept.
 * plan           The first and the last use of every tensor over forward and backward are known, so all get places
 *                in one buffer, and its size is known before anything is allocated.
 * run            The nodes call the kernels of the context's backend.
 *
 * A batch of a new shape takes a new graph: peft_graph_reset and describe again, microseconds. */
#ifndef PEFT_OPS_GRAPH_H
#define PEFT_OPS_GRAPH_H

#include "ops/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_graph peft_graph;

/* What becomes of a leaf when a graph runs. */
typedef enum peft_leaf {
    PEFT_NO_LEAF,       /* computed */
    PEFT_LEAF_BATCH,    /* uploaded by each run; while that runs, the caller's memory may hold anything */
    PEFT_LEAF_FROZEN,   /* a weight: resident where a backend packed it, else uploaded */
    PEFT_LEAF_VALUE,    /* of a parameter, whose master copy is the caller's: uploaded by each run */
    PEFT_LEAF_GRADIENT, /* the caller's, to which a run adds; it holds the sum once the run was waited for */
    PEFT_LEAF_STATE     /* lives across runs, and ops write to it (ops/state.h) */
} peft_leaf;

/* A value of the graph. */
typedef struct peft_tensor {
    void *data; /* for kernels, while the graph runs: where it lies for them; else nobody's. See peft_graph_read */
    peft_leaf leaf;
    const void *host;         /* of a leaf: the caller's memory; of what was read: the copy */
    const void *planned;      /* of a leaf: the values that planning relies on, as they were described; or NULL */
    struct peft_tensor *of;   /* this is a view of that leaf; or NULL */
    struct peft_state *state; /* that it is; or NULL */
    peft_dtype dtype;
    peft_shape shape;
    struct peft_tensor *grad;         /* same shape; NULL where no gradient is wanted */
    const char *name;                 /* for messages, may be NULL */
    const struct peft_weight *weight; /* that it is, stored or packed (ops/weight.h), if it is frozen; or NULL */
    bool requires_grad;
    bool kept;
    int32_t node;      /* index of the node that makes it; -1: a leaf */
    int32_t storage;   /* the plan's place; -1: memory of the caller */
    int64_t first_row; /* the first that `data` holds; more than 0 where a kernel sees a tile of the rows alone */
} peft_tensor;

/* Rows and columns of a tensor seen as a matrix: all dimensions but the last, and the last. */
static inline int64_t peft_columns(const peft_tensor *t)
{
    return t->shape.ndim ? t->shape.size[t->shape.ndim - 1] : 1;
}

static inline int64_t peft_rows(const peft_tensor *t)
{
    int64_t rows = 1;
    for (int32_t d = 0; d + 1 < t->shape.ndim; d++) rows *= t->shape.size[d];
    return rows;
}

/* Of an op, so of tensors that peft_concat puts side by side. */
enum { PEFT_MAX_INPUTS = 12 };

PEFT_API peft_status peft_graph_create(peft_graph **g, peft_error *error);
PEFT_API void peft_graph_free(peft_graph *g); /* NULL is allowed */
PEFT_API void peft_graph_reset(peft_graph *g);

/* Leaves. The memory stays the caller's and must outlive the run; it may be read while the graph is described, and is
 * when it runs. */
PEFT_API peft_tensor *peft_constant(peft_graph *g, peft_dtype dtype, peft_shape shape, const void *data,
                                    const char *name);
/* `grad` has the shape of data; every run adds to it, so the caller clears it before the first. */
PEFT_API peft_tensor *peft_parameter(peft_graph *g, peft_dtype dtype, peft_shape shape, void *data, void *grad,
                                     const char *name);
/* A constant whose gradient is wanted too: read ->grad after the run. */
PEFT_API peft_tensor *peft_variable(peft_graph *g, peft_dtype dtype, peft_shape shape, const void *data,
                                    const char *name);

/* The value must still be there after the run. Returns t. */
PEFT_API peft_tensor *peft_graph_keep(peft_graph *g, peft_tensor *t);

/* What is described between begin and end is computed again in the backward pass instead of being stored; only
 * what enters and leaves the segment is kept. May not be nested. */
PEFT_API void peft_graph_checkpoint_begin(peft_graph *g);
PEFT_API void peft_graph_checkpoint_end(peft_graph *g);

/* The context in which the graph will run, also after a reset: differentiation asks its backend from how many rows on
 * results are to be computed again (peft_context_least_recalled_rows) and what its kernels round. Without one, results
 * are kept as they are. The context outlives the graph's use. */
PEFT_API void peft_graph_set_context(peft_graph *g, const peft_context *ctx);

/* From here on, also after a reset, results of peft_context_least_recalled_rows and more, and of 64 columns and more,
 * are kept for the backward pass in bf16: half of their memory, and gradients of values that are off by 2^-9 of
 * themselves. Of any number of rows, values that the context's kernels would all round before they read them are
 * written in bf16, without a change of any bit; the graph then runs in that context alone. */
PEFT_API void peft_graph_keep_bf16(peft_graph *g);

/* Appends the backward pass. `loss` has one element. */
PEFT_API peft_status peft_graph_differentiate(peft_graph *g, peft_tensor *loss, peft_error *error);
/* The same from dL/dy that the caller holds, in the shape and type of y. */
PEFT_API peft_status peft_graph_differentiate_from(peft_graph *g, peft_tensor *y, const void *dy, peft_error *error);

/* Bytes that a run needs on `ctx`, to the byte. Nothing is allocated but bookkeeping. */
PEFT_API peft_status peft_graph_plan(peft_graph *g, const peft_context *ctx, size_t *bytes, peft_error *error);

/* Bytes beside these that libraries keep for themselves once the graph has run. */
PEFT_API size_t peft_graph_library_bytes(const peft_graph *g, const peft_context *ctx);

/* Forward, and backward where differentiated. Plans first if that was not done. Where the backend computes on a device,
 * the run is only begun: its errors come with what waits for it, and so do the gradients of parameters. A context runs
 * one graph at a time and waits for the one before. */
PEFT_API peft_status peft_graph_run(peft_graph *g, peft_context *ctx, peft_error *error);
PEFT_API peft_status peft_graph_wait(peft_graph *g, peft_error *error);

/* Waits, and finds the value of a tensor that was kept, of a leaf, or of a leaf's gradient: valid until the next run in
 * the context, or a reset; until then, reading it again changes nothing, on any thread. */
PEFT_API peft_status peft_graph_read(peft_graph *g, peft_tensor *t, const void **values, peft_error *error);

/* The first error of a building function. */
PEFT_API peft_status peft_graph_status(const peft_graph *g, peft_error *error);

/* For functions that build a part of a formula. Keeps the first error; returns NULL, so that one ends with
 * `return peft_graph_fail(...)`. */
void *peft_graph_fail(peft_graph *g, peft_status status, const char *format, ...) PEFT_PRINTF(3, 4);
/* True where the graph has failed already or an input is missing because of that. */
bool peft_graph_failed(const peft_graph *g);

#ifdef __cplusplus
}
#endif
#endif
