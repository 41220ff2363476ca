/* generators/t2l/network.c - equations (1) to (3) of t2l.h: what all heads share. */
#include <stdio.h>
#include <string.h>

#include "generators/t2l/internal.h"
#include "ops/side.h"

/* ---- parts that have names ---- */

peft_tensor *peft_t2l_norm(peft_t2l_scope *s, peft_tensor *x, const char *name)
{
    peft_tensor *weight = peft_net_leaf(&s->net, "%s.weight", name);
    return peft_layer_norm(s->net.g, x, weight, peft_net_leaf(&s->net, "%s.bias", name), 1e-5);
}

peft_tensor *peft_t2l_silu(peft_t2l_scope *s, peft_tensor *x)
{
    return peft_activation(s->net.g, x, PEFT_ACTIVATION_silu);
}

/* Each use has random numbers of its own. */
peft_tensor *peft_t2l_dropout(peft_t2l_scope *s, peft_tensor *x)
{
    if (!s->net.training) return x;
    char name[32];
    snprintf(name, sizeof name, "dropout %d", (int)s->uses++);
    return peft_dropout(s->net.g, x, s->t->options.dropout, peft_value_stream("t2l", name), s->first_row);
}

/* ---- (1) to (3): what all heads share ---- */

/* SiLU(W SiLU(W x)) */
static peft_tensor *two_layers(peft_t2l_scope *s, peft_tensor *x, const char *first, const char *second)
{
    peft_tensor *hidden = peft_t2l_dropout(s, peft_t2l_silu(s, peft_net_linear(&s->net, x, first)));
    return peft_t2l_silu(s, peft_net_linear(&s->net, hidden, second));
}

static peft_tensor *mlp1(peft_t2l_scope *s, peft_tensor *v)
{
    return peft_add(s->net.g, v, two_layers(s, peft_t2l_norm(s, v, "mlp1.mlp.0"), "mlp1.mlp.1", "mlp1.mlp.4"));
}

peft_tensor *peft_t2l_mlp2(peft_t2l_scope *s, peft_tensor *v)
{
    return peft_add(s->net.g, v, two_layers(s, peft_t2l_norm(s, v, "mlp2.mlp.0"), "mlp2.mlp.1", "mlp2.mlp.4"));
}

peft_tensor *peft_t2l_mlp3(peft_t2l_scope *s, peft_tensor *v)
{
    peft_tensor *h = two_layers(s, peft_t2l_norm(s, v, "mlp3.0"), "mlp3.1", "mlp3.4");
    return s->t->options.normalise ? peft_layer_norm(s->net.g, h, NULL, NULL, 1e-5) : h;
}

peft_t2l_lines peft_t2l_open_lines(peft_graph *g, int64_t rows)
{
    peft_t2l_lines list = {0};
    list.tensor = peft_integers(g, rows, &list.values);
    return list;
}

void peft_t2l_add_line(peft_t2l_lines *list, int64_t value)
{
    if (list->tensor) list->values[list->count++] = (int32_t)value;
}

/* (1), all places of all descriptions as one batch: kind by kind, place by place, description by description */
static peft_tensor *describe_places(peft_t2l_scope *s, peft_tensor *code)
{
    const peft_places *places = &s->t->places;
    const int64_t N = code->shape.size[0];
    peft_t2l_lines tasks = peft_t2l_open_lines(s->net.g, places->num_places * N),
                   depths = peft_t2l_open_lines(s->net.g, places->num_places * N),
                   kinds = peft_t2l_open_lines(s->net.g, places->num_places * N);
    for (int64_t k = 0; k < places->num_kinds; k++)
        for (int64_t p = 0; p < places->kinds[k].num_places; p++)
            for (int64_t n = 0; n < N; n++) {
                peft_t2l_add_line(&tasks, n);
                peft_t2l_add_line(&depths, places->kinds[k].depths[p]);
                peft_t2l_add_line(&kinds, k);
            }
    peft_tensor *depth, *kind;
    if (peft_t2l_is_discrete(s->t)) {
        depth = peft_identity(s->net.g, code->dtype, places->num_depths);
        kind = peft_identity(s->net.g, code->dtype, places->num_kinds);
    } else {
        depth = peft_t2l_norm(s, peft_net_leaf(&s->net, "layer_depth_encoder.0.weight"), "layer_depth_encoder.1");
        kind = peft_t2l_norm(s, peft_net_leaf(&s->net, "layer_type_encoder.0.weight"), "layer_type_encoder.1");
    }
    peft_tensor *parts[] = {peft_embedding(s->net.g, code, tasks.tensor),
                            peft_embedding(s->net.g, depth, depths.tensor),
                            peft_embedding(s->net.g, kind, kinds.tensor)};
    return peft_concat(s->net.g, 1, parts, 3);
}

/* (2) */
peft_tensor *peft_t2l_trunk(peft_t2l_scope *s, peft_tensor *vectors)
{
    peft_tensor *code = peft_t2l_task_code(s, vectors);
    if (!code) return NULL;
    peft_tensor *x = peft_t2l_dropout(s, describe_places(s, code));
    return mlp1(s, two_layers(s, x, "mixer.1", "mixer.4"));
}
