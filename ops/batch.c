#include "ops/batch.h"

#include <math.h>

#include "ops/engine/graph_internal.h"
#include "ops/ops.h"
#include "ops/side.h"

peft_tensor *peft_batch_starts(peft_graph *g, const peft_batch *batch)
{
    return peft_constant(g, PEFT_I32, peft_shape_1(batch->num_sequences + 1), batch->starts, "starts");
}

const peft_batch *peft_batch_pooled(peft_graph *g, const peft_batch *batch)
{
    int64_t sequences = batch->num_sequences;
    peft_batch *pooled = peft_arena_take(&g->arena, sizeof *pooled);
    const peft_tensor *starts = peft_arange(g, sequences + 1, 1);
    if (!pooled || !starts) {
        peft_graph_fail(g, PEFT_ERR_MEMORY, "batch: out of memory for %lld sequences", (long long)sequences);
        return batch;
    }
    *pooled = *batch;
    pooled->num_tokens = sequences;
    pooled->first_token = batch->first_sequence;
    pooled->starts = starts->host;
    pooled->prompt_lengths = NULL;
    pooled->pooled_from = batch;
    return pooled;
}

const peft_batch *peft_batch_sequence(peft_graph *g, const peft_batch *batch, int64_t sequence)
{
    int32_t first = batch->starts[sequence], length = batch->starts[sequence + 1] - first;
    peft_batch *own = peft_arena_take(&g->arena, sizeof *own);
    const peft_tensor *starts = peft_arange(g, 2, length);
    if (!own || !starts) {
        peft_graph_fail(g, PEFT_ERR_MEMORY, "batch: out of memory for sequence %lld", (long long)sequence);
        return batch;
    }
    *own = *batch;
    own->num_tokens = length;
    own->num_sequences = 1;
    own->starts = starts->host;
    own->first_token += first;
    own->first_sequence += sequence;
    if (batch->prompt_lengths) own->prompt_lengths += sequence;
    if (batch->vectors) own->vectors += sequence * batch->vector_size;
    if (batch->pooled_from) own->pooled_from = peft_batch_sequence(g, batch->pooled_from, sequence);
    own->part_of = batch;
    own->part = sequence;
    return own;
}

peft_tensor *peft_batch_prompt_mean(peft_graph *g, const peft_batch *batch, peft_tensor *x)
{
    peft_tensor *starts = peft_batch_starts(g, batch);
    if (!batch->prompt_lengths) return peft_mean_pool(g, x, starts);
    peft_shape shape = peft_shape_1(batch->num_sequences);
    return peft_prefix_pool(g, x, starts, peft_constant(g, PEFT_I32, shape, batch->prompt_lengths, "prompt_lengths"));
}

peft_tensor *peft_batch_vectors(peft_graph *g, const peft_batch *batch)
{
    if (batch->pooled_from) return peft_batch_vectors(g, batch->pooled_from);
    const peft_batch *whole = batch->part_of ? batch->part_of : batch;
    peft_tensor *bound = peft_graph_bound(g, &whole->vectors);
    if (bound && batch->part_of) return peft_slice(g, bound, 0, batch->part, 1);
    if (bound || !batch->vectors) return bound;
    return peft_constant(g, PEFT_F32, peft_shape_2(batch->num_sequences, batch->vector_size), batch->vectors,
                         "vectors");
}

void peft_batch_set_embeddings(peft_graph *g, const peft_batch *batch, peft_tensor *x)
{
    peft_graph_bind(g, batch, x);
}

peft_tensor *peft_batch_embeddings(peft_graph *g, const peft_batch *batch)
{
    const peft_batch *whole = batch->part_of;
    if (!whole) return peft_graph_bound(g, batch);
    peft_tensor *x = peft_graph_bound(g, whole);
    return x ? peft_slice(g, x, 0, whole->starts[batch->part], batch->num_tokens) : NULL;
}

/* A normalised row has mean square 1, and so the length sqrt(columns). */
peft_tensor *peft_batch_embedding_means(peft_graph *g, const peft_batch *batch)
{
    const double eps = 1e-12;
    if (batch->pooled_from) return peft_batch_embedding_means(g, batch->pooled_from);
    peft_tensor *x = peft_batch_embeddings(g, batch);
    if (!x) return NULL;
    double length = sqrt((double)x->shape.size[x->shape.ndim - 1]);
    return peft_scale(g, peft_layer_norm(g, peft_batch_prompt_mean(g, batch, x), NULL, NULL, eps), 1 / length);
}
