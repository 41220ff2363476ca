/* variants/adalora.c - Adaptive Low-Rank Adaptation.
 *
 *     y = W x + b + s B (E * (A x)),   s = alpha / (r + 1e-5)          (Zhang et al. 2023, arXiv 2303.10512, eq. 3)
 *     penalty: the mean over all A and B of |A A^T - I|, |B^T B - I|                                  (eq. 4)
 *
 * A [r, in], E [r, 1], B [out, r]: an update in the form of a singular value decomposition, which the penalty keeps A
 * and B close to. E starts at zero, so the adapted layer starts as the base layer; A and B are normal with deviation
 * 0.02. The least important of all directions lose their E while training (budget.h). The paper squares the norms of
 * the penalty; the authors' program and Hugging Face do not, and neither do we. r in s is the rank at the start, also
 * after pruning and in files. */
#include "ops/ops.h"
#include "ops/side.h"
#include "variants/budget.h"
#include "variants/by_sequence.h"
#include "variants/factors.h"
#include "variants/lora.h"
#include "variants/orthogonality.h"

enum { A, E, B, STATE, VALUES = STATE + PEFT_BUDGET_STATE };

static const peft_budget_values budget = {.key = "lora_E", .E = E, .rows = A, .columns = B, .state = STATE};

static const peft_option options[] = {PEFT_BUDGET_OPTION_ROWS("12", "16", "0.5"), {0}};

/* PEFT has LoRA's fields here too, and does not look at these. */
static const peft_json_field json_fields[] = {{"alpha_pattern", "{}", PEFT_FIELD_IGNORE},
                                              {"init_lora_weights", "true", PEFT_FIELD_IGNORE},
                                              {"r", "8", PEFT_FIELD_IGNORE},
                                              PEFT_LORA_JSON_FIELD_ROWS,
                                              {0}};

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    const double spread = 0.02;
    specs[A] = (peft_value_spec){.name = "lora_A",
                                 .shape = peft_shape_2(a->rank, a->in_features),
                                 .start = PEFT_START_NORMAL,
                                 .spread = spread,
                                 .role = PEFT_ROLE_DOWN};
    specs[E] = (peft_value_spec){.name = "lora_E", .shape = peft_shape_2(a->rank, 1), .role = PEFT_ROLE_GATE};
    specs[B] = (peft_value_spec){.name = "lora_B",
                                 .shape = peft_shape_2(a->out_features, a->rank),
                                 .start = PEFT_START_NORMAL,
                                 .spread = spread,
                                 .role = PEFT_ROLE_UP};
    peft_budget_state_values(&budget, specs);
    return VALUES;
}

/* This layer's share of the mean. */
static void add_penalty(peft_graph *g, const peft_adapter *a, peft_tensor *tensor_A, peft_tensor *tensor_B)
{
    const peft_budget_options *o = a->all->options;
    if (o->orth_reg_weight == 0) return;
    peft_tensor *both = peft_add(g, peft_orthogonality_norm(g, tensor_A, PEFT_GRAM_ROWS),
                                 peft_orthogonality_norm(g, tensor_B, PEFT_GRAM_COLUMNS));
    peft_graph_add_loss(g, a->module, "orthogonality", both, o->orth_reg_weight / (2 * (double)a->all->num_layers));
}

/* Of each sequence's adapter, where these have their own. */
static void add_penalties(peft_graph *g, const peft_adapter *a, peft_tensor *tensor_A, peft_tensor *tensor_B,
                          const peft_batch *batch)
{
    for (int64_t s = 0; s < batch->num_sequences; s++)
        add_penalty(g, a, peft_entry_of_sequence(g, tensor_A, s), peft_entry_of_sequence(g, tensor_B, s));
}

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    peft_tensor *y0 = peft_base_forward(g, base, x);
    if (a->rank == 0) return y0; /* all of it was pruned */
    peft_tensor *tensor_A = peft_value_leaf(g, &a->values[A], batch);
    peft_tensor *tensor_B = peft_value_leaf(g, &a->values[B], batch);
    peft_tensor *starts = peft_value_starts(g, &a->values[A], batch);
    peft_shape gates = starts ? peft_shape_2(batch->num_sequences, a->rank) : peft_shape_1(a->rank);
    peft_tensor *gate = peft_reshape(g, peft_value_leaf(g, &a->values[E], batch), gates);
    if (batch->training && starts) add_penalties(g, a, tensor_A, tensor_B, batch);
    if (batch->training && !starts) add_penalty(g, a, tensor_A, tensor_B);
    return peft_low_rank(g, y0, peft_adapter_dropout(g, a, x, batch), tensor_A, tensor_B, gate, starts, a->scaling);
}

static peft_status arrange(peft_adapters *all, peft_error *error)
{
    return peft_budget_arrange(&budget, all, error);
}

static peft_status after_step(peft_adapters *all, const peft_training_step *step, peft_error *error)
{
    return peft_budget_after_step(&budget, all, step, error);
}

static peft_status compact(const peft_adapters *all, peft_adapters **smaller, peft_error *error)
{
    return peft_budget_compact(&budget, all, smaller, error);
}

static peft_status to_lora(const peft_adapter *a, peft_lora_factors *factors, peft_error *error)
{
    const peft_value *v = a->values;
    return peft_lora_factors_gated(a, a->rank, v[A].data, v[B].data, v[E].data, factors, error);
}

const peft_variant peft_variant_adalora = {
    .name = "adalora",
    .equation = "y = W x + b + (alpha / r) B (E * (A x))",
    .source = "Zhang et al. 2023, arXiv 2303.10512",
    .summary = "an update like a singular value decomposition, whose ranks compete for a budget",
    .peft_type = "ADALORA",
    .options_bytes = sizeof(peft_budget_options),
    .options = options,
    .json_names = peft_budget_json_names,
    .json_fields = json_fields,
    .arrange = arrange,
    .scaling = peft_budget_scaling,
    .layer_values = layer_values,
    .forward = forward,
    .grouped = true,
    .by_token = true,
    .check_steps = peft_budget_check_steps,
    .after_step = after_step,
    .compact = compact,
    .to_lora = to_lora,
};
