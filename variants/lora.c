/* variants/lora.c - Low-Rank Adaptation.
 *
 *     y = W x + b + s B A x,   s = alpha / r                    (Hu et al. 2021, arXiv 2106.09685, eq. 3)
 *
 * A [r, in], B [out, r]. B starts at zero, so the adapted layer starts as the base layer. The paper draws A from a
 * Gaussian; the authors' program and Hugging Face draw it as torch.nn.Linear does, U(-1/sqrt(in), 1/sqrt(in)), which
 * is the default here. Other starts take B A from W (lora_start.h): then the layer is
 *
 *     y = W x + b - s B0 A0 x + s B A x
 *
 * with the start values A0, B0, and files hold the plain LoRA [A; A0], [B, -B0] of rank 2 r. Dropout acts on the input
 * of A only. With freeze_a (Zhang et al. 2023, LoRA-FA, arXiv 2308.03303) B alone is trained. */
#include "variants/lora.h"

#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "variants/factors.h"
#include "variants/pattern.h"

/* Of PEFT's words for start values those that leave the base as it is, and those that can be had again from it. The
 * first of each text is what is written. MiCA's A starts at zero, and trains beside a B that is in the file. */
const struct peft_json_value peft_lora_init_json_values[] = {{"kaiming", "true"},
                                                             {"gaussian", "\"gaussian\""},
                                                             {"kaiming", "false"},
                                                             {"kaiming", "null"},
                                                             {"orthogonal", "\"orthogonal\""},
                                                             {"eva", "\"eva\""},
                                                             {"kaiming", "\"mica\""},
                                                             {"pissa", "\"pissa\""},
                                                             {"olora", "\"olora\""},
                                                             {0}};

const peft_option peft_lora_option_table[] = {PEFT_LORA_OPTION_ROWS, {0}};
const peft_json_name peft_lora_json_names[] = {PEFT_LORA_JSON_NAME_ROWS, {0}};
const peft_json_field peft_lora_json_fields[] = {PEFT_LORA_JSON_FIELD_ROWS, {0}};

int32_t peft_lora_layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    const peft_lora_options *options = a->all->options;
    const peft_lora_start *start = peft_lora_start_of(a->all);
    specs[PEFT_LORA_A] = (peft_value_spec){
        .name = "lora_A.weight",
        .shape = peft_shape_2(a->rank, a->in_features),
        .kind = options->freeze_a ? PEFT_VALUE_FROZEN : PEFT_VALUE_TRAINED,
        .start = start->normal ? PEFT_START_NORMAL : PEFT_START_UNIFORM,
        .spread = start->normal ? 1.0 / (double)a->rank : 1.0 / sqrt((double)a->in_features),
        .role = PEFT_ROLE_DOWN,
    };
    specs[PEFT_LORA_B] = (peft_value_spec){
        .name = "lora_B.weight",
        .shape = peft_shape_2(a->out_features, a->rank),
        .start = PEFT_START_ZERO,
        .role = PEFT_ROLE_UP,
    };
    return start->subtracts ? peft_lora_rest_values(specs) : PEFT_LORA_VALUES;
}

peft_tensor *peft_lora_forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                               const peft_batch *batch)
{
    peft_tensor *A = peft_value_leaf(g, &a->values[PEFT_LORA_A], batch);
    peft_tensor *B = peft_value_leaf(g, &a->values[PEFT_LORA_B], batch);
    peft_tensor *dropped = peft_adapter_dropout(g, a, x, batch);
    peft_tensor *starts = peft_value_starts(g, &a->values[PEFT_LORA_A], batch);
    return peft_low_rank(g, peft_lora_rest_forward(g, a, base, x, batch), dropped, A, B, NULL, starts, a->scaling);
}

peft_tensor *peft_lora_weight(peft_graph *g, const peft_adapter *a, const peft_base_linear *base,
                              const peft_batch *batch)
{
    peft_tensor *A = peft_value_leaf(g, &a->values[PEFT_LORA_A], batch);
    peft_tensor *B = peft_value_leaf(g, &a->values[PEFT_LORA_B], batch);
    return peft_lora_add_product(g, peft_lora_rest_weight(g, a, base, batch), A, B, a->scaling);
}

peft_status peft_lora_to_lora(const peft_adapter *a, peft_lora_factors *factors, peft_error *error)
{
    if (peft_lora_start_of(a->all)->subtracts) return peft_lora_rest_to_lora(a, factors, error);
    peft_status status = peft_lora_factors_allocate(a, a->rank, factors, error);
    if (status) return status;
    memcpy(factors->A, a->values[PEFT_LORA_A].data, (size_t)(a->rank * a->in_features) * sizeof(float));
    memcpy(factors->B, a->values[PEFT_LORA_B].data, (size_t)(a->rank * a->out_features) * sizeof(float));
    return PEFT_OK;
}

bool peft_lora_write_fields(const void *options, json_t *root)
{
    const peft_lora_options *o = options;
    if (strcmp(o->init, "eva") != 0) return true;
    return json_object_set_new(root, "eva_config", json_pack("{s:o}", "rho", peft_pattern_number_json(o->eva_rho))) ==
           0;
}

static double scaling(const peft_adapter *a)
{
    return a->alpha / (double)a->rank;
}

const peft_variant peft_variant_lora = {
    .name = "lora",
    .equation = "y = W x + b + (alpha / r) B A x",
    .source = "Hu et al. 2021, arXiv 2106.09685, eq. (3)",
    .summary = "a low-rank update beside each frozen weight",
    .peft_type = "LORA",
    .options_bytes = sizeof(peft_lora_options),
    .options = peft_lora_option_table,
    .json_names = peft_lora_json_names,
    .json_fields = peft_lora_json_fields,
    .write_fields = peft_lora_write_fields,
    .scaling = scaling,
    .layer_values = peft_lora_layer_values,
    .forward = peft_lora_forward,
    .grouped = true,
    .by_token = true,
    .weight = peft_lora_weight,
    .init = peft_lora_init,
    .trace_wish = peft_lora_trace_wish,
    .init_from_trace = peft_lora_init_from_trace,
    .compact = peft_lora_compact,
    .to_lora = peft_lora_to_lora,
};
