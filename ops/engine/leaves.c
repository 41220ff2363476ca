/* ops/engine/leaves.c - where a run finds its leaves: the caller's memory, or, on a device, copies and what is
 * resident.
 *
 * On a device, leaves lie one behind another in memory of the context, those of the same host memory and purpose in one
 * place: gradients add up there. */
#include "ops/engine/context_internal.h"

#include <string.h>

#include "ops/state.h"

static size_t bytes_of(const peft_tensor *leaf)
{
    if (leaf->weight) return peft_weight_stored_bytes(leaf->weight);
    return (size_t)peft_shape_count(&leaf->shape) * peft_dtype_bytes(leaf->dtype);
}

/* ---- what planning relies on ---- */

bool peft_graph_rely_on(peft_graph *g, peft_tensor *leaf)
{
    if (leaf->planned) return true;
    void *copy = peft_arena_take(&g->arena, bytes_of(leaf));
    if (!copy) return peft_graph_fail(g, PEFT_ERR_MEMORY, "graph: out of memory for a leaf's values");
    leaf->planned = memcpy(copy, leaf->host, bytes_of(leaf));
    return true;
}

peft_status peft_graph_check_leaves(const peft_graph *g, peft_error *error)
{
    for (int32_t k = 0; k < g->num_leaves; k++) {
        const peft_tensor *leaf = g->leaves[k];
        if (leaf->planned && memcmp(leaf->planned, leaf->host, bytes_of(leaf)) != 0)
            return peft_fail(error, PEFT_ERR_ARGUMENT,
                             "run: %s: has other values than when the graph was described; reset it and describe it "
                             "again",
                             leaf->name ? leaf->name : "leaf");
    }
    return PEFT_OK;
}

/* ---- on a device ---- */

/* What is in its memory beyond the run; else NULL. */
static void *resident(const peft_tensor *leaf)
{
    if (leaf->leaf == PEFT_LEAF_STATE) return leaf->state->memory;
    return leaf->weight && leaf->weight->form ? leaf->weight->form->memory : NULL;
}

/* An earlier leaf that is the same; else NULL. */
static const peft_tensor *same_leaf(const peft_graph *g, int32_t index)
{
    const peft_tensor *leaf = g->leaves[index];
    for (int32_t k = 0; k < index; k++) {
        const peft_tensor *other = g->leaves[k];
        if (other->leaf == leaf->leaf && other->host == leaf->host && bytes_of(other) == bytes_of(leaf)) return other;
    }
    return NULL;
}

/* Gives each leaf its offset, as an address from 0 on, or that of another; the bytes of all. */
static size_t lay_out(peft_graph *g, char *from)
{
    enum { ALIGNMENT = 64 };
    size_t used = 0;
    for (int32_t k = 0; k < g->num_leaves; k++) {
        peft_tensor *leaf = g->leaves[k];
        if (!leaf->leaf || resident(leaf)) continue;
        const peft_tensor *same = same_leaf(g, k);
        if (from) leaf->data = same ? same->data : from + used;
        if (!same) used += (bytes_of(leaf) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    return used;
}

static peft_status reserve_leaves(peft_context *ctx, size_t bytes, peft_error *error)
{
    const peft_device *device = ctx->backend->device;
    if (bytes <= ctx->leaf_bytes && ctx->leaves) return PEFT_OK;
    if (ctx->leaves) device->release(ctx->state, ctx->leaves);
    ctx->leaves = NULL;
    ctx->leaf_bytes = bytes;
    return device->allocate(ctx->state, bytes, &ctx->leaves, error);
}

static peft_status upload_leaves(peft_graph *g, peft_context *ctx, peft_error *error)
{
    peft_status status = reserve_leaves(ctx, lay_out(g, NULL), error);
    if (status != PEFT_OK) return status;
    lay_out(g, ctx->leaves);
    for (int32_t k = 0; k < g->num_leaves; k++) {
        peft_tensor *leaf = g->leaves[k];
        if (!leaf->leaf) continue;
        if (resident(leaf))
            leaf->data = resident(leaf);
        else if (!same_leaf(g, k))
            ctx->backend->device->upload(ctx->state, leaf->leaf, leaf->data, leaf->host, bytes_of(leaf));
    }
    return PEFT_OK;
}

void peft_graph_read_gradients(peft_graph *g, peft_context *ctx)
{
    for (int32_t k = 0; k < g->num_leaves; k++) {
        const peft_tensor *leaf = g->leaves[k];
        if (leaf->leaf != PEFT_LEAF_GRADIENT) continue;
        void *to = (void *)(uintptr_t)leaf->host; /* the one leaf that a run writes to */
        ctx->backend->device->read(ctx->state, to, leaf->data, bytes_of(leaf));
    }
}

/* ---- on the host ---- */

static void find_leaves(peft_graph *g)
{
    for (int32_t k = 0; k < g->num_leaves; k++) {
        peft_tensor *leaf = g->leaves[k];
        if (leaf->leaf == PEFT_LEAF_STATE)
            leaf->data = leaf->state->memory;
        else if (leaf->leaf)
            leaf->data = (void *)(uintptr_t)leaf->host; /* kernels write to gradients alone */
    }
}

/* ---- both ---- */

static peft_status check_states(const peft_graph *g, const peft_context *ctx, peft_error *error)
{
    for (int32_t k = 0; k < g->num_leaves; k++)
        if (g->leaves[k]->state && g->leaves[k]->state->ctx != ctx)
            return peft_fail(error, PEFT_ERR_ARGUMENT, "run: %s: is the state of another context", g->leaves[k]->name);
    return PEFT_OK;
}

peft_status peft_graph_place_leaves(peft_graph *g, peft_context *ctx, peft_error *error)
{
    peft_status status = check_states(g, ctx, error);
    if (status == PEFT_OK && ctx->backend->device) status = upload_leaves(g, ctx, error);
    if (status == PEFT_OK && !ctx->backend->device) find_leaves(g);
    for (int32_t k = 0; k < g->num_leaves; k++) {
        peft_tensor *t = g->leaves[k];
        if (t->of) t->data = t->of->data;
        if (t->of || t->state) t->host = NULL; /* what was read of an earlier run */
    }
    return status;
}
