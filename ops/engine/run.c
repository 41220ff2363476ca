/* ops/engine/run.c - the schedule, chain by chain, at once or on a device; and what comes out. */
#include "ops/engine/chain.h"
#include "ops/engine/context_internal.h"

static void bind(peft_graph *g, peft_context *ctx)
{
    for (int32_t k = 0; k < g->num_tensors; k++) {
        peft_tensor *t = g->tensors[k];
        const peft_storage *s = &g->storages[t->storage];
        t->host = NULL;
        t->data = s->local ? NULL : ctx->buffer + s->offset; /* ops/engine/chain.c places what is local */
    }
}

static void run_steps(void *argument)
{
    peft_graph *g = argument;
    peft_context *ctx = g->ran;
    for (int32_t step = 0; step < g->num_steps; step = g->steps[step].chain_end) {
        peft_chain_run(g, ctx, step);
        if (ctx->error.status == PEFT_OK) continue;
        peft_fail(&g->result, ctx->error.status, "%s: %s", peft_ops[g->steps[step].node->op].name, ctx->error.message);
        return;
    }
}

static bool is_planned_for(const peft_graph *g, const peft_context *ctx)
{
    const peft_target target = peft_target_of(ctx);
    return g->planned && target.backend == g->target.backend && target.state == g->target.state &&
           target.threads == g->target.threads && target.dtype == g->target.dtype;
}

peft_status peft_graph_run(peft_graph *g, peft_context *ctx, peft_error *error)
{
    size_t bytes = g->planned_bytes;
    peft_graph_wait(g, NULL);
    peft_context_settle(ctx);
    g->ran = NULL;
    peft_status status = peft_graph_status(g, error);
    if (status == PEFT_OK) status = peft_graph_check_leaves(g, error);
    if (status == PEFT_OK && !is_planned_for(g, ctx)) status = peft_graph_plan(g, ctx, &bytes, error);
    if (status == PEFT_OK) status = peft_context_reserve(ctx, bytes, error);
    if (status == PEFT_OK) status = peft_graph_place_leaves(g, ctx, error);
    if (status != PEFT_OK) return status;

    bind(g, ctx);
    ctx->error.status = PEFT_OK;
    g->result = (peft_error){0};
    g->ran = ctx;
    if (ctx->backend->device) {
        g->running = ctx;
        ctx->running = g;
        ctx->backend->device->run(ctx->state, run_steps, g);
        return PEFT_OK;
    }
    run_steps(g);
    return peft_graph_wait(g, error);
}

peft_status peft_graph_wait(peft_graph *g, peft_error *error)
{
    peft_context *ctx = g->running;
    if (ctx) {
        ctx->backend->device->wait(ctx->state);
        peft_graph_read_gradients(g, ctx);
        g->running = NULL;
        ctx->running = NULL;
    }
    if (error && g->result.status != PEFT_OK) *error = g->result;
    return g->result.status;
}

void peft_context_settle(peft_context *ctx)
{
    if (ctx->running) peft_graph_wait(ctx->running, NULL);
}

/* ---- results ---- */

/* Is it there after the last step? */
static bool is_kept(const peft_graph *g, const peft_tensor *t)
{
    bool kept = t->kept || t->storage < 0;
    for (int32_t k = 0; k < g->num_leaves && !kept; k++) kept = g->leaves[k]->grad == t;
    return kept;
}

static peft_status copy_from_device(peft_graph *g, peft_tensor *t, const void **values, peft_error *error)
{
    size_t bytes = (size_t)peft_shape_count(&t->shape) * peft_dtype_bytes(t->dtype);
    if (!t->host) {
        void *copy = peft_arena_take(&g->arena, bytes);
        if (!copy) return peft_fail(error, PEFT_ERR_MEMORY, "read: out of memory for %zu bytes", bytes);
        g->ran->backend->device->read(g->ran->state, copy, t->data, bytes);
        t->host = copy;
    }
    *values = t->host;
    return PEFT_OK;
}

peft_status peft_graph_read(peft_graph *g, peft_tensor *t, const void **values, peft_error *error)
{
    peft_status status = peft_graph_wait(g, error);
    *values = NULL;
    if (status != PEFT_OK) return status;
    const char *name = t->name ? t->name : "a tensor";
    if (!g->ran) return peft_fail(error, PEFT_ERR_ARGUMENT, "read: %s: the graph was not run", name);
    if (!is_kept(g, t))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "read: %s: was not kept; say so by peft_graph_keep", name);
    bool on_device = g->ran->backend->device && (!t->leaf || t->leaf == PEFT_LEAF_STATE);
    if (on_device) return copy_from_device(g, t, values, error);
    *values = t->leaf && t->leaf != PEFT_LEAF_STATE ? t->host : t->data;
    return PEFT_OK;
}
