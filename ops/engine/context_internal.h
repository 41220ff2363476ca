/* ops/engine/context_internal.h - the context from within ops. */
#ifndef PEFT_OPS_ENGINE_CONTEXT_INTERNAL_H
#define PEFT_OPS_ENGINE_CONTEXT_INTERNAL_H

#include <stdatomic.h>

#include "ops/backend.h"
#include "ops/engine/graph_internal.h"
#include "ops/profile.h"

struct peft_context {
    const peft_backend *backend;
    void *state; /* the backend's */
    int threads;
    peft_dtype dtype;
    uint64_t seed;
    int64_t step;
    char *buffer; /* of the plan */
    size_t buffer_bytes;
    void *leaves; /* of a device: the leaves of the graph that runs */
    size_t leaf_bytes;
    peft_graph *running; /* that was not waited for; or NULL */
    char *scratch;       /* memory of the kernels that run, `scratch_stride` bytes for each thread */
    size_t scratch_stride;
    peft_profile *profile;       /* NULL: kernel calls are not timed */
    atomic_flag failing, timing; /* someone writes to the error, to the profile */
    peft_error error;
};

static inline const peft_kernel *peft_context_kernel(const peft_context *ctx, const peft_node *node)
{
    return ctx->backend->kernel(ctx->state, node);
}

static inline peft_target peft_target_of(const peft_context *ctx)
{
    return (peft_target){ctx->backend, ctx->state, ctx->threads, ctx->dtype};
}

/* Makes the plan's buffer at least this large; its content is lost. */
peft_status peft_context_reserve(peft_context *ctx, size_t bytes, peft_error *error);

/* Waits for the graph that runs, whose errors stay with it. */
void peft_context_settle(peft_context *ctx);

#endif
