/* generators/t2l/task_encoder.c - from the vector e of a description to its code c.
 *
 *     linear, one-hot   c = LN(W e + b)
 *     discrete          c = one-hot of the largest of 64 scores W2 SiLU(W1 e): no gradient passes
 *     softmax           c = LN(softmax(scores) T), 32 scores W2 SiLU(W1 e), T [32, z / 2]
 *     vq                c = LN(q), q the column of T [z / 2, 32] that is nearest to z = W2 SiLU(W1 e); the gradient
 *                       passes by q to z
 *
 * In vq 0.01 (q - z)^2 is added to the loss (van den Oord et al. 2017, arXiv 1711.00937). The published program moves
 * the columns to averages of the z that they were nearest to; here they stay where they are drawn. */
#include <string.h>

#include "generators/t2l/internal.h"
#include "ops/side.h"

static const double COMMITMENT = 0.01;

typedef peft_tensor *encode_function(peft_t2l_scope *s, peft_tensor *e);

static peft_tensor *linear(peft_t2l_scope *s, peft_tensor *e)
{
    return peft_t2l_norm(s, peft_net_linear(&s->net, e, "task_encoder.mlp.0"), "task_encoder.mlp.1");
}

/* W2 SiLU(W1 e) */
static peft_tensor *scores(peft_t2l_scope *s, peft_tensor *e)
{
    peft_tensor *hidden = peft_t2l_silu(s, peft_net_linear(&s->net, e, "task_encoder.mlp.0"));
    return peft_net_linear(&s->net, peft_t2l_dropout(s, hidden), "task_encoder.mlp.3");
}

static peft_tensor *discrete(peft_t2l_scope *s, peft_tensor *e)
{
    return peft_top_k(s->net.g, scores(s, e), 1, 1, 0);
}

static peft_tensor *softmax(peft_t2l_scope *s, peft_tensor *e)
{
    peft_tensor *table = peft_net_leaf(&s->net, "task_encoder.embed");
    peft_tensor *mixed = peft_matmul(s->net.g, peft_softmax(s->net.g, scores(s, e)), false, table, false);
    return peft_t2l_norm(s, mixed, "task_encoder.ln");
}

/* One-hot of the nearest column: the largest of 2 z t - t^2. */
static peft_tensor *nearest(peft_t2l_scope *s, peft_tensor *z, peft_tensor *table)
{
    peft_graph *g = s->net.g;
    peft_tensor *products = peft_scale(g, peft_matmul(g, z, false, table, false), 2);
    peft_tensor *squares = peft_sum(g, peft_mul(g, table, table), 0);
    return peft_top_k(g, peft_add(g, products, peft_scale(g, squares, -1)), 1, 1, 0);
}

static peft_tensor *vq(peft_t2l_scope *s, peft_tensor *e)
{
    peft_graph *g = s->net.g;
    peft_tensor *z = scores(s, e), *table = peft_net_leaf(&s->net, "task_encoder.embed");
    peft_tensor *q = peft_matmul(g, nearest(s, z, table), false, table, true);
    peft_tensor *off = peft_add(g, q, peft_scale(g, z, -1));
    if (s->net.training)
        peft_graph_add_loss(g, "task_encoder", "commitment", peft_mean(g, peft_mul(g, off, off), PEFT_ALL_DIMS),
                            COMMITMENT);
    /* q, with the gradient of z */
    return peft_t2l_norm(s, peft_add(g, z, peft_stop_gradient(g, off)), "task_encoder.ln");
}

static const struct {
    const char *name;
    encode_function *encode;
} encoders[] = {{"linear", linear}, {"one-hot", linear}, {"discrete", discrete}, {"softmax", softmax}, {"vq", vq}};

peft_tensor *peft_t2l_task_code(peft_t2l_scope *s, peft_tensor *vectors)
{
    const char *kind = s->t->options.task_encoder;
    size_t k = 0;
    while (strcmp(encoders[k].name, kind) != 0) k++;
    return encoders[k].encode(s, vectors);
}
