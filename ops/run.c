/* ops/run.c - the schedule, step by step. */
#include "ops/context_internal.h"
#include "ops/graph_internal.h"

static void bind(peft_graph *g, peft_context *ctx)
{
    for (int32_t k = 0; k < g->num_tensors; k++) {
        peft_tensor *t = g->tensors[k];
        t->data = ctx->buffer + g->storages[t->storage].offset;
    }
}

static void run_step(const peft_step *step, peft_context *ctx)
{
    const peft_kernel *kernel = peft_context_kernel(ctx, step->node);
    ctx->shared = ctx->buffer + step->scratch_offset;
    ctx->scratch = ctx->shared + step->scratch_shared;
    ctx->scratch_stride = step->scratch_stride;
    (step->backward ? kernel->backward : kernel->forward)(step->node, ctx);
}

static void run_timed(const peft_step *step, peft_context *ctx)
{
    peft_profile *profile = ctx->profile;
    peft_profile_line *line = &profile->lines[step->node->op][step->backward];
    peft_cost cost = peft_node_cost(step->node, step->backward);
    double began = profile->clock();
    run_step(step, ctx);
    line->seconds += profile->clock() - began;
    line->cost.flops += cost.flops;
    line->cost.bytes += cost.bytes;
    line->calls++;
}

peft_status peft_graph_run(peft_graph *g, peft_context *ctx, peft_error *error)
{
    size_t bytes = g->planned_bytes;
    peft_status status = peft_graph_status(g, error);
    bool fits = g->planned && g->planned_threads == ctx->threads && g->planned_backend == ctx->backend &&
                g->planned_dnnl == ctx->dnnl;
    if (status == PEFT_OK && !fits) status = peft_graph_plan(g, ctx, &bytes, error);
    if (status == PEFT_OK) status = peft_context_reserve(ctx, bytes, error);
    if (status != PEFT_OK) return status;

    bind(g, ctx);
    ctx->error.status = PEFT_OK;
    for (int32_t step = 0; step < g->num_steps; step++) {
        (ctx->profile ? run_timed : run_step)(&g->steps[step], ctx);
        if (ctx->error.status != PEFT_OK)
            return peft_fail(error, ctx->error.status, "%s: %s", peft_ops[g->steps[step].node->op].name,
                             ctx->error.message);
    }
    return PEFT_OK;
}
