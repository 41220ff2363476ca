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
    X(batch_norm)                                                                                                      \
    X(activation)                                                                                                      \
    X(causal_conv)                                                                                                     \
    X(conv)                                                                                                            \
    X(selective_scan)                                                                                                  \
    X(ssd)                                                                                                             \
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
    X(modulate)                                                                                                        \
    X(scale)                                                                                                           \
    X(shift)                                                                                                           \
    X(power)                                                                                                           \
    X(reshape)                                                                                                         \
    X(permute)                                                                                                         \
    X(slice)                                                                                                           \
    X(concat)                                                                                                          \
    X(fold)                                                                                                            \
    X(sum)                                                                                                             \
    X(cross_entropy)                                                                                                   \
    X(linear_cross_entropy)                                                                                            \
    X(mse)                                                                                                             \
    X(copy)                                                                                                            \
    X(cast)                                                                                                            \
    X(widen)                                                                                                           \
    X(running_average)

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
    bool view;                                /* out[0] is in[0] with another shape */
    uint32_t reads_stored;                    /* PEFT_IN(i): a frozen weight may be there as it is stored */
    bool cheap;  /* backward computes out[0] again, where the inputs are kept anyway, rather than having it kept too */
    bool unkept; /* cheap, and of a leaf: computed again of however few rows, so that it is nowhere for long */
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

#endif
