/* ops/engine/op.h - what an op is to the graph, for those who write one (docs/adding-an-op.md).
 *
 * An op has three parts, found under one name: the building function (ops/describe/layer_norm.c: checks shapes, appends
 * the node), its row in the table of ops/engine/op.c (what backward reads and which memory may be shared), and its
 * kernels (ops/cpu/kernels/layer_norm.c: compiled once for each backend and once for double). */
#ifndef PEFT_OPS_ENGINE_OP_H
#define PEFT_OPS_ENGINE_OP_H

#include "ops/graph.h"

#define PEFT_OP_LIST(X)                                                                                                \
    X(linear)                                                                                                          \
    X(low_rank)                                                                                                        \
    X(matmul)                                                                                                          \
    X(embedding)                                                                                                       \
    X(layer_norm)                                                                                                      \
    X(activation)                                                                                                      \
    X(softmax)                                                                                                         \
    X(log_sum_exp)                                                                                                     \
    X(entropy)                                                                                                         \
    X(top_k)                                                                                                           \
    X(attention)                                                                                                       \
    X(mean_pool)                                                                                                       \
    X(first_pool)                                                                                                      \
    X(spread)                                                                                                          \
    X(dropout)                                                                                                         \
    X(jitter)                                                                                                          \
    X(add)                                                                                                             \
    X(mul)                                                                                                             \
    X(scale)                                                                                                           \
    X(shift)                                                                                                           \
    X(power)                                                                                                           \
    X(reshape)                                                                                                         \
    X(permute)                                                                                                         \
    X(slice)                                                                                                           \
    X(concat)                                                                                                          \
    X(sum)                                                                                                             \
    X(cross_entropy)                                                                                                   \
    X(mse)                                                                                                             \
    X(copy)                                                                                                            \
    X(cast)

typedef enum peft_op_id {
#define X(name) PEFT_OP_##name,
    PEFT_OP_LIST(X)
#undef X
        PEFT_NUM_OPS
} peft_op_id;

enum { PEFT_MAX_OUTPUTS = 4 };

#define PEFT_IN(i)  (1U << (i))
#define PEFT_OUT(j) (1U << (PEFT_MAX_INPUTS + (j)))

/* What differentiation and planning must know. out[0] is the result, further outputs are saved for backward. */
typedef struct peft_op {
    const char *name;
    uint32_t gradient_reads[PEFT_MAX_INPUTS]; /* for d in[i]: which inputs and outputs backward reads */
    uint32_t passes_gradient;                 /* PEFT_IN(i): d in[i] is d out[0] itself; no work, no memory */
    uint32_t in_place;                        /* PEFT_IN(i): out[0] may be written over in[i] */
    uint32_t gradient_in_place;               /* PEFT_IN(i): d in[i] may be written over d out[0] */
    /* Of the kernels of contexts in bf16 (ops/engine/narrow.h): */
    uint32_t takes_bf16; /* PEFT_IN(i): in[i], PEFT_OUT(0): dL/d out[0] may be bf16, to which they are rounded anyway */
    uint32_t gives_bf16; /* PEFT_OUT(0): out[0], PEFT_IN(i): dL/d in[i] may be written in bf16, if set, not added to */
    bool view;           /* out[0] is in[0] with another shape */
    bool cheap; /* backward computes out[0] again, where the inputs are kept anyway, rather than having it kept too */
    bool
        slope; /* y = f(x) by elements: where there is an out[1], forward writes f'(x) to it, and backward reads that */
} peft_op;

extern const peft_op peft_ops[PEFT_NUM_OPS];

typedef struct peft_node {
    peft_op_id op;
    int32_t num_inputs, num_outputs;
    peft_tensor *in[PEFT_MAX_INPUTS]; /* optional inputs are NULL */
    peft_tensor *out[PEFT_MAX_OUTPUTS];
    const void *attributes; /* the op's own struct, e.g. peft_attention_options */
    /* Set by differentiation: */
    peft_tensor *dout; /* dL/d out[0] */
    peft_tensor
        *din[PEFT_MAX_INPUTS]; /* dL/d in[i], to be written by backward; NULL: not wanted, or passed on already */
    uint32_t accumulate;       /* PEFT_IN(i): add to din[i] instead of setting it */
    int32_t segment;           /* of recomputation; -1: none */
    void *shared;              /* while its kernel runs: the scratch memory that all threads share (shared_bytes) */
} peft_node;

/* For building functions. `attributes` is copied. Outputs get dtype and shape; the result is out[0], or NULL where
 * the graph has failed. */
peft_node *peft_graph_append(peft_graph *g, peft_op_id op, int32_t num_inputs, peft_tensor *const *inputs,
                             const void *attributes, size_t attribute_bytes);
peft_tensor *peft_node_output(peft_graph *g, peft_node *node, peft_dtype dtype, peft_shape shape);

/* Work on the rows begin ... end - 1. Each call gets the scratch memory of its thread. */
typedef void peft_rows_function(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch);

/* Work in pieces that do not depend on each other, nor their number on that of the threads. */
typedef struct peft_part {
    int64_t (*pieces)(const peft_node *node);
    peft_rows_function *run; /* NULL: there is nothing to do */
} peft_part;

/* Work row by row: what it writes to some rows of the result, or of the gradients of the inputs named here, depends on
 * the same rows alone, and on other inputs that are whole already. Such neighbours run together (ops/engine/chain.h).
 */
typedef struct peft_row_work {
    peft_rows_function *run;
    bool elements;                          /* `run` counts elements, not rows */
    uint32_t inputs;                        /* PEFT_IN(i): has the rows of the result */
    bool (*allowed)(const peft_node *node); /* for this node; NULL: for all */
    peft_part before, after;                /* the first rows, and the last */
} peft_row_work;

typedef struct peft_kernel {
    void (*forward)(const peft_node *node, peft_context *ctx);
    void (*backward)(const peft_node *node, peft_context *ctx);
    /* Bytes of scratch memory in one direction, for each thread and for all together; NULL: none. */
    size_t (*thread_bytes)(const peft_node *node, bool backward);
    size_t (*shared_bytes)(const peft_node *node, bool backward);
    int64_t (*gemm_columns)(
        const peft_node *node);      /* of the widest matrix that BLIS packs (ops/cpu/gemm.h); NULL: none */
    const peft_row_work *by_rows[2]; /* forward, backward; NULL: not row by row */
    const struct peft_kernel *(*better)(const peft_node *node); /* another one for this node; NULL: there is none */
} peft_kernel;

static inline bool peft_saves_slope(const peft_node *node)
{
    return peft_ops[node->op].slope && node->num_outputs > 1;
}

/* What backward reads for d in[i] of this node. */
static inline uint32_t peft_gradient_reads(const peft_node *node, int32_t i)
{
    return peft_saves_slope(node) ? PEFT_OUT(1) : peft_ops[node->op].gradient_reads[i];
}

static inline bool peft_accumulates(const peft_node *node, int i)
{
    return (node->accumulate & PEFT_IN(i)) != 0;
}

/* Work cut into pieces of `grain` rows that do not depend on the number of threads: the same bits for any number. */
void peft_for_rows(const peft_node *node, peft_context *ctx, int64_t rows, int64_t grain, peft_rows_function *run);
/* The same for tiles of rows (ops/engine/tiles.h). */
void peft_for_tiles(const peft_node *node, peft_context *ctx, int64_t rows, peft_rows_function *run);
void peft_run_part(const peft_node *node, peft_context *ctx, const peft_part *part);

/* A kernel that finds its input unusable (an index out of range) reports it; the run stops after the node. */
void peft_context_fail(peft_context *ctx, peft_status status, const char *format, ...) PEFT_PRINTF(3, 4);

#endif
