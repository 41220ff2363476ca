/* variants/mor1e.c - mixture of rank-1 experts.
 *
 *     y = W x + b + s sum_j g_j B_j (A_j x),   s = alpha               (Liu et al. 2024, arXiv 2404.08985, v1)
 *
 * A [n, in], B [out, n]: n experts, each an outer product of a column of B and a row of A. This is the gated low-rank
 * product of rank n; only the gate is special.
 *
 *   token      g_t, the router's probabilities blended with the intuition of the sequence (intuition.h): the
 *              authors' program
 *   sequence   one g for each sequence q:  z1 = F1 mean(x) + b1,  z2 = layer_norm(gelu(z1)),  z3 = F2 z2 + b2,
 *              g = softmax(P z3 + bp), with the mean over the sequence's prompt alone: no later token changes it
 *
 * A is drawn as torch.nn.Linear does, U(-1/sqrt(in), 1/sqrt(in)), and B is zero, so the layer starts as the base layer.
 * With gate sequence at its uniform 1/n the layer is a LoRA of rank n and the same alpha. */
#include <float.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/side.h"
#include "variants/by_sequence.h"
#include "variants/intuition.h"

typedef struct mor1e_options {
    peft_intuition_options intuition;
    int64_t num_experts, gate_size;
    char *gate;
} mor1e_options;

enum { A, B, GATE };

static const char *const gates[] = {"token", "sequence", NULL};

static const peft_option option_table[] = {
    {.name = "num_experts",
     .type = PEFT_OPTION_INT,
     .offset = offsetof(mor1e_options, num_experts),
     .initial = "32",
     .min = 1,
     .max = PEFT_MAX_RANK,
     .placeholder = "N",
     .help = "rank-1 experts of each layer",
     .group = "Adapter"},
    {.name = "gate",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(mor1e_options, gate),
     .initial = "token",
     .choices = gates,
     .placeholder = "NAME",
     .help = "a gate for each token, from a router and the intuition of the sequence; or one for each sequence, from "
             "the mean of its prompt",
     .group = "Adapter"},
    {.name = "gate_size",
     .type = PEFT_OPTION_INT,
     .offset = offsetof(mor1e_options, gate_size),
     .initial = "32",
     .min = 1,
     .max = 1 << 20,
     .placeholder = "N",
     .help = "hidden units of the gate of sequences",
     .group = "Adapter"},
    PEFT_INTUITION_OPTION_ROWS,
    {0}};

static bool by_sequence(const peft_adapters *all)
{
    return strcmp(((const mor1e_options *)all->options)->gate, "sequence") == 0;
}

/* ---- values ---- */

static const peft_intuition_names names = {"mor1e_router.weight", "mor1e_omega", "mor1e_main", "mor1e_centroids"};

/* Of the gate of sequences. */
enum { FC1, FC1_BIAS, LN, LN_BIAS, FC2, FC2_BIAS, PROJ, PROJ_BIAS, SEQUENCE_GATE_VALUES };

/* Weight and bias as torch.nn.Linear draws them. */
static void linear_specs(const char *weight, const char *bias, int64_t out, int64_t in, peft_value_spec *specs)
{
    double bound = 1 / sqrt((double)in);
    specs[0] = (peft_value_spec){weight, peft_shape_2(out, in), .start = PEFT_START_UNIFORM, .spread = bound};
    specs[1] = (peft_value_spec){bias, peft_shape_1(out), .start = PEFT_START_UNIFORM, .spread = bound};
    specs[0].role = specs[1].role = PEFT_ROLE_GATE;
}

static int32_t sequence_gate_values(const peft_adapter *a, peft_value_spec *specs)
{
    const mor1e_options *o = a->all->options;
    int64_t m = o->gate_size;
    linear_specs("mor1e_gate.fc1.weight", "mor1e_gate.fc1.bias", m, a->in_features, specs + FC1);
    specs[LN] = (peft_value_spec){
        .name = "mor1e_gate.ln.weight", .shape = peft_shape_1(m), .start = PEFT_START_ONE, .role = PEFT_ROLE_GATE};
    specs[LN_BIAS] = (peft_value_spec){.name = "mor1e_gate.ln.bias", .shape = peft_shape_1(m), .role = PEFT_ROLE_GATE};
    linear_specs("mor1e_gate.fc2.weight", "mor1e_gate.fc2.bias", m, m, specs + FC2);
    linear_specs("mor1e_gate.proj.weight", "mor1e_gate.proj.bias", o->num_experts, m, specs + PROJ);
    return SEQUENCE_GATE_VALUES;
}

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    specs[A] = (peft_value_spec){.name = "mor1e_A",
                                 .shape = peft_shape_2(a->rank, a->in_features),
                                 .start = PEFT_START_UNIFORM,
                                 .spread = 1 / sqrt((double)a->in_features),
                                 .role = PEFT_ROLE_DOWN};
    specs[B] =
        (peft_value_spec){.name = "mor1e_B", .shape = peft_shape_2(a->out_features, a->rank), .role = PEFT_ROLE_UP};
    return GATE + (by_sequence(a->all) ? sequence_gate_values(a, specs + GATE)
                                       : peft_intuition_layer_values(a, &names, a->rank, specs + GATE));
}

static int32_t model_values(const peft_adapters *all, peft_value_spec *specs)
{
    if (by_sequence(all)) return 0;
    return peft_intuition_model_values(all, &names, ((const mor1e_options *)all->options)->num_experts, specs);
}

static peft_status layer_rank(const peft_adapters *all, const char *module, int64_t *rank, peft_error *error)
{
    (void)module;
    (void)error;
    *rank = ((const mor1e_options *)all->options)->num_experts;
    return PEFT_OK;
}

static double scaling(const peft_adapter *a)
{
    return a->alpha;
}

/* ---- the method ---- */

static peft_tensor *linear(peft_graph *g, const peft_value *values, peft_tensor *x, const peft_batch *batch)
{
    return peft_linear(g, x, peft_value_leaf(g, &values[0], batch), peft_value_leaf(g, &values[1], batch));
}

/* [S, n] */
static peft_tensor *sequence_gate(peft_graph *g, const peft_adapter *a, peft_tensor *x, const peft_batch *batch)
{
    const double eps = 1e-5;
    const peft_value *v = &a->values[GATE];
    peft_tensor *z1 = linear(g, v + FC1, peft_batch_prompt_mean(g, batch, x), batch);
    peft_tensor *z2 = peft_layer_norm(g, peft_activation(g, z1, PEFT_ACTIVATION_gelu),
                                      peft_value_leaf(g, &v[LN], batch), peft_value_leaf(g, &v[LN_BIAS], batch), eps);
    peft_tensor *z3 = linear(g, v + FC2, z2, batch);
    peft_tensor *gate = peft_softmax(g, linear(g, v + PROJ, z3, batch));
    if (batch->training) peft_graph_observe(g, a->module, "gate", peft_mean(g, gate, 0));
    return gate;
}

/* [T, n], or with the gate of sequences [S, n] */
static peft_tensor *gate_of(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    (void)base;
    return by_sequence(a->all) ? sequence_gate(g, a, x, batch) : peft_intuition_gate(g, a, &a->values[GATE], x, batch);
}

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    peft_tensor *leaf_A = peft_value_leaf(g, &a->values[A], batch), *leaf_B = peft_value_leaf(g, &a->values[B], batch);
    peft_tensor *own = peft_value_starts(g, &a->values[A], batch); /* NULL: one adapter for all */
    peft_tensor *gate =
        own ? peft_rows_by_sequence(g, a, base, x, batch, GATE, gate_of) : gate_of(g, a, base, x, batch);
    peft_tensor *starts = by_sequence(a->all) ? peft_batch_starts(g, batch) : own;
    peft_tensor *dropped = peft_adapter_dropout(g, a, x, batch);
    return peft_low_rank(g, peft_base_forward(g, base, x), dropped, leaf_A, leaf_B, gate, starts, a->scaling);
}

const peft_variant peft_variant_mor1e = {
    .name = "mor1e",
    .equation = "y = W x + b + alpha B (g(x, sequence) A x)",
    .source = "Liu et al. 2024, arXiv 2404.08985v1",
    .summary = "a mixture of rank-1 experts, gated by token and by sequence",
    .peft_type = "MOR1E",
    .own_format = "1",
    .options_bytes = sizeof(mor1e_options),
    .options = option_table,
    .layer_rank = layer_rank,
    .scaling = scaling,
    .layer_values = layer_values,
    .model_values = model_values,
    .fit = peft_intuition_fit,
    .fit_size = peft_intuition_fit_size,
    .forward = forward,
    .grouped = true,
};
