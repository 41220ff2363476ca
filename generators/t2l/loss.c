#include "generators/t2l/loss.h"

#include <string.h>

#include "generators/t2l/internal.h"

const char *const peft_t2l_loss_names[] = {"factors", "product", "product-squared", NULL};

peft_status peft_t2l_loss_check(const peft_t2l *t, peft_t2l_loss loss, peft_error *error)
{
    const char *variant = t->places.adapters->variant->name;
    if (loss == PEFT_T2L_FACTORS && t->output == PEFT_T2L_PRODUCT)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "loss factors: with emits product the factors' scale is open; take "
                         "loss product or product-squared");
    if (loss != PEFT_T2L_FACTORS && t->output == PEFT_T2L_Z_SCORE)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "loss %s: z-scores have no product; take loss factors, or emits plain or product",
                         peft_t2l_loss_names[loss]);
    if (loss != PEFT_T2L_FACTORS && strcmp(variant, "lora") != 0 && strcmp(variant, "rslora") != 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "loss %s: is about B A of lora and rslora, found %s; take loss factors",
                         peft_t2l_loss_names[loss], variant);
    return PEFT_OK;
}

/* a - b */
static peft_tensor *difference(peft_graph *g, peft_tensor *a, peft_tensor *b)
{
    return peft_add(g, a, peft_scale(g, b, -1));
}

/* Sum of |x|, as relu(x) + relu(-x). */
static peft_tensor *sum_of_sizes(peft_graph *g, peft_tensor *x)
{
    peft_tensor *up = peft_activation(g, x, PEFT_ACTIVATION_relu);
    peft_tensor *down = peft_activation(g, peft_scale(g, x, -1), PEFT_ACTIVATION_relu);
    return peft_add(g, peft_sum(g, up, PEFT_ALL_DIMS), peft_sum(g, down, PEFT_ALL_DIMS));
}

static double elements(const peft_tensor *x)
{
    return x ? (double)peft_shape_count(&x->shape) : 1;
}

static peft_tensor *add_to(peft_graph *g, peft_tensor *sum, peft_tensor *x)
{
    return sum ? peft_add(g, sum, x) : x;
}

/* ---- factors ---- */

static peft_tensor *z_score(peft_t2l_scope *s, peft_tensor *x, const peft_place_kind *kind,
                            const peft_place_tensor *tensor, int64_t N)
{
    if (s->t->output != PEFT_T2L_Z_SCORE) return x;
    peft_graph *g = s->net.g;
    peft_tensor *mean = peft_net_leaf(&s->net, "mean_recon_target.%s.%s", tensor->name, kind->name);
    peft_tensor *sd = peft_net_leaf(&s->net, "std_recon_target.%s.%s", tensor->name, kind->name);
    peft_tensor *factor = peft_power(g, peft_shift(g, sd, 1e-10), -1);
    x = difference(g, x, peft_t2l_for_all_rows(s, mean, kind, tensor, N));
    return peft_mul(g, x, peft_t2l_for_all_rows(s, factor, kind, tensor, N));
}

static peft_tensor *factor_loss(peft_t2l_scope *s, const peft_place_kind *kind, int64_t N,
                                const peft_t2l_kind_output *made, const peft_t2l_kind_output *wanted)
{
    peft_tensor *sum = NULL;
    int32_t count = 0;
    for (int32_t v = 0; v < kind->num_tensors; v++) {
        if (!kind->tensors[v].emitted) continue;
        peft_tensor *off =
            difference(s->net.g, made->tensors[v], z_score(s, wanted->tensors[v], kind, &kind->tensors[v], N));
        sum = add_to(s->net.g, sum, peft_scale(s->net.g, sum_of_sizes(s->net.g, off), 1 / elements(off)));
        count++;
    }
    return peft_scale(s->net.g, sum, 1 / (double)count);
}

/* ---- products ---- */

enum { TILE = 1 << 18 }; /* elements of B A at a time */

/* Of all places and descriptions C = [s B, -B^] [n, out, 2 r] and D = [A; A^] [n, 2 r, in]: C D is what is off. */
static void stack(peft_graph *g, double scale, const peft_place_kind *kind, const peft_t2l_kind_output *made,
                  const peft_t2l_kind_output *wanted, peft_tensor **C, peft_tensor **D)
{
    const int64_t n = made->tensors[0] ? made->tensors[0]->shape.size[0] : 1, r = kind->tensors[0].rows;
    const peft_shape A = peft_shape_3(n, r, kind->in_features), B = peft_shape_3(n, kind->out_features, r);
    peft_tensor *ups[] = {peft_scale(g, peft_reshape(g, wanted->tensors[1], B), scale),
                          peft_scale(g, peft_reshape(g, made->tensors[1], B), -1)};
    peft_tensor *downs[] = {peft_reshape(g, wanted->tensors[0], A), peft_reshape(g, made->tensors[0], A)};
    *C = peft_concat(g, 2, ups, 2);
    *D = peft_concat(g, 1, downs, 2);
}

static peft_tensor *sum_of_squares(peft_graph *g, peft_tensor *C, peft_tensor *D)
{
    peft_tensor *inner = peft_mul(g, peft_matmul(g, C, true, C, false), peft_matmul(g, D, false, D, true));
    return peft_sum(g, inner, PEFT_ALL_DIMS);
}

static peft_tensor *sum_by_tiles(peft_graph *g, const peft_place_kind *kind, peft_tensor *C, peft_tensor *D)
{
    if (!C || !D) return NULL;
    int64_t tile = TILE / (C->shape.size[0] * kind->in_features);
    peft_tensor *sum = NULL;
    if (tile < 1) tile = 1;
    for (int64_t row = 0; row < kind->out_features; row += tile) {
        int64_t rows = kind->out_features - row < tile ? kind->out_features - row : tile;
        peft_graph_checkpoint_begin(g);
        peft_tensor *part = sum_of_sizes(g, peft_matmul(g, peft_slice(g, C, 1, row, rows), false, D, false));
        peft_graph_checkpoint_end(g);
        sum = add_to(g, sum, part);
    }
    return sum;
}

static peft_tensor *product_loss(peft_t2l_scope *s, const peft_place_kind *kind, peft_t2l_loss loss,
                                 const peft_t2l_kind_output *made, const peft_t2l_kind_output *wanted)
{
    peft_tensor *C, *D;
    stack(s->net.g, s->t->output == PEFT_T2L_PRODUCT ? s->t->options.product_scale : 1, kind, made, wanted, &C, &D);
    peft_tensor *sum =
        loss == PEFT_T2L_PRODUCT_L1 ? sum_by_tiles(s->net.g, kind, C, D) : sum_of_squares(s->net.g, C, D);
    double count = (double)(C ? C->shape.size[0] : 1) * (double)kind->in_features * (double)kind->out_features;
    return peft_scale(s->net.g, sum, 1 / count);
}

/* ---- all kinds ---- */

peft_tensor *peft_t2l_reconstruction_loss(peft_graph *g, const peft_t2l *t, peft_t2l_loss loss, int64_t descriptions,
                                          const peft_t2l_kind_output *outputs, const peft_t2l_kind_output *targets)
{
    peft_t2l_scope s = {.net = {g, &t->set, false}, .t = t};
    peft_tensor *sum = NULL;
    int64_t count = 0;
    for (int64_t k = 0; k < t->places.num_kinds; k++) {
        const peft_place_kind *kind = &t->places.kinds[k];
        if (peft_t2l_kind_rows(kind) == 0) continue;
        sum = add_to(g, sum,
                     loss == PEFT_T2L_FACTORS ? factor_loss(&s, kind, descriptions, &outputs[k], &targets[k])
                                              : product_loss(&s, kind, loss, &outputs[k], &targets[k]));
        count++;
    }
    return peft_scale(g, sum, 1 / (double)count);
}

peft_tensor *peft_t2l_mean_squares(peft_graph *g, const peft_t2l *t, const peft_t2l_kind_output *outputs)
{
    peft_tensor *sum = NULL;
    for (int64_t k = 0; k < t->places.num_kinds; k++)
        for (int32_t v = 0; v < t->places.kinds[k].num_tensors; v++) {
            peft_tensor *x = outputs[k].tensors[v];
            if (t->places.kinds[k].tensors[v].emitted)
                sum = add_to(g, sum, peft_mean(g, peft_mul(g, x, x), PEFT_ALL_DIMS));
        }
    return sum;
}
