/* ops/batch.h - what a flat batch is: the tokens of all sequences one after another, without padding. */
#ifndef PEFT_OPS_BATCH_H
#define PEFT_OPS_BATCH_H

#include "ops/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One graph computes one batch; with gradient accumulation several of them make up the global batch of an optimiser
 * step, and `first_*` say where in it this one begins. The arrays are the caller's and outlive the run. */
typedef struct peft_batch {
    int64_t num_tokens, num_sequences;
    const int32_t *starts; /* [num_sequences + 1]: first token of each sequence, then num_tokens */
    int64_t first_token, first_sequence;
    bool training;                 /* dropout acts, noise is drawn */
    const int32_t *prompt_lengths; /* [num_sequences]: tokens of each sequence that are prompt; NULL: all of them */
    const float *vectors;          /* [num_sequences, vector_size]: what the caller knows of each sequence; or NULL */
    int64_t vector_size;
    const struct peft_batch *pooled_from; /* NULL; or the batch of whose sequences these tokens are made */
    const struct peft_batch *part_of;     /* NULL; or the batch of which this is one sequence, `part` */
    int64_t part;
} peft_batch;

/* batch->starts as a leaf of the graph. */
PEFT_API peft_tensor *peft_batch_starts(peft_graph *g, const peft_batch *batch);

/* The batch of layers behind a pooling: each sequence has become one token, and is known by what the whole was known
 * by. The graph holds it. */
PEFT_API const peft_batch *peft_batch_pooled(peft_graph *g, const peft_batch *batch);

/* One of its sequences as a batch by itself, which knows of it what the whole knows. The graph holds it. */
PEFT_API const peft_batch *peft_batch_sequence(peft_graph *g, const peft_batch *batch, int64_t sequence);

/* The mean of each sequence's prompt: x [num_tokens, columns] -> [num_sequences, columns] */
PEFT_API peft_tensor *peft_batch_prompt_mean(peft_graph *g, const peft_batch *batch, peft_tensor *x);

/* batch->vectors as a leaf, or what was bound to the address of that field (ops/side.h); NULL: the batch has none. */
PEFT_API peft_tensor *peft_batch_vectors(peft_graph *g, const peft_batch *batch);

/* What a model's first layer makes of the tokens, [num_tokens, hidden size], for adapters that look at whole sequences.
 * The model says it once for each graph; until then it is NULL. */
PEFT_API void peft_batch_set_embeddings(peft_graph *g, const peft_batch *batch, peft_tensor *embeddings);
PEFT_API peft_tensor *peft_batch_embeddings(peft_graph *g, const peft_batch *batch);
/* Of each sequence's prompt the mean of these, centred and of length one: [num_sequences, hidden size]; or NULL. */
PEFT_API peft_tensor *peft_batch_embedding_means(peft_graph *g, const peft_batch *batch);

#ifdef __cplusplus
}
#endif
#endif
