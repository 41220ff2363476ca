#include "ops/engine/narrow.h"

#include "ops/engine/context_internal.h"

static const peft_kernel *kernel_of(const peft_graph *g, const peft_node *node)
{
    static const peft_kernel none = {0};
    return g->ctx ? peft_context_kernel(g->ctx, node) : &none;
}

bool peft_rounds(const peft_graph *g, const peft_node *node, uint32_t what)
{
    const peft_kernel *kernel = kernel_of(g, node);
    return (kernel->takes_bf16 & what) && (!kernel->rounds || kernel->rounds(node));
}

static bool gives(const peft_graph *g, const peft_node *node, uint32_t what)
{
    return kernel_of(g, node)->gives_bf16 & what;
}

/* How many inputs t is; `*rounded`: of nodes that round it. */
static int32_t count_readers(const peft_graph *g, const peft_tensor *t, int32_t *rounded)
{
    int32_t readers = 0;
    *rounded = 0;
    for (int32_t n = 0; n < g->num_nodes; n++)
        for (int32_t i = 0; i < g->nodes[n]->num_inputs; i++) {
            if (g->nodes[n]->in[i] != t) continue;
            readers++;
            *rounded += peft_rounds(g, g->nodes[n], PEFT_IN(i));
        }
    return readers;
}

static bool backward_reads_result(const peft_node *node)
{
    for (int32_t i = 0; i < node->num_inputs; i++)
        if (peft_gradient_reads(node, i) & PEFT_OUT(0)) return true;
    return false;
}

void peft_narrow_results(peft_graph *g)
{
    for (int32_t n = 0; n < g->num_nodes; n++) {
        const peft_node *node = g->nodes[n];
        peft_tensor *y = node->out[0];
        bool may = y->dtype == PEFT_F32 && !y->kept && gives(g, node, PEFT_OUT(0));
        int32_t rounded, readers = may && !backward_reads_result(node) ? count_readers(g, y, &rounded) : 0;
        if (!readers || rounded < readers) continue;
        y->dtype = PEFT_BF16;
        g->storages[y->storage].bytes = (size_t)peft_shape_count(&y->shape) * peft_dtype_bytes(PEFT_BF16);
    }
}

/* Is all that becomes of dL/dt that the backward of its maker rounds it, and so do those to whom it is passed on? */
static bool gradient_is_rounded(const peft_graph *g, const peft_tensor *t)
{
    const peft_node *maker = t->node >= 0 ? g->nodes[t->node] : NULL;
    int32_t rounded;
    if (!maker || count_readers(g, t, &rounded) != 1 || !peft_rounds(g, maker, PEFT_OUT(0))) return false;
    for (int32_t i = 0; i < maker->num_inputs; i++) {
        const peft_tensor *in = maker->in[i];
        bool passes = (peft_ops[maker->op].passes_gradient & PEFT_IN(i)) && in && in->requires_grad;
        if (passes && !gradient_is_rounded(g, in)) return false;
    }
    return true;
}

peft_dtype peft_gradient_dtype(const peft_graph *g, const peft_node *node, int32_t i)
{
    const peft_tensor *t = node->in[i];
    if (t->dtype == PEFT_BF16) return PEFT_F32; /* a sum */
    bool may = g->keeps_bf16 && t->dtype == PEFT_F32 && gives(g, node, PEFT_IN(i));
    return may && gradient_is_rounded(g, t) ? PEFT_BF16 : t->dtype;
}
