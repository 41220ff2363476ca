#include "ops/engine/context_internal.h"
#include "ops/engine/graph_internal.h"

#include <stdlib.h>
#include <string.h>

peft_status peft_graph_create(peft_graph **g, peft_error *error)
{
    *g = calloc(1, sizeof **g);
    if (!*g) return peft_fail(error, PEFT_ERR_MEMORY, "graph: out of memory");
    (*g)->segment = -1;
    (*g)->loss_share = 1;
    (*g)->least_recalled_rows = INT64_MAX;
    return PEFT_OK;
}

void peft_graph_free(peft_graph *g)
{
    if (!g) return;
    peft_graph_wait(g, NULL);
    peft_arena_free(&g->arena);
    free(g->nodes);
    free(g->tensors);
    free(g->leaves);
    free(g->storages);
    free(g->steps);
    free(g->losses.values);
    free(g->observations.values);
    free(g->bindings);
    free(g);
}

void peft_graph_reset(peft_graph *g)
{
    peft_graph_wait(g, NULL);
    peft_arena_reset(&g->arena);
    g->error = g->result = (peft_error){0};
    g->ran = NULL;
    g->num_leaves = 0;
    g->num_nodes = g->num_tensors = g->num_storages = g->num_steps = g->num_segments = 0;
    g->segment = -1;
    g->losses.count = g->observations.count = g->num_bindings = 0;
    g->differentiated = g->planned = g->totalled = false;
    g->loss_share = 1;
}

void peft_graph_set_context(peft_graph *g, const peft_context *ctx)
{
    g->ctx = ctx;
    g->least_recalled_rows = ctx->backend->least_recalled_rows;
}

void peft_graph_keep_bf16(peft_graph *g)
{
    g->keeps_bf16 = true;
}

peft_status peft_graph_status(const peft_graph *g, peft_error *error)
{
    if (error && g->error.status != PEFT_OK) *error = g->error;
    return g->error.status;
}

bool peft_graph_failed(const peft_graph *g)
{
    return g->error.status != PEFT_OK;
}

void *peft_graph_fail(peft_graph *g, peft_status status, const char *format, ...)
{
    if (!peft_graph_failed(g)) {
        va_list arguments;
        va_start(arguments, format);
        peft_fail_va(&g->error, status, format, arguments);
        va_end(arguments);
    }
    return NULL;
}

bool peft_graph_grow(peft_graph *g, void **array, int32_t count, int32_t *capacity, size_t element_bytes)
{
    if (count < *capacity) return true;
    int32_t larger = *capacity ? *capacity * 2 : 256;
    void *moved = realloc(*array, (size_t)larger * element_bytes);
    if (!moved) return peft_graph_fail(g, PEFT_ERR_MEMORY, "graph: out of memory at %d entries", larger);
    *array = moved;
    *capacity = larger;
    return true;
}

peft_tensor *peft_graph_new_tensor(peft_graph *g, peft_dtype dtype, peft_shape shape, int32_t storage)
{
    peft_tensor *t = peft_arena_take(&g->arena, sizeof *t);
    if (!t) return peft_graph_fail(g, PEFT_ERR_MEMORY, "graph: out of memory for a tensor");
    *t = (peft_tensor){.dtype = dtype, .shape = shape, .node = -1, .storage = storage};
    if (storage < 0) {
        if (!peft_graph_grow(g, (void **)&g->leaves, g->num_leaves, &g->leaf_capacity, sizeof *g->leaves)) return NULL;
        return g->leaves[g->num_leaves++] = t;
    }
    if (!peft_graph_grow(g, (void **)&g->tensors, g->num_tensors, &g->tensor_capacity, sizeof *g->tensors)) return NULL;
    return g->tensors[g->num_tensors++] = t;
}

peft_tensor *peft_graph_place(peft_graph *g, peft_dtype dtype, peft_shape shape)
{
    if (!peft_graph_grow(g, (void **)&g->storages, g->num_storages, &g->storage_capacity, sizeof *g->storages))
        return NULL;
    int32_t storage = g->num_storages;
    peft_tensor *t = peft_graph_new_tensor(g, dtype, shape, storage);
    if (!t) return NULL;
    size_t bytes = (size_t)peft_shape_count(&shape) * peft_dtype_bytes(dtype);
    g->storages[g->num_storages++] = (peft_storage){.bytes = bytes, .first = -1, .parent = storage};
    return t;
}

peft_tensor *peft_graph_leaf(peft_graph *g, peft_leaf kind, peft_dtype dtype, peft_shape shape, const void *host,
                             const char *name)
{
    if (peft_graph_failed(g)) return NULL;
    peft_tensor *t = peft_graph_new_tensor(g, dtype, shape, -1);
    if (!t) return NULL;
    t->leaf = kind;
    t->host = host;
    t->name = name;
    return t;
}

peft_tensor *peft_constant(peft_graph *g, peft_dtype dtype, peft_shape shape, const void *data, const char *name)
{
    return peft_graph_leaf(g, PEFT_LEAF_BATCH, dtype, shape, data, name);
}

peft_tensor *peft_parameter(peft_graph *g, peft_dtype dtype, peft_shape shape, void *data, void *grad, const char *name)
{
    peft_tensor *t = peft_graph_leaf(g, PEFT_LEAF_VALUE, dtype, shape, data, name);
    if (!t || !grad) return t;
    t->grad = peft_graph_leaf(g, PEFT_LEAF_GRADIENT, dtype, shape, grad, name);
    if (t->grad) t->requires_grad = t->grad->kept = true;
    return t;
}

peft_tensor *peft_variable(peft_graph *g, peft_dtype dtype, peft_shape shape, const void *data, const char *name)
{
    peft_tensor *t = peft_constant(g, dtype, shape, data, name);
    if (t) t->requires_grad = true;
    return t;
}

peft_tensor *peft_graph_keep(peft_graph *g, peft_tensor *t)
{
    (void)g;
    if (t) t->kept = true;
    return t;
}

void peft_graph_checkpoint_begin(peft_graph *g)
{
    if (g->segment >= 0) peft_graph_fail(g, PEFT_ERR_ARGUMENT, "checkpoint: segments may not be nested");
    g->segment = g->num_segments++;
}

void peft_graph_checkpoint_end(peft_graph *g)
{
    if (g->segment < 0) peft_graph_fail(g, PEFT_ERR_ARGUMENT, "checkpoint: end without begin");
    g->segment = -1;
}

peft_node *peft_graph_new_node(peft_graph *g, peft_op_id op)
{
    peft_node *node = peft_arena_take(&g->arena, sizeof *node);
    if (!node) return peft_graph_fail(g, PEFT_ERR_MEMORY, "%s: out of memory", peft_ops[op].name);
    node->op = op;
    node->segment = -1;
    return node;
}

peft_node *peft_graph_copy_node(peft_graph *g, const peft_node *node)
{
    peft_node *copy = peft_graph_new_node(g, node->op);
    if (copy) *copy = *node;
    return copy;
}

static peft_node *append(peft_graph *g, peft_op_id op, int32_t num_inputs, peft_tensor *const *inputs,
                         const void *attributes, size_t attribute_bytes)
{
    if (g->differentiated)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: the graph has been differentiated already; reset it first",
                               peft_ops[op].name);
    peft_node *node = peft_graph_new_node(g, op);
    if (!node || !peft_graph_grow(g, (void **)&g->nodes, g->num_nodes, &g->node_capacity, sizeof *g->nodes))
        return NULL;
    node->num_inputs = num_inputs;
    node->segment = g->segment;
    memcpy(node->in, inputs, (size_t)num_inputs * sizeof *inputs);
    if (attribute_bytes) {
        void *copy = peft_arena_take(&g->arena, attribute_bytes);
        if (!copy) return peft_graph_fail(g, PEFT_ERR_MEMORY, "%s: out of memory", peft_ops[op].name);
        node->attributes = memcpy(copy, attributes, attribute_bytes);
    }
    g->nodes[g->num_nodes++] = node;
    return node;
}

/* As floats, which the plan has room for while they are read. */
static peft_tensor *widen(peft_graph *g, peft_tensor *weight)
{
    peft_node *node = append(g, PEFT_OP_widen, 1, &weight, NULL, 0);
    return peft_node_output(g, node, weight->dtype, weight->shape);
}

static bool is_stored_otherwise(const peft_tensor *t)
{
    const peft_stored *stored = t && t->weight ? &t->weight->stored : NULL;
    return stored && (stored->format != PEFT_FORMAT_F32 || stored->transposed);
}

peft_node *peft_graph_append(peft_graph *g, peft_op_id op, int32_t num_inputs, peft_tensor *const *inputs,
                             const void *attributes, size_t attribute_bytes)
{
    if (peft_graph_failed(g)) return NULL;
    peft_tensor *readable[PEFT_MAX_INPUTS];
    for (int32_t i = 0; i < num_inputs; i++) {
        bool reads = peft_ops[op].reads_stored & PEFT_IN(i) || !is_stored_otherwise(inputs[i]);
        readable[i] = reads ? inputs[i] : widen(g, inputs[i]);
    }
    return peft_graph_failed(g) ? NULL : append(g, op, num_inputs, readable, attributes, attribute_bytes);
}

/* Only a result depends on what the inputs ask for; what is saved for backward does not. */
static bool any_input_requires_grad(const peft_node *node)
{
    for (int32_t i = 0; i < node->num_inputs; i++)
        if (node->in[i] && node->in[i]->requires_grad) return true;
    return false;
}

peft_tensor *peft_node_output(peft_graph *g, peft_node *node, peft_dtype dtype, peft_shape shape)
{
    if (!node || peft_graph_failed(g)) return NULL;
    bool result = node->num_outputs == 0;
    peft_tensor *t;
    if (result && peft_ops[node->op].view) {
        t = peft_graph_new_tensor(g, dtype, shape, node->in[0]->storage);
        if (t) t->of = peft_leaf_of(node->in[0]);
    } else {
        t = peft_graph_place(g, dtype, shape);
    }
    if (!t) return NULL;
    t->node = g->num_nodes - 1;
    t->requires_grad = result && any_input_requires_grad(node);
    return node->out[node->num_outputs++] = t;
}

bool peft_graph_push_step(peft_graph *g, peft_step step)
{
    if (!step.backward && peft_ops[step.node->op].view) return true; /* nothing to do */
    if (!peft_graph_grow(g, (void **)&g->steps, g->num_steps, &g->step_capacity, sizeof *g->steps)) return false;
    g->steps[g->num_steps++] = step;
    return true;
}

bool peft_graph_schedule_forward(peft_graph *g)
{
    if (g->num_steps) return true;
    for (int32_t n = 0; n < g->num_nodes; n++)
        if (!peft_graph_push_step(g, (peft_step){.node = g->nodes[n]})) return false;
    return true;
}
