/* variants/trex.c - T-REX: rank-1 experts that share their vectors.
 *
 *     h = A x      c = h G_t      y = W x + b + s B c,   s = alpha     (Liu et al. 2024, arXiv 2404.08985, v2)
 *
 * A [r1, in], B [out, r2]. Each pair of a row of A and a column of B is an expert: r1 r2 of them from r1 + r2 vectors.
 * The gates of a token are the matrix G_t [r1, r2], row by row: those of MoR1E with the gate token (intuition.h). With
 * a diagonal G it is MoR1E. A is drawn as torch.nn.Linear does, U(-1/sqrt(in), 1/sqrt(in)), and B is zero, so the
 * layer starts as the base layer. */
#include <float.h>

#include "ops/ops.h"
#include "variants/intuition.h"

typedef struct trex_options {
    peft_intuition_options intuition;
    int64_t r1, r2;
} trex_options;

enum { A, B, GATE };

#define RANK_ROW(field, text, what)                                                                                    \
    {                                                                                                                  \
        .name = #field, .type = PEFT_OPTION_INT, .offset = offsetof(trex_options, field), .initial = (text), .min = 1, \
        .max = 256, .placeholder = "N", .help = (what), .group = "Adapter"                                             \
    }

static const peft_option option_table[] = {RANK_ROW(r1, "4", "vectors that take the input down"),
                                           RANK_ROW(r2, "8", "vectors that take it up; each pair is an expert"),
                                           PEFT_INTUITION_OPTION_ROWS,
                                           {0}};

static const peft_intuition_names names = {"trex_router.weight", "trex_omega", "trex_main", "trex_centroids"};

static int64_t num_experts(const peft_adapters *all)
{
    const trex_options *o = all->options;
    return o->r1 * o->r2;
}

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    const trex_options *o = a->all->options;
    specs[A] = (peft_value_spec){.name = "trex_A",
                                 .shape = peft_shape_2(o->r1, a->in_features),
                                 .start = PEFT_START_UNIFORM,
                                 .spread = 1 / sqrt((double)a->in_features),
                                 .role = PEFT_ROLE_DOWN};
    specs[B] = (peft_value_spec){.name = "trex_B", .shape = peft_shape_2(a->out_features, o->r2), .role = PEFT_ROLE_UP};
    return GATE + peft_intuition_layer_values(a, &names, num_experts(a->all), specs + GATE);
}

static int32_t model_values(const peft_adapters *all, peft_value_spec *specs)
{
    return peft_intuition_model_values(all, &names, num_experts(all), specs);
}

/* No update of a token has a larger one. */
static peft_status layer_rank(const peft_adapters *all, const char *module, int64_t *rank, peft_error *error)
{
    const trex_options *o = all->options;
    (void)module;
    (void)error;
    *rank = o->r1 < o->r2 ? o->r1 : o->r2;
    return PEFT_OK;
}

static double scaling(const peft_adapter *a)
{
    return a->alpha;
}

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    const trex_options *o = a->all->options;
    int64_t tokens = batch->num_tokens;
    peft_tensor *gate = peft_intuition_gate(g, a, &a->values[GATE], x, batch);
    peft_tensor *G = peft_reshape(g, gate, peft_shape_3(tokens, o->r1, o->r2));
    peft_tensor *h =
        peft_linear(g, peft_adapter_dropout(g, a, x, batch), peft_value_leaf(g, &a->values[A], batch), NULL);
    peft_tensor *c = peft_matmul(g, peft_reshape(g, h, peft_shape_3(tokens, 1, o->r1)), false, G, false);
    c = peft_scale(g, peft_reshape(g, c, peft_shape_2(tokens, o->r2)), a->scaling);
    peft_tensor *update = peft_linear(g, c, peft_value_leaf(g, &a->values[B], batch), NULL);
    return peft_add(g, peft_base_forward(g, base, x), update);
}

const peft_variant peft_variant_trex = {
    .name = "trex",
    .equation = "y = W x + b + alpha B G(x, sequence)^T A x",
    .source = "Liu et al. 2024, arXiv 2404.08985v2",
    .summary = "rank-1 experts that share their vectors, gated by token and by sequence",
    .peft_type = "TREX",
    .own_format = "1",
    .options_bytes = sizeof(trex_options),
    .options = option_table,
    .layer_rank = layer_rank,
    .scaling = scaling,
    .layer_values = layer_values,
    .model_values = model_values,
    .fit = peft_intuition_fit,
    .fit_size = peft_intuition_fit_size,
    .forward = forward,
};
