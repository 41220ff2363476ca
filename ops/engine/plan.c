/* ops/engine/plan.c - where every tensor lives: one buffer, places reused as soon as their last reader has run.
 *
 *   1. lifetimes   first and last step that touches each storage
 *   2. in place    an op that allows it writes over an input that nobody reads any more: the two storages merge
 *   3. chains      steps that run together (ops/engine/chain.h): what one of them touches lives as long as all of them
 *                  what nobody else touches is local: each thread has it for its tile
 *   4. placement   largest first, at the lowest offset that is free during its whole lifetime (the greedy rule of
 *                  Pisarchyk and Lee 2020, arXiv 2001.03288, which comes close to the lower bound) */
#include "ops/engine/chain.h"
#include "ops/engine/context_internal.h"
#include "ops/engine/tiles.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 }; /* a cache line, and the widest vector */

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

peft_storage *peft_find_storage(peft_graph *g, int32_t storage)
{
    while (g->storages[storage].parent != storage) storage = g->storages[storage].parent;
    return &g->storages[storage];
}

static void add_use(peft_use *uses, int32_t *count, const peft_tensor *t, int32_t input, bool written)
{
    if (t && t->storage >= 0) uses[(*count)++] = (peft_use){t, input, written};
}

int32_t peft_step_uses(const peft_step *step, peft_use uses[PEFT_MAX_USES])
{
    const peft_node *node = step->node;
    uint32_t touched = ~0U;
    int32_t count = 0;
    if (step->backward) {
        touched = 0;
        add_use(uses, &count, node->dout, -1, false);
        for (int32_t i = 0; i < node->num_inputs; i++) {
            add_use(uses, &count, node->din[i], i, true);
            if (node->din[i]) touched |= peft_gradient_reads(node, i);
        }
    }
    for (int32_t i = 0; i < node->num_inputs; i++)
        if (touched & PEFT_IN(i)) add_use(uses, &count, node->in[i], i, false);
    for (int32_t j = 0; j < node->num_outputs; j++)
        if (touched & PEFT_OUT(j)) add_use(uses, &count, node->out[j], -1, !step->backward);
    return count;
}

static void touch_step(peft_graph *g, int32_t step)
{
    peft_use uses[PEFT_MAX_USES];
    int32_t count = peft_step_uses(&g->steps[step], uses);
    for (int32_t k = 0; k < count; k++) {
        peft_storage *s = &g->storages[uses[k].tensor->storage]; /* nothing is merged yet */
        if (s->first < 0) s->first = step;
        s->last = step;
    }
}

static void keep_to_the_end(peft_graph *g, const peft_tensor *t)
{
    if (t && t->storage >= 0) g->storages[t->storage].last = g->num_steps;
}

static void find_lifetimes(peft_graph *g)
{
    for (int32_t k = 0; k < g->num_storages; k++)
        g->storages[k] =
            (peft_storage){.bytes = g->storages[k].bytes, .first = -1, .last = -1, .parent = k, .chain = -1};
    for (int32_t step = 0; step < g->num_steps; step++) touch_step(g, step);
    for (int32_t k = 0; k < g->num_tensors; k++)
        if (g->tensors[k]->kept) keep_to_the_end(g, g->tensors[k]);
    for (int32_t n = 0; n < g->num_nodes; n++)
        for (int32_t i = 0; i < g->nodes[n]->num_inputs; i++) {
            const peft_tensor *in = g->nodes[n]->in[i];
            if (in && in->node < 0) keep_to_the_end(g, in->grad);
        }
}

static void merge_if_free(peft_graph *g, const peft_tensor *old, const peft_tensor *new, int32_t step)
{
    if (!old || !new || old->storage < 0 || new->storage < 0) return;
    peft_storage *from = peft_find_storage(g, old->storage), *to = peft_find_storage(g, new->storage);
    if (from == to || from->bytes != to->bytes || from->last != step || to->first != step) return;
    from->last = to->last;
    to->parent = (int32_t)(from - g->storages);
}

static void write_in_place(peft_graph *g)
{
    for (int32_t step = 0; step < g->num_steps; step++) {
        const peft_node *node = g->steps[step].node;
        const peft_op *op = &peft_ops[node->op];
        for (int32_t i = 0; i < node->num_inputs; i++) {
            if (!g->steps[step].backward) {
                if (op->in_place & PEFT_IN(i)) merge_if_free(g, node->in[i], node->out[0], step);
            } else if ((op->gradient_in_place & PEFT_IN(i)) && !peft_accumulates(node, i)) {
                merge_if_free(g, node->dout, node->din[i], step);
            }
        }
    }
}

static void live_as_long_as_chains(peft_graph *g)
{
    for (int32_t k = 0; k < g->num_storages; k++) {
        peft_storage *s = &g->storages[k];
        if (s->first < 0 || s->local) continue;
        s->first = g->steps[s->first].chain;
        if (s->last < g->num_steps) s->last = g->steps[g->steps[s->last].chain].chain_end - 1;
    }
}

/* A piece of the buffer from step `first` to step `last`: a storage, or the scratch memory of one step. */
typedef struct piece {
    size_t bytes, offset;
    int32_t first, last;
    size_t *place; /* where the offset goes */
} piece;

static int larger_first(const void *a, const void *b)
{
    const piece *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return (x->first > y->first) - (x->first < y->first);
}

/* `placed` is sorted by offset; the lowest gap among those alive at the same time as p, and its own slot in the order.
 */
static size_t lowest_gap(piece *const *placed, int32_t count, const piece *p)
{
    size_t offset = 0;
    for (int32_t k = 0; k < count; k++) {
        const piece *q = placed[k];
        if (q->last < p->first || p->last < q->first) continue;
        if (offset + p->bytes <= q->offset) break;
        if (q->offset + q->bytes > offset) offset = q->offset + q->bytes;
    }
    return offset;
}

static size_t place_all(piece *pieces, piece **placed, int32_t count)
{
    size_t peak = 0;
    qsort(pieces, (size_t)count, sizeof *pieces, larger_first);
    for (int32_t k = 0; k < count; k++) {
        piece *p = &pieces[k];
        *p->place = p->offset = lowest_gap(placed, k, p);
        int32_t slot = k;
        while (slot > 0 && placed[slot - 1]->offset > p->offset) slot--;
        memmove(placed + slot + 1, placed + slot, (size_t)(k - slot) * sizeof *placed);
        placed[slot] = p;
        if (p->offset + p->bytes > peak) peak = p->offset + p->bytes;
    }
    return peak;
}

/* Within a chain of several steps, local storages live from step to step. */
static void place_local(peft_graph *g, int32_t chain, piece *pieces, piece **placed)
{
    peft_step *first = &g->steps[chain];
    first->local_bytes = 0;
    if (first->chain_end == chain + 1) return;
    int64_t rows = peft_rows(first->node->out[0]);
    size_t most = (size_t)peft_tile_rows(rows);
    int32_t count = 0;
    for (int32_t k = 0; k < g->num_storages; k++) {
        peft_storage *s = &g->storages[k];
        if (!s->local || s->first < chain || s->last >= first->chain_end) continue;
        pieces[count++] = (piece){aligned(s->bytes / (size_t)rows * most), 0, s->first, s->last, &s->offset};
    }
    first->local_bytes = place_all(pieces, placed, count);
}

static int32_t collect_pieces(peft_graph *g, const peft_context *ctx, piece *pieces)
{
    int32_t count = 0;
    for (int32_t k = 0; k < g->num_storages; k++) {
        peft_storage *s = &g->storages[k];
        if (s->parent != k || s->first < 0 || !s->bytes || s->local) continue;
        pieces[count++] = (piece){aligned(s->bytes), 0, s->first, s->last, &s->offset};
    }
    for (int32_t step = 0; step < g->num_steps; step++) {
        peft_step *s = &g->steps[step], *first = &g->steps[s->chain];
        const peft_kernel *kernel = peft_context_kernel(ctx, s->node);
        size_t each = kernel->thread_bytes ? aligned(kernel->thread_bytes(s->node, s->backward)) : 0;
        s->shared_bytes = kernel->shared_bytes ? aligned(kernel->shared_bytes(s->node, s->backward)) : 0;
        s->scratch_stride = 0;
        if (each > first->scratch_stride) first->scratch_stride = each;
        if (s->shared_bytes)
            pieces[count++] = (piece){s->shared_bytes, 0, s->chain, first->chain_end - 1, &s->shared_offset};
    }
    for (int32_t step = 0; step < g->num_steps; step = g->steps[step].chain_end) {
        peft_step *s = &g->steps[step];
        s->scratch_stride += s->local_bytes;
        size_t bytes = s->scratch_stride * (size_t)peft_context_threads(ctx);
        if (bytes) pieces[count++] = (piece){bytes, 0, step, s->chain_end - 1, &s->scratch_offset};
    }
    return count;
}

/* Merged storages have the place of the one they were merged into. */
static void resolve_merged(peft_graph *g)
{
    for (int32_t k = 0; k < g->num_storages; k++) {
        const peft_storage *s = peft_find_storage(g, k);
        g->storages[k].offset = s->offset;
        g->storages[k].local = s->local;
    }
}

/* Which of the values that a step touches are bf16, of those that it reads or of those that it writes: as in
 * peft_kernel.
 */
static uint32_t find_bf16(const peft_step *step, bool written)
{
    peft_use uses[PEFT_MAX_USES];
    int32_t count = peft_step_uses(step, uses);
    uint32_t found = 0;
    for (int32_t k = 0; k < count; k++)
        if (uses[k].written == written && uses[k].tensor->dtype == PEFT_BF16)
            found |= uses[k].input < 0 ? PEFT_OUT(0) : PEFT_IN(uses[k].input);
    return found;
}

/* Another context's kernels may take bf16 for floats. */
static peft_status check_types(const peft_graph *g, const peft_context *ctx, peft_error *error)
{
    for (int32_t k = 0; k < g->num_steps && g->keeps_bf16; k++) {
        const peft_node *node = g->steps[k].node;
        const peft_kernel *kernel = peft_context_kernel(ctx, node);
        uint32_t takes = kernel->rounds && !kernel->rounds(node) ? 0 : kernel->takes_bf16;
        if ((find_bf16(&g->steps[k], false) & ~takes) || (find_bf16(&g->steps[k], true) & ~kernel->gives_bf16))
            return peft_fail(error, PEFT_ERR_ARGUMENT,
                             "plan: values of %s are kept in bf16, as another context has them; run the graph in the "
                             "context that it was differentiated for",
                             peft_ops[node->op].name);
    }
    return PEFT_OK;
}

peft_status peft_graph_plan(peft_graph *g, const peft_context *ctx, size_t *bytes, peft_error *error)
{
    *bytes = 0;
    if (peft_graph_failed(g) || !peft_graph_schedule_forward(g)) return peft_graph_status(g, error);
    peft_status status = check_types(g, ctx, error);
    if (status != PEFT_OK) return status;
    find_lifetimes(g);
    write_in_place(g);
    peft_graph_find_chains(g, ctx);
    live_as_long_as_chains(g);
    size_t most = (size_t)g->num_storages + 2 * (size_t)g->num_steps;
    piece *pieces = calloc(most, sizeof *pieces);
    piece **placed = calloc(most, sizeof *placed);
    if (!pieces || !placed) {
        free(pieces);
        free(placed);
        return peft_fail(error, PEFT_ERR_MEMORY, "plan: out of memory for %zu entries", most);
    }
    for (int32_t step = 0; step < g->num_steps; step = g->steps[step].chain_end) place_local(g, step, pieces, placed);
    g->planned_bytes = place_all(pieces, placed, collect_pieces(g, ctx, pieces));
    resolve_merged(g);
    free(pieces);
    free(placed);
    g->planned = true;
    g->target = peft_target_of(ctx);
    *bytes = g->planned_bytes;
    return PEFT_OK;
}

size_t peft_graph_library_bytes(const peft_graph *g, const peft_context *ctx)
{
    size_t most = 0;
    for (int32_t k = 0; k < g->num_nodes; k++) {
        const peft_kernel *kernel = peft_context_kernel(ctx, g->nodes[k]);
        size_t bytes = kernel->library_bytes ? kernel->library_bytes(g->nodes[k]) : 0;
        if (bytes > most) most = bytes;
    }
    return most * (size_t)peft_context_threads(ctx);
}
