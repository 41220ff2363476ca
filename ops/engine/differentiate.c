/* ops/engine/differentiate.c - the backward pass, by walking the nodes in reverse.
 *
 * The first contribution to a gradient is written, later ones are added. Where an op passes its gradient on unchanged
 * (a sum, a reshape), both gradients share memory until one of them has to change while the other is still to be
 * read; only then is it copied. */
#include "ops/engine/narrow.h"
#include "ops/engine/recall.h"

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
    peft_tensor *own = peft_graph_place(g, owner->grad->dtype, owner->shape);
    if (!copy || !own) return NULL;
    copy->num_inputs = copy->num_outputs = 1;
    copy->in[0] = owner->grad;
    copy->out[0] = own;
    if (!peft_graph_push_step(g, (peft_step){.node = copy, .phase = PEFT_BACKWARD})) return NULL;
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
        t->grad = peft_graph_new_tensor(g, dout->dtype, t->shape, dout->storage);
        if (t->grad) t->grad->of = peft_leaf_of(dout);
        return t->grad != NULL;
    }
    if (first) {
        t->grad = peft_graph_place(g, peft_gradient_dtype(g, node, i), t->shape);
        if (!t->grad) return false;
    } else {
        bool parameter = t->node < 0 && t->grad->kept;
        if (!parameter && shared_with_the_unread(g, t, n) && !unshare(g, t)) return false;
        run->accumulate |= PEFT_IN(i);
    }
    run->din[i] = t->grad;
    return true;
}

static bool walk(peft_graph *g, peft_recall *r, int32_t from)
{
    for (int32_t n = from; n >= 0; n--) {
        peft_node *node = g->nodes[n];
        if (!node->out[0]->grad) continue;
        peft_node *run = peft_recall_node(r, n);
        if (!run) return false;
        bool work = false;
        for (int32_t i = 0; i < node->num_inputs; i++) {
            if (!node->in[i] || !node->in[i]->requires_grad) continue;
            if (!contribute(g, n, i, run)) return false;
            work = work || run->din[i];
        }
        run->dout = node->out[0]->grad;
        if (work && !peft_graph_push_step(g, (peft_step){.node = run, .backward = true, .phase = PEFT_BACKWARD}))
            return false;
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
    if (peft_graph_failed(g)) return peft_graph_status(g, error);

    peft_recall r;
    peft_graph_keep(g, y);
    y->grad = peft_constant(g, y->dtype, y->shape, dy, "dL/dy");
    g->differentiated = y->grad && peft_recall_begin(&r, g) && walk(g, &r, y->node);
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
