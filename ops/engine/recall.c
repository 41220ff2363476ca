#include "ops/engine/recall.h"

#include "ops/engine/narrow.h"

enum { KEPT, AGAIN, ROUNDED };

/* Narrower results stay as they are: gates and logits take little memory and decide a lot. */
enum { LEAST_ROUNDED_COLUMNS = 64 };

static const peft_node *maker_of(const peft_graph *g, const peft_tensor *t)
{
    return t && t->node >= 0 ? g->nodes[t->node] : NULL;
}

/* What the backward kernel of `node` will read, given the gradients that are wanted. */
static uint32_t backward_reads(const peft_node *node)
{
    uint32_t reads = 0;
    for (int32_t i = 0; i < node->num_inputs; i++)
        if (node->in[i] && node->in[i]->requires_grad) reads |= peft_gradient_reads(node, i);
    return reads;
}

/* ---- decisions ---- */

/* Marks the storages that the caller keeps. */
static void mark_kept(const peft_graph *g, bool *kept)
{
    for (int32_t k = 0; k < g->num_tensors; k++)
        if (g->tensors[k]->kept) kept[g->tensors[k]->storage] = true;
}

/* Marks the nodes whose results a segment reads that they are not in: they are there when it runs again. */
static void mark_entering(const peft_graph *g, bool *entering)
{
    for (int32_t n = 0; n < g->num_nodes; n++)
        for (int32_t i = 0; i < g->nodes[n]->num_inputs; i++) {
            const peft_tensor *in = g->nodes[n]->in[i];
            const peft_node *maker = maker_of(g, in);
            if (maker && g->nodes[n]->segment >= 0 && maker->segment != g->nodes[n]->segment) entering[in->node] = true;
        }
}

/* Is input i there when the node runs again: the caller's, computed again too, or kept until a later backward, which is
 * that of the node or of the input's maker? Where its own backward needs what is computed again, it does not follow: of
 * a row of activations every second one is stored, since all of them, computed again at once, would save nothing. */
static bool is_there(const peft_recall *r, const peft_node *node, int32_t i)
{
    const peft_tensor *in = node->in[i];
    if (!in || in->storage < 0) return true;
    const peft_node *maker = maker_of(r->g, in);
    bool read = backward_reads(node) & PEFT_IN(i), kept = maker->segment < 0 && backward_reads(maker) & PEFT_OUT(0);
    return r->manner[in->node] == AGAIN ? !read : read || kept;
}

static bool inputs_are_there(const peft_recall *r, const peft_node *node)
{
    for (int32_t i = 0; i < node->num_inputs; i++)
        if (!is_there(r, node, i)) return false;
    return true;
}

static bool may_be_recalled(const peft_graph *g, const peft_tensor *y, const bool *kept)
{
    bool many = peft_rows(y) >= g->least_recalled_rows || (y->node >= 0 && peft_ops[g->nodes[y->node]->op].unkept);
    return y->storage >= 0 && !kept[y->storage] && many;
}

static void find_again(peft_recall *r, const bool *kept, const bool *entering)
{
    for (int32_t n = 0; n < r->g->num_nodes; n++) {
        const peft_node *node = r->g->nodes[n], *maker = maker_of(r->g, node->in[0]);
        const peft_op *op = &peft_ops[node->op];
        if (node->segment >= 0 || entering[n] || !may_be_recalled(r->g, node->out[0], kept)) continue;
        bool again = op->view ? maker && r->manner[node->in[0]->node] == AGAIN : op->cheap && inputs_are_there(r, node);
        if (again) r->manner[n] = AGAIN;
    }
}

/* Does no other backward kernel read the node's input? */
static bool reads_input_alone(const peft_graph *g, const peft_node *node)
{
    const peft_node *maker = maker_of(g, node->in[0]);
    if (!maker || backward_reads(maker) & PEFT_OUT(0)) return false;
    for (int32_t n = 0; n < g->num_nodes; n++)
        for (int32_t i = 0; i < g->nodes[n]->num_inputs; i++) {
            bool reads = g->nodes[n]->in[i] == node->in[0] && backward_reads(g->nodes[n]) & PEFT_IN(i);
            if (reads && g->nodes[n] != node) return false;
        }
    return true;
}

/* The run of the node, or of its copy, saves the slope, which takes the input's place in memory. */
static bool save_slope(peft_graph *g, const peft_node *node, peft_node *run)
{
    const peft_tensor *x = node->in[0];
    if (!peft_ops[node->op].slope || !node->out[0]->requires_grad || !reads_input_alone(g, node)) return true;
    run->out[1] = peft_graph_place(g, x->dtype, x->shape);
    run->num_outputs = 2;
    return run->out[1] != NULL;
}

/* Where a node does not run again, its slope is kept instead of its input. */
static bool save_slopes(const peft_recall *r, const bool *kept)
{
    for (int32_t n = 0; n < r->g->num_nodes; n++) {
        peft_node *node = r->g->nodes[n];
        if (node->segment < 0 && !may_be_recalled(r->g, node->out[0], kept) && !save_slope(r->g, node, node))
            return false;
    }
    return true;
}

/* Marks the nodes whose results backward kernels of the segment (-1: outside of all) up to node `last` read, directly
 * or through a node that runs again. */
static void mark_needed(const peft_recall *r, int32_t segment, int32_t last, bool *needed)
{
    const peft_graph *g = r->g;
    for (int32_t n = last; n >= 0; n--) {
        const peft_node *node = g->nodes[n];
        if (node->segment != segment) continue;
        uint32_t reads = node->out[0]->requires_grad ? backward_reads(node) : 0;
        bool runs = segment >= 0 || r->manner[n] == AGAIN || peft_ops[node->op].view;
        if (reads & (segment >= 0 ? ~(PEFT_OUT(0) - 1) : PEFT_OUT(0))) needed[n] = true;
        for (int32_t i = 0; i < node->num_inputs; i++)
            if (maker_of(g, node->in[i]) && ((reads & PEFT_IN(i)) || (needed[n] && runs)))
                needed[node->in[i]->node] = true;
    }
}

/* Of a segment, that is what enters it and what leaves it. */
static void find_rounded(peft_recall *r, const bool *kept, bool *needed)
{
    mark_needed(r, -1, r->g->num_nodes - 1, needed);
    for (int32_t n = 0; n < r->g->num_nodes; n++) {
        const peft_node *node = r->g->nodes[n], *maker = maker_of(r->g, node->in[0]);
        const peft_tensor *y = node->out[0];
        if (!needed[n] || r->manner[n] != KEPT || !may_be_recalled(r->g, y, kept)) continue;
        bool wide = y->dtype == PEFT_F32 && peft_columns(y) >= LEAST_ROUNDED_COLUMNS;
        if (peft_ops[node->op].view ? maker && r->manner[node->in[0]->node] == ROUNDED : wide) r->manner[n] = ROUNDED;
    }
}

/* ---- the forward pass ---- */

static peft_tensor *push_cast(peft_graph *g, peft_tensor *x, peft_dtype dtype, peft_phase phase)
{
    peft_node *cast = peft_graph_new_node(g, PEFT_OP_cast);
    peft_tensor *y = peft_graph_place(g, dtype, x->shape);
    if (!cast || !y) return NULL;
    cast->num_inputs = cast->num_outputs = 1;
    cast->in[0] = x;
    cast->out[0] = y;
    y->node = x->node;
    return peft_graph_push_step(g, (peft_step){.node = cast, .phase = phase}) ? y : NULL;
}

/* What input i of a node is in bf16, where its kernel takes that; else NULL. */
static peft_tensor *rounded_input(const peft_recall *r, const peft_node *node, int32_t i)
{
    const peft_node *maker = maker_of(r->g, node->in[i]);
    bool takes = peft_rounds(r->g, node, PEFT_IN(i)) && maker && maker->out[0] == node->in[i];
    return takes ? r->rounded[node->in[i]->node] : NULL;
}

/* The node as the forward pass runs it. */
static peft_node *forward_of(const peft_recall *r, int32_t n)
{
    peft_node *node = r->g->nodes[n], *run = node;
    for (int32_t i = 0; i < node->num_inputs && run; i++) {
        peft_tensor *rounded = rounded_input(r, node, i);
        if (rounded && run == node) run = peft_graph_copy_node(r->g, node);
        if (rounded && run) run->in[i] = rounded;
    }
    return run;
}

static bool schedule_forward(peft_recall *r)
{
    r->g->num_steps = 0; /* of a plan without a backward pass */
    for (int32_t n = 0; n < r->g->num_nodes; n++) {
        peft_node *node = forward_of(r, n);
        if (!node || !peft_graph_push_step(r->g, (peft_step){.node = node})) return false;
        if (r->manner[n] != ROUNDED || peft_ops[node->op].view) continue;
        if (!(r->rounded[n] = push_cast(r->g, node->out[0], PEFT_BF16, PEFT_FORWARD))) return false;
    }
    return true;
}

bool peft_recall_begin(peft_recall *r, peft_graph *g)
{
    size_t nodes = (size_t)g->num_nodes;
    *r = (peft_recall){g, peft_arena_take(&g->arena, nodes * sizeof *r->manner),
                       peft_arena_take(&g->arena, nodes * sizeof(peft_node *)),
                       peft_arena_take(&g->arena, nodes * sizeof(peft_tensor *)),
                       peft_arena_take(&g->arena, nodes * sizeof(peft_tensor *))};
    bool *kept = peft_arena_take(&g->arena, (size_t)g->num_storages * sizeof *kept);
    bool *needed = peft_arena_take(&g->arena, nodes * sizeof *needed);
    if (!r->manner || !r->copies || !r->rounded || !r->widened || !kept || !needed)
        return peft_graph_fail(g, PEFT_ERR_MEMORY, "differentiate: out of memory");
    if (g->keeps_bf16) peft_narrow_results(g);
    mark_kept(g, kept);
    mark_entering(g, needed);
    find_again(r, kept, needed);
    if (!save_slopes(r, kept)) return false;
    if (g->keeps_bf16) find_rounded(r, kept, needed);
    return schedule_forward(r);
}

/* ---- the backward pass ---- */

static peft_node *copy_of(peft_recall *r, int32_t n)
{
    if (!r->copies[n]) r->copies[n] = peft_graph_copy_node(r->g, r->g->nodes[n]);
    return r->copies[n];
}

/* What backward reads in place of t. */
static peft_tensor *stand_in(const peft_recall *r, peft_tensor *t)
{
    const peft_node *maker = maker_of(r->g, t), *copy = maker ? r->copies[t->node] : NULL;
    for (int32_t j = 0; copy && j < maker->num_outputs; j++)
        if (maker->out[j] == t && copy->out[j] != t) return copy->out[j];
    return maker && maker->out[0] == t && r->widened[t->node] ? r->widened[t->node] : t;
}

/* And as input i of a node. */
static peft_tensor *input(const peft_recall *r, const peft_node *node, int32_t i)
{
    peft_tensor *rounded = rounded_input(r, node, i);
    return rounded ? rounded : stand_in(r, node->in[i]);
}

static void read_stand_ins(const peft_recall *r, const peft_node *node, peft_node *copy)
{
    for (int32_t i = 0; i < node->num_inputs; i++) copy->in[i] = input(r, node, i);
}

static bool run_again(peft_recall *r, peft_node *copy, int32_t outputs, peft_phase phase)
{
    bool view = peft_ops[copy->op].view;
    for (int32_t j = 0; j < outputs; j++) {
        const peft_tensor *out = copy->out[j];
        peft_tensor *place = view ? peft_graph_new_tensor(r->g, out->dtype, out->shape, copy->in[0]->storage)
                                  : peft_graph_place(r->g, out->dtype, out->shape);
        if (!place) return false;
        place->of = out->of;
        place->node = out->node;
        copy->out[j] = place;
    }
    return save_slope(r->g, r->g->nodes[copy->out[0]->node], copy) &&
           peft_graph_push_step(r->g, (peft_step){.node = copy, .phase = phase});
}

/* Has t there for the steps that follow, in `phase`. What else a node saved is kept, and written once more. */
static bool recall(peft_recall *r, peft_tensor *t, peft_phase phase)
{
    const peft_node *node = maker_of(r->g, t);
    if (!node || node->out[0] != t || r->manner[t->node] == KEPT || stand_in(r, t) != t) return true;
    peft_tensor *rounded = r->rounded[t->node];
    if (rounded) return (r->widened[t->node] = push_cast(r->g, rounded, t->dtype, phase)) != NULL;
    for (int32_t i = 0; i < node->num_inputs; i++)
        if (!recall(r, node->in[i], phase)) return false;
    peft_node *copy = copy_of(r, t->node);
    if (!copy) return false;
    read_stand_ins(r, node, copy);
    return run_again(r, copy, 1, phase);
}

static bool recall_entering(peft_recall *r, const peft_node *node)
{
    for (int32_t i = 0; i < node->num_inputs; i++) {
        const peft_node *maker = maker_of(r->g, node->in[i]);
        bool enters = maker && maker->segment != node->segment && !rounded_input(r, node, i);
        if (enters && !recall(r, node->in[i], PEFT_SEGMENT_AGAIN)) return false;
    }
    return true;
}

/* Runs the segment that ends at node `last` again, up to what its backward reads. */
static bool recall_segment(peft_recall *r, int32_t last)
{
    peft_graph *g = r->g;
    int32_t segment = g->nodes[last]->segment;
    bool *needed = peft_arena_take(&g->arena, (size_t)g->num_nodes * sizeof *needed);
    if (!needed) return peft_graph_fail(g, PEFT_ERR_MEMORY, "checkpoint: out of memory");
    mark_needed(r, segment, last, needed);
    for (int32_t n = 0; n <= last; n++) {
        if (g->nodes[n]->segment != segment) continue;
        peft_node *copy = copy_of(r, n);
        if (!copy || !recall_entering(r, g->nodes[n])) return false;
        read_stand_ins(r, g->nodes[n], copy);
        if (needed[n] && !run_again(r, copy, copy->num_outputs, PEFT_SEGMENT_AGAIN)) return false;
    }
    return true;
}

peft_node *peft_recall_node(peft_recall *r, int32_t n)
{
    peft_node *node = r->g->nodes[n];
    if (node->segment >= 0) return r->copies[n] || recall_segment(r, n) ? r->copies[n] : NULL;
    if (r->copies[n] && peft_saves_slope(r->copies[n])) return r->copies[n];
    uint32_t reads = backward_reads(node);
    peft_tensor *result = node->out[0];
    bool same = true;
    for (int32_t i = 0; i < node->num_inputs; i++) {
        if (!(reads & PEFT_IN(i))) continue;
        if (!rounded_input(r, node, i) && !recall(r, node->in[i], PEFT_BACKWARD)) return NULL;
        same = same && input(r, node, i) == node->in[i];
    }
    if (reads & PEFT_OUT(0)) {
        if (!recall(r, node->out[0], PEFT_BACKWARD)) return NULL;
        result = stand_in(r, node->out[0]);
    }
    if (same && result == node->out[0]) return r->copies[n] ? r->copies[n] : node;
    peft_node *copy = copy_of(r, n);
    if (!copy) return NULL;
    read_stand_ins(r, node, copy);
    if (result != node->out[0]) copy->out[0] = result;
    return copy;
}
