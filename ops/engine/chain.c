#include "ops/engine/chain.h"

#include "ops/engine/context_internal.h"
#include "ops/engine/tiles.h"

/* ---- who runs together ---- */

/* How a chain uses a storage: its rows one by one, or as a whole, which is all there before the chain or after it. */
enum { ROWS_READ = 1, ROWS_WRITTEN = 2, WHOLE_READ = 4, WHOLE_WRITTEN = 8 };

static int64_t rows_of(const peft_step *step)
{
    return peft_rows(step->node->out[0]);
}

/* NULL: the step runs alone, which spreads work over the threads also where there is but one tile. */
static const peft_row_work *work_of(const peft_context *ctx, const peft_step *step)
{
    const peft_row_work *work = peft_context_kernel(ctx, step->node)->by_rows[step->backward];
    bool fits = ctx->backend->chains && work && rows_of(step) > PEFT_LEAST_TILE &&
                (!work->allowed || work->allowed(step->node));
    return fits ? work : NULL;
}

static uint32_t kind_of_use(const peft_use *use, const peft_row_work *work, int64_t rows)
{
    bool named = use->input < 0 || (work && work->inputs & PEFT_IN(use->input));
    if (named && peft_rows(use->tensor) == rows) return use->written ? ROWS_WRITTEN : ROWS_READ;
    return use->written ? WHOLE_WRITTEN : WHOLE_READ;
}

/* May a step use a storage in this way after the chain has used it in those? Row by row one follows the other within a
 * tile; but what is read as a whole must not change in the chain, and what is written as a whole is there only after.
 */
static bool may_follow(uint32_t uses, uint32_t use)
{
    static const uint32_t forbidden[] = {[ROWS_READ] = WHOLE_WRITTEN,
                                         [ROWS_WRITTEN] = WHOLE_WRITTEN | WHOLE_READ,
                                         [WHOLE_READ] = WHOLE_WRITTEN | ROWS_WRITTEN,
                                         [WHOLE_WRITTEN] = WHOLE_WRITTEN | WHOLE_READ | ROWS_WRITTEN | ROWS_READ};
    return !(uses & forbidden[use]);
}

/* What runs a segment again does not join the backward of the segment after it, whose gradients would live on. */
static bool continues(peft_phase before, peft_phase phase)
{
    return phase == before || (before == PEFT_SEGMENT_AGAIN && phase == PEFT_BACKWARD);
}

static bool joins(peft_graph *g, const peft_step *first, const peft_step *step, const peft_row_work *work)
{
    if (first == step || !first->work || !work || rows_of(first) != rows_of(step)) return false;
    if (!continues(step[-1].phase, step->phase)) return false;
    peft_use uses[PEFT_MAX_USES];
    int32_t count = peft_step_uses(step, uses);
    for (int32_t k = 0; k < count; k++) {
        const peft_storage *s = peft_find_storage(g, uses[k].tensor->storage);
        if (s->chain == first->chain && !may_follow(s->uses, kind_of_use(&uses[k], work, rows_of(step)))) return false;
    }
    return true;
}

static void note_uses(peft_graph *g, const peft_step *step)
{
    peft_use uses[PEFT_MAX_USES];
    int32_t count = peft_step_uses(step, uses);
    for (int32_t k = 0; k < count; k++) {
        peft_storage *s = peft_find_storage(g, uses[k].tensor->storage);
        if (s->chain != step->chain) s->uses = 0;
        s->chain = step->chain;
        s->uses |= kind_of_use(&uses[k], step->work, rows_of(step));
    }
}

/* Where each thread has a tile, its memory is less than that of all rows. */
static bool tiles_are_fewer_rows(const peft_context *ctx, const peft_step *first)
{
    return peft_context_threads(ctx) * peft_tile_rows(rows_of(first)) < rows_of(first);
}

static void find_local(peft_graph *g, const peft_context *ctx)
{
    for (int32_t k = 0; k < g->num_storages; k++) {
        peft_storage *s = &g->storages[k];
        if (s->parent != k || s->first < 0 || s->last >= g->num_steps) continue;
        const peft_step *first = &g->steps[g->steps[s->first].chain];
        bool together = first->chain_end > first->chain + 1 && s->last < first->chain_end;
        s->local = together && !(s->uses & (WHOLE_READ | WHOLE_WRITTEN)) && tiles_are_fewer_rows(ctx, first);
    }
}

void peft_graph_find_chains(peft_graph *g, const peft_context *ctx)
{
    int32_t first = 0;
    for (int32_t k = 0; k < g->num_steps; k++) {
        peft_step *step = &g->steps[k];
        const peft_row_work *work = work_of(ctx, step);
        if (g->unchained || !joins(g, &g->steps[first], step, work)) first = k;
        step->chain = first;
        step->work = work;
        g->steps[first].chain_end = k + 1;
        note_uses(g, step);
    }
    find_local(g, ctx);
}

/* ---- running ---- */

static double start_clock(const peft_context *ctx)
{
    return ctx->profile ? ctx->profile->clock() : 0;
}

/* The time since `began`, which so many threads spend side by side. */
static void add_seconds(peft_context *ctx, const peft_step *step, double began, int threads)
{
    if (!ctx->profile) return;
    double seconds = (ctx->profile->clock() - began) / threads;
    while (atomic_flag_test_and_set(&ctx->timing)) continue;
    ctx->profile->lines[step->node->op][step->backward].seconds += seconds;
    atomic_flag_clear(&ctx->timing);
}

static void count_call(peft_context *ctx, const peft_step *step)
{
    peft_profile_line *line = &ctx->profile->lines[step->node->op][step->backward];
    peft_cost cost = peft_node_cost(step->node, step->backward);
    line->cost.flops += cost.flops;
    line->cost.bytes += cost.bytes;
    line->calls++;
}

typedef struct chain_loop {
    const peft_graph *g;
    peft_context *ctx;
    int32_t first, end; /* steps */
    int64_t rows, tiles;
} chain_loop;

/* The node as this step runs it. It may be that of two steps of a chain, which runs it again before its backward. */
static peft_node node_of(const peft_step *step, const peft_context *ctx)
{
    peft_node node = *step->node;
    node.shared = ctx->buffer + step->shared_offset;
    return node;
}

/* A node for one tile: its tensors that are local lie where the thread has them. */
typedef struct tile_node {
    peft_node node;
    peft_tensor tensors[PEFT_MAX_USES];
    int32_t num_tensors;
} tile_node;

static void place_tensor(tile_node *t, peft_tensor **tensor, const chain_loop *l, int64_t begin, char *memory)
{
    const peft_storage *s = *tensor && (*tensor)->storage >= 0 ? &l->g->storages[(*tensor)->storage] : NULL;
    if (!s || !s->local) return;
    peft_tensor *own = &t->tensors[t->num_tensors++];
    *own = **tensor;
    own->data = memory + s->offset;
    own->first_row = begin;
    *tensor = own;
}

static void place_node(tile_node *t, const peft_step *step, const chain_loop *l, int64_t begin, char *memory)
{
    t->node = node_of(step, l->ctx);
    t->num_tensors = 0;
    for (int32_t i = 0; i < t->node.num_inputs; i++) place_tensor(t, &t->node.in[i], l, begin, memory);
    for (int32_t i = 0; i < t->node.num_inputs; i++) place_tensor(t, &t->node.din[i], l, begin, memory);
    for (int32_t j = 0; j < t->node.num_outputs; j++) place_tensor(t, &t->node.out[j], l, begin, memory);
    place_tensor(t, &t->node.dout, l, begin, memory);
}

/* Of a thread: its rows of local tensors, then scratch memory for the kernels. */
static char *memory_of(const chain_loop *l, int thread)
{
    return l->ctx->scratch + (size_t)thread * l->ctx->scratch_stride;
}

static peft_thread thread_of(const chain_loop *l, int thread)
{
    return (peft_thread){thread, memory_of(l, thread) + l->g->steps[l->first].local_bytes};
}

static void run_tile(void *argument, int64_t piece, int thread)
{
    const chain_loop *l = argument;
    int64_t begin = peft_tile_begin(l->rows, l->tiles, piece), end = peft_tile_begin(l->rows, l->tiles, piece + 1);
    char *memory = memory_of(l, thread);
    const peft_thread own = thread_of(l, thread);
    for (int32_t k = l->first; k < l->end; k++) {
        const peft_step *step = &l->g->steps[k];
        int64_t unit = step->work->elements ? peft_columns(step->node->out[0]) : 1;
        double began = start_clock(l->ctx);
        tile_node t;
        place_node(&t, step, l, begin, memory);
        step->work->run(&t.node, l->ctx, begin * unit, end * unit, &own);
        add_seconds(l->ctx, step, began, l->ctx->threads);
    }
}

/* What the steps of a chain do before its first rows, or after its last. */
typedef struct part_loop {
    const chain_loop *chain;
    bool after;
} part_loop;

static const peft_part *part_of(const peft_step *step, bool after)
{
    return after ? &step->work->after : &step->work->before;
}

static int64_t pieces_of(const peft_step *step, bool after)
{
    const peft_part *part = part_of(step, after);
    return part->run ? part->pieces(step->node) : 0;
}

static void run_part_piece(void *argument, int64_t piece, int thread)
{
    const part_loop *p = argument;
    const chain_loop *l = p->chain;
    const peft_step *step = &l->g->steps[l->first];
    for (int64_t pieces; piece >= (pieces = pieces_of(step, p->after)); step++) piece -= pieces;
    const peft_thread own = thread_of(l, thread);
    double began = start_clock(l->ctx);
    const peft_node node = node_of(step, l->ctx);
    part_of(step, p->after)->run(&node, l->ctx, piece, piece + 1, &own);
    add_seconds(l->ctx, step, began, l->ctx->threads);
}

static void run_parts(const chain_loop *l, bool after)
{
    part_loop loop = {l, after};
    int64_t pieces = 0;
    for (int32_t k = l->first; k < l->end; k++) pieces += pieces_of(&l->g->steps[k], after);
    l->ctx->backend->loop(l->ctx->state, pieces, run_part_piece, &loop);
}

static void run_together(const peft_graph *g, peft_context *ctx, int32_t first, int32_t end)
{
    int64_t rows = rows_of(&g->steps[first]);
    chain_loop loop = {g, ctx, first, end, rows, peft_tiles(rows)};
    run_parts(&loop, false);
    ctx->backend->loop(ctx->state, loop.tiles, run_tile, &loop);
    run_parts(&loop, true);
}

static void run_alone(const peft_step *step, peft_context *ctx)
{
    const peft_kernel *kernel = peft_context_kernel(ctx, step->node);
    const peft_node node = node_of(step, ctx);
    double began = start_clock(ctx);
    (step->backward ? kernel->backward : kernel->forward)(&node, ctx);
    add_seconds(ctx, step, began, 1);
}

void peft_chain_run(const peft_graph *g, peft_context *ctx, int32_t first)
{
    const peft_step *begin = &g->steps[first];
    int32_t end = begin->chain_end;
    ctx->scratch = ctx->buffer + begin->scratch_offset;
    ctx->scratch_stride = begin->scratch_stride;
    for (int32_t k = first; k < end && ctx->profile; k++) count_call(ctx, &g->steps[k]);
    if (end == first + 1)
        run_alone(begin, ctx);
    else
        run_together(g, ctx, first, end);
}
