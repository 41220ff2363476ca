/* ops/engine/run.c - the schedule, chain by chain. */
#include "ops/engine/chain.h"
#include "ops/engine/context_internal.h"

static void bind(peft_graph *g, peft_context *ctx)
{
    for (int32_t k = 0; k < g->num_tensors; k++) {
        peft_tensor *t = g->tensors[k];
        const peft_storage *s = &g->storages[t->storage];
        t->data = s->local ? NULL : ctx->buffer + s->offset; /* ops/engine/chain.c places what is local */
    }
}

peft_status peft_graph_run(peft_graph *g, peft_context *ctx, peft_error *error)
{
    size_t bytes = g->planned_bytes;
    peft_status status = peft_graph_status(g, error);
    const peft_target target = peft_target_of(ctx);
    bool fits = g->planned && target.backend == g->target.backend && target.state == g->target.state &&
                target.threads == g->target.threads && target.dtype == g->target.dtype;
    if (status == PEFT_OK && !fits) status = peft_graph_plan(g, ctx, &bytes, error);
    if (status == PEFT_OK) status = peft_context_reserve(ctx, bytes, error);
    if (status != PEFT_OK) return status;

    bind(g, ctx);
    ctx->error.status = PEFT_OK;
    for (int32_t step = 0; step < g->num_steps; step = g->steps[step].chain_end) {
        peft_chain_run(g, ctx, step);
        if (ctx->error.status != PEFT_OK)
            return peft_fail(error, ctx->error.status, "%s: %s", peft_ops[g->steps[step].node->op].name,
                             ctx->error.message);
    }
    return PEFT_OK;
}
