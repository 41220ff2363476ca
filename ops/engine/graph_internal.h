/* ops/engine/graph_internal.h - the graph as graph.c, differentiate.c, plan.c and run.c share it. */
#ifndef PEFT_OPS_ENGINE_GRAPH_INTERNAL_H
#define PEFT_OPS_ENGINE_GRAPH_INTERNAL_H

#include "ops/arena.h"
#include "ops/backend.h"
#include "ops/side.h"

/* Steps of one phase may run together; those that run a segment again also with the backward steps that follow. */
typedef enum peft_phase {
    PEFT_FORWARD,
    PEFT_SEGMENT_AGAIN,
    PEFT_BACKWARD /* also what is computed again, or made of bf16, right before it is read */
} peft_phase;

/* One kernel call of the schedule. */
typedef struct peft_step {
    peft_node *node;
    bool backward;
    peft_phase phase;
    /* Of the plan: */
    int32_t chain;                         /* its first step (ops/engine/chain.h) */
    int32_t chain_end;                     /* of a first step: one after the last */
    size_t local_bytes;                    /* of a first step: at the beginning of each thread's scratch memory */
    size_t shared_offset, shared_bytes;    /* scratch memory that all threads share, in the plan's buffer */
    size_t scratch_offset, scratch_stride; /* of a first step: memory of each thread */
    const peft_row_work *work;             /* NULL: not row by row */
} peft_step;

/* A place in the plan's buffer; views and what is written in place share one. A local one is in the scratch memory of
 * each thread, and has the rows of a tile. */
typedef struct peft_storage {
    size_t bytes, offset;
    bool local;
    int32_t first, last; /* steps of its first and last use */
    int32_t parent;      /* merged into that storage by the planner; itself: not merged */
    int32_t chain;       /* the last one that used it */
    uint32_t uses;       /* and how */
} peft_storage;

/* Of ops/side.c. */
typedef struct peft_side_list {
    peft_side_value *values;
    int32_t count, capacity;
} peft_side_list;

typedef struct peft_binding {
    const void *owner;
    peft_tensor *tensor;
} peft_binding;

/* What of a context decides on kernels and their scratch memory. */
typedef struct peft_target {
    const void *backend, *state;
    int threads;
    peft_dtype dtype;
} peft_target;

struct peft_graph {
    peft_arena arena;
    peft_error error;
    peft_node **nodes;
    int32_t num_nodes, node_capacity;
    peft_tensor **tensors; /* those with a place in the plan */
    int32_t num_tensors, tensor_capacity;
    peft_tensor **leaves; /* and views of them: those without */
    int32_t num_leaves, leaf_capacity;
    peft_storage *storages;
    int32_t num_storages, storage_capacity;
    peft_step *steps;
    int32_t num_steps, step_capacity;
    int32_t segment, num_segments; /* the open one, -1: none */
    bool differentiated, planned;
    peft_side_list losses, observations;
    peft_binding *bindings;
    int32_t num_bindings, binding_capacity;
    bool totalled;               /* the total loss was taken */
    double loss_share;           /* of losses that are added now */
    bool unchained;              /* every step is a chain of its own: for tests */
    bool keeps_bf16;             /* see peft_graph_keep_bf16 */
    int64_t least_recalled_rows; /* results of fewer rows are kept as they are (ops/engine/recall.h) */
    const peft_context *ctx;     /* see peft_graph_set_context; or NULL */
    peft_target target;          /* that the plan is for */
    size_t planned_bytes;
    peft_context *running; /* where it runs and was not waited for; or NULL */
    peft_context *ran;     /* where it ran last */
    peft_error result;     /* of the last run */
};

/* All return NULL or false after having failed the graph. */
peft_node *peft_graph_new_node(peft_graph *g, peft_op_id op);
peft_node *peft_graph_copy_node(peft_graph *g, const peft_node *node);
peft_tensor *peft_graph_new_tensor(peft_graph *g, peft_dtype dtype, peft_shape shape, int32_t storage);
peft_tensor *peft_graph_leaf(peft_graph *g, peft_leaf kind, peft_dtype dtype, peft_shape shape, const void *host,
                             const char *name);
peft_tensor *peft_graph_place(peft_graph *g, peft_dtype dtype, peft_shape shape); /* with a storage of its own */
bool peft_graph_push_step(peft_graph *g, peft_step step);
bool peft_graph_schedule_forward(peft_graph *g); /* the nodes as steps, once */

/* The leaf that t is, or is a view of; NULL: it is computed. */
static inline peft_tensor *peft_leaf_of(peft_tensor *t)
{
    return t->leaf ? t : t->of;
}

/* Planning is going to rely on the values of a leaf (ops/engine/leaves.c). */
bool peft_graph_rely_on(peft_graph *g, peft_tensor *leaf);
/* PEFT_ERR_ARGUMENT: values are others than those that it relied on. */
peft_status peft_graph_check_leaves(const peft_graph *g, peft_error *error);
/* Has all leaves where the kernels of ctx find them, and later brings back what a run leaves in them. */
peft_status peft_graph_place_leaves(peft_graph *g, peft_context *ctx, peft_error *error);
void peft_graph_read_gradients(peft_graph *g, peft_context *ctx);

/* What a step reads or writes: tensors that have a place in the plan. `input` is that of the node that it is, or whose
 * gradient it is; -1: of the result. */
typedef struct peft_use {
    const peft_tensor *tensor;
    int32_t input;
    bool written;
} peft_use;

enum { PEFT_MAX_USES = 1 + 2 * PEFT_MAX_INPUTS + PEFT_MAX_OUTPUTS };
int32_t peft_step_uses(const peft_step *step, peft_use uses[PEFT_MAX_USES]);

/* The storage that this one was merged into, or itself. */
peft_storage *peft_find_storage(peft_graph *g, int32_t storage);

/* Makes room for one more element of a growing array. */
bool peft_graph_grow(peft_graph *g, void **array, int32_t count, int32_t *capacity, size_t element_bytes);

#endif
