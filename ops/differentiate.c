/* ops/differentiate.c - the backward pass, by walking the nodes in reverse.
 *
 * The first contribution to a gradient is written, later ones are added. Where an op passes its gradient on unchanged
 * (a sum, a reshape), both gradients share memory until one of them has to change while the other is still to be
 * read; only then is it copied.
 *
 * Nodes of a checkpointed segment are run a second time before their backward. So is a cheap node (peft_op.cheap)
 * before the first backward that reads its result, where this needs no more than is kept anyway: of the input and the
 * output of an activation, one is stored. */
#include "ops/graph_internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct state {
    peft_graph *g;
    peft_node **clones; /* of each node: what its backward reads, when that is computed again; else NULL */
    bool *again;        /* of each node outside of segments: its result is computed again for those who read it */
} state;

/* Gradient g is about to change in the backward of node n. Is it also another tensor's that is still to be read, by
 * the backward of a node up to n or by the caller? */
static bool shared_with_the_unread(const peft_graph *g, const peft_tensor *owner, int32_t n)
{
    const peft_tensor *gradient = owner->grad;
    if (gradient->storage < 0) return true; /* the caller's own dL/dy */
    for (int32_t k = 0; k < g->num_nodes; k++) {
        const peft_node *node = g->nodes[k];
        const peft_tensor *out = node->out[0];
        if (k <= n && out != owner && out->grad && out->grad->storage == gradient->storage) return true;
        for (int32_t i = 0; i < node->num_inputs; i++) {
            const peft_tensor *in = node->in[i];
            if (in && in->node < 0 && in != owner && in->grad && in->grad->storage == gradient->storage) return true;
        }
    }
    return false;
}

/* A gradient of owner's own, with the value of the shared one. */
static peft_tensor *unshare(peft_graph *g, peft_tensor *owner)
{
    peft_node *copy = peft_graph_new_node(g, PEFT_OP_copy);
    peft_tensor *own = peft_graph_place(g, owner->dtype, owner->shape);
    if (!copy || !own) return NULL;
    copy->num_inputs = copy->num_outputs = 1;
    copy->in[0] = owner->grad;
    copy->out[0] = own;
    if (!peft_graph_push_step(g, (peft_step){.node = copy})) return NULL;
    return owner->grad = own;
}

/* Decides where d in[i] of node n goes; `run` is the node whose kernel will write it. */
static bool contribute(peft_graph *g, int32_t n, int32_t i, peft_node *run)
{
    const peft_node *node = g->nodes[n];
    const peft_op *op = &peft_ops[node->op];
    peft_tensor *t = node->in[i];
    peft_tensor *dout = node->out[0]->grad;
    bool first = !t->grad;
    if (first && (op->passes_gradient & PEFT_IN(i)) && peft_shape_count(&t->shape) == peft_shape_count(&dout->shape)) {
        t->grad = peft_graph_new_tensor(g, t->dtype, t->shape, dout->storage);
        if (t->grad) t->grad->data = dout->data;
        return t->grad != NULL;
    }
    if (first) {
        t->grad = peft_graph_place(g, t->dtype, t->shape);
        if (!t->grad) return false;
    } else {
        bool parameter = t->node < 0 && t->grad->kept;
        if (!parameter && shared_with_the_unread(g, t, n) && !unshare(g, t)) return false;
        run->accumulate |= PEFT_IN(i);
    }
    run->din[i] = t->grad;
    return true;
}

/* What the backward kernel of `node` will read, given the gradients that are wanted. */
static uint32_t backward_reads(const peft_node *node)
{
    uint32_t reads = 0;
    for (int32_t i = 0; i < node->num_inputs; i++)
        if (node->in[i] && node->in[i]->requires_grad) reads |= peft_ops[node->op].gradient_reads[i];
    return reads;
}

static void replace(peft_tensor **t, const state *s, int32_t segment)
{
    int32_t n = *t ? (*t)->node : -1;
    if (n < 0 || s->g->nodes[n]->segment != segment || !s->clones[n]) return;
    for (int32_t j = 0; j < s->g->nodes[n]->num_outputs; j++)
        if (s->g->nodes[n]->out[j] == *t) {
            *t = s->clones[n]->out[j];
            return;
        }
}

/* Marks, from the end of the segment to its start, the nodes whose outputs some backward kernel of the segment reads,
 * directly or through another recomputed node. */
static void mark_needed(const peft_graph *g, int32_t segment, int32_t last, bool *needed)
{
    for (int32_t n = 0; n <= last; n++) {
        const peft_node *node = g->nodes[n];
        if (node->segment != segment || !node->out[0]->requires_grad) continue;
        uint32_t reads = backward_reads(node);
        if (reads >> PEFT_MAX_INPUTS) needed[n] = true;
        for (int32_t i = 0; i < node->num_inputs; i++)
            if ((reads & PEFT_IN(i)) && node->in[i] && node->in[i]->node >= 0) needed[node->in[i]->node] = true;
    }
    for (int32_t n = last; n >= 0; n--) {
        const peft_node *node = g->nodes[n];
        if (node->segment != segment || !needed[n]) continue;
        for (int32_t i = 0; i < node->num_inputs; i++)
            if (node->in[i] && node->in[i]->node >= 0) needed[node->in[i]->node] = true;
    }
}

static peft_node *clone_node(state *s, const peft_node *node, bool run_forward)
{
    peft_graph *g = s->g;
    peft_node *clone = peft_graph_new_node(g, node->op);
    if (!clone) return NULL;
    *clone = *node;
    for (int32_t i = 0; i < node->num_inputs; i++) replace(&clone->in[i], s, node->segment);
    if (!run_forward) return clone;
    bool alone = node->segment < 0; /* then what it saved is kept, and written once more */
    for (int32_t j = 0; j < (alone ? 1 : node->num_outputs); j++) {
        const peft_tensor *out = node->out[j];
        clone->out[j] = peft_ops[node->op].view && j == 0
                            ? peft_graph_new_tensor(g, out->dtype, out->shape, clone->in[0]->storage)
                            : peft_graph_place(g, out->dtype, out->shape);
        if (!clone->out[j]) return NULL;
        clone->out[j]->data = out->data; /* of a view of a leaf; else still NULL */
        clone->out[j]->node = out->node;
    }
    return peft_graph_push_step(g, (peft_step){.node = clone, .again = alone}) ? clone : NULL;
}

/* Runs the segment that ends at node `last` again, up to what its backward reads. */
static bool recompute(state *s, int32_t last)
{
    peft_graph *g = s->g;
    bool *needed = peft_arena_take(&g->arena, (size_t)g->num_nodes * sizeof *needed);
    if (!needed) return peft_graph_fail(g, PEFT_ERR_MEMORY, "checkpoint: out of memory");
    int32_t segment = g->nodes[last]->segment;
    mark_needed(g, segment, last, needed);
    for (int32_t n = 0; n <= last; n++)
        if (g->nodes[n]->segment == segment && !(s->clones[n] = clone_node(s, g->nodes[n], needed[n]))) return false;
    return true;
}

/* ---- cheap nodes ---- */

/* Marks the storages that are there in the backward pass anyway: kept for the caller, or read by a segment, which is
 * run again. */
static void mark_stored(const peft_graph *g, bool *stored)
{
    for (int32_t k = 0; k < g->num_tensors; k++)
        if (g->tensors[k]->kept) stored[g->tensors[k]->storage] = true;
    for (int32_t n = 0; n < g->num_nodes; n++)
        for (int32_t i = 0; i < g->nodes[n]->num_inputs; i++) {
            const peft_tensor *in = g->nodes[n]->in[i];
            if (g->nodes[n]->segment >= 0 && in && in->storage >= 0) stored[in->storage] = true;
        }
}

static bool made_again(const state *s, const peft_tensor *t)
{
    return t && t->node >= 0 && s->again[t->node];
}

/* Is input i there when the node runs again: the caller's, computed again too, or kept until a later backward, which is
 * that of the node or of the input's maker? Where its own backward needs what is computed again, it does not follow: of
 * a row of activations every second one is stored, since all of them, computed again at once, would save nothing. */
static bool is_there(const state *s, const peft_node *node, int32_t i)
{
    const peft_tensor *in = node->in[i];
    if (!in || in->storage < 0) return true;
    const peft_node *maker = s->g->nodes[in->node];
    bool read = backward_reads(node) & PEFT_IN(i), kept = maker->segment < 0 && backward_reads(maker) & PEFT_OUT(0);
    return s->again[in->node] ? !read : read || kept;
}

static bool inputs_are_there(const state *s, const peft_node *node)
{
    for (int32_t i = 0; i < node->num_inputs; i++)
        if (!is_there(s, node, i)) return false;
    return true;
}

static bool find_cheap(state *s)
{
    const peft_graph *g = s->g;
    bool *stored = peft_arena_take(&s->g->arena, (size_t)g->num_storages * sizeof *stored);
    s->again = peft_arena_take(&s->g->arena, (size_t)g->num_nodes * sizeof *s->again);
    if (!stored || !s->again) return peft_graph_fail(s->g, PEFT_ERR_MEMORY, "differentiate: out of memory");
    mark_stored(g, stored);
    for (int32_t n = 0; n < g->num_nodes && !g->keeps_all; n++) {
        const peft_node *node = g->nodes[n];
        const peft_op *op = &peft_ops[node->op];
        if (node->segment >= 0 || node->out[0]->storage < 0 || stored[node->out[0]->storage]) continue;
        s->again[n] = op->view ? made_again(s, node->in[0]) : op->cheap && inputs_are_there(s, node);
    }
    return true;
}

/* Runs the node again that makes t, where that is how backward gets it. */
static bool make_again(state *s, const peft_tensor *t)
{
    if (!made_again(s, t) || s->clones[t->node]) return true;
    const peft_node *node = s->g->nodes[t->node];
    for (int32_t i = 0; i < node->num_inputs; i++)
        if (!make_again(s, node->in[i])) return false;
    return (s->clones[t->node] = clone_node(s, node, true)) != NULL;
}

/* Gets what the backward of node n reads. */
static bool prepare(state *s, int32_t n)
{
    const peft_node *node = s->g->nodes[n];
    if (node->segment >= 0) return s->clones[n] || recompute(s, n);
    uint32_t reads = backward_reads(node);
    bool replaced = false;
    for (int32_t i = 0; i < node->num_inputs; i++) {
        if (!(reads & PEFT_IN(i)) || !made_again(s, node->in[i])) continue;
        if (!make_again(s, node->in[i])) return false;
        replaced = true;
    }
    return !replaced || (s->clones[n] = clone_node(s, node, false));
}

static bool walk(state *s, int32_t from)
{
    peft_graph *g = s->g;
    for (int32_t n = from; n >= 0; n--) {
        peft_node *node = g->nodes[n];
        if (!node->out[0]->grad) continue;
        if (!prepare(s, n)) return false;
        peft_node *run = s->clones[n] ? s->clones[n] : node;
        bool work = false;
        for (int32_t i = 0; i < node->num_inputs; i++) {
            if (!node->in[i] || !node->in[i]->requires_grad) continue;
            if (!contribute(g, n, i, run)) return false;
            work = work || run->din[i];
        }
        run->dout = node->out[0]->grad;
        if (work && !peft_graph_push_step(g, (peft_step){.node = run, .backward = true})) return false;
    }
    return true;
}

static peft_status differentiate(peft_graph *g, peft_tensor *y, const void *dy, peft_error *error)
{
    if (!peft_graph_failed(g) && g->differentiated)
        peft_graph_fail(g, PEFT_ERR_ARGUMENT, "differentiate: the graph has been differentiated already");
    if (!y) {
        peft_graph_fail(g, PEFT_ERR_ARGUMENT, "differentiate: expected a tensor, found NULL");
        return peft_graph_status(g, error);
    }
    if (!peft_graph_failed(g) && y->node < 0)
        peft_graph_fail(g, PEFT_ERR_ARGUMENT, "differentiate: the result is a leaf, of which nothing was computed");
    if (!peft_graph_failed(g) && !y->requires_grad)
        peft_graph_fail(g, PEFT_ERR_ARGUMENT, "differentiate: the result depends on nothing that wants a gradient");
    if (peft_graph_failed(g) || !peft_graph_schedule_forward(g)) return peft_graph_status(g, error);

    peft_graph_keep(g, y);
    state s = {.g = g, .clones = calloc((size_t)g->num_nodes, sizeof *s.clones)};
    if (!s.clones) {
        peft_graph_fail(g, PEFT_ERR_MEMORY, "differentiate: out of memory");
        return peft_graph_status(g, error);
    }
    y->grad = peft_constant(g, y->dtype, y->shape, dy, "dL/dy");
    if (y->grad && find_cheap(&s) && walk(&s, y->node)) g->differentiated = true;
    free(s.clones);
    return peft_graph_status(g, error);
}

peft_status peft_graph_differentiate_from(peft_graph *g, peft_tensor *y, const void *dy, peft_error *error)
{
    return differentiate(g, y, dy, error);
}

peft_status peft_graph_differentiate(peft_graph *g, peft_tensor *loss, peft_error *error)
{
    static const float one = 1.0F;
    static const double one_f64 = 1.0;
    if (!peft_graph_failed(g) && loss && peft_shape_count(&loss->shape) != 1) {
        char text[PEFT_SHAPE_TEXT];
        peft_graph_fail(g, PEFT_ERR_SHAPE, "differentiate: loss: expected [1], found %s",
                        peft_shape_text(&loss->shape, text));
    }
    bool wide = loss && loss->dtype == PEFT_F64;
    return differentiate(g, loss, wide ? (const void *)&one_f64 : &one, error);
}
