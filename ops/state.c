#include "ops/state.h"

#include <stdlib.h>
#include <string.h>

#include "ops/engine/context_internal.h"

static size_t bytes_of(const peft_state *s)
{
    return (size_t)peft_shape_count(&s->shape) * peft_dtype_bytes(s->dtype);
}

static peft_status allocate(peft_state *s, peft_error *error)
{
    const peft_device *device = s->ctx->backend->device;
    if (device) return device->allocate(s->ctx->state, bytes_of(s), &s->memory, error);
    s->memory = malloc(bytes_of(s) + 1);
    return s->memory ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", s->name);
}

peft_status peft_state_open(peft_state **state, peft_context *ctx, const char *name, peft_dtype dtype, peft_shape shape,
                            const void *values, peft_error *error)
{
    *state = NULL;
    peft_state *made = malloc(sizeof *made);
    if (!made) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", name);
    *made = (peft_state){ctx, name, dtype, shape, NULL};
    peft_context_settle(ctx);
    peft_status status = allocate(made, error);
    if (status != PEFT_OK) {
        free(made);
        return status;
    }
    peft_state_write(made, values);
    *state = made;
    return PEFT_OK;
}

void peft_state_close(peft_state *state)
{
    if (!state) return;
    const peft_device *device = state->ctx->backend->device;
    peft_context_settle(state->ctx);
    if (device)
        device->release(state->ctx->state, state->memory);
    else
        free(state->memory);
    free(state);
}

void peft_state_read(const peft_state *state, void *values)
{
    const peft_device *device = state->ctx->backend->device;
    peft_context_settle(state->ctx);
    if (device)
        device->read(state->ctx->state, values, state->memory, bytes_of(state));
    else
        memcpy(values, state->memory, bytes_of(state));
}

void peft_state_write(const peft_state *state, const void *values)
{
    const peft_device *device = state->ctx->backend->device;
    peft_context_settle(state->ctx);
    if (device)
        device->upload(state->ctx->state, PEFT_LEAF_STATE, state->memory, values, bytes_of(state));
    else
        memcpy(state->memory, values, bytes_of(state));
}

peft_tensor *peft_state_leaf(peft_graph *g, peft_state *state)
{
    peft_tensor *leaf = peft_graph_leaf(g, PEFT_LEAF_STATE, state->dtype, state->shape, NULL, state->name);
    if (leaf) leaf->state = state;
    return leaf;
}
