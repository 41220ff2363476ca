/* variants/molora.c - mixture of LoRAs with a router for each layer and token.
 *
 *     y = W x + b + s sum_e gate_e B_e A_e x,   s = alpha / r          (Zadouri et al. 2023, arXiv 2309.05444)
 *
 * A [E, r, in], B [E, out, r]; the gate [T, E] is the router's (router.h). With the experts side by side, A as [E r,
 * in] and B as [out, E r], it is one gated low-rank product in which each entry of the gate counts for r rows of A, and
 * no expert's output of width `out` is ever formed. The experts' outputs are mixed, not their factors: (sum g_e B_e)
 * (sum g_e A_e) would be something else.
 *
 * As in the authors' program A and the router are normal with deviation 0.02, and B is zero: the layer starts as the
 * base layer, and the router learns from the second step on. The A_e have to differ, since experts that are alike stay
 * alike under a router that is. */
#include "variants/molora.h"

#include <string.h>

#include "ops/ops.h"
#include "variants/by_sequence.h"
#include "variants/factors.h"

static const peft_option option_table[] = {
    PEFT_COMMON_OPTION_ROWS("4", "16"), PEFT_ROUTER_NUM_EXPERTS_ROW("4"), PEFT_ROUTER_OPTION_ROWS("0"), {0}};

double peft_molora_scaling(const peft_adapter *a)
{
    return a->alpha / (double)a->rank;
}

int32_t peft_molora_layer_values_from(const peft_adapter *a, peft_molora_start start, peft_value_spec *specs)
{
    const peft_router_spec router = {"molora_router.weight", "molora_router.bias", start.start, start.spread};
    specs[PEFT_MOLORA_A] = (peft_value_spec){.name = "molora_A",
                                             .shape = peft_shape_3(a->num_experts, a->rank, a->in_features),
                                             .start = start.start,
                                             .spread = start.spread,
                                             .role = PEFT_ROLE_DOWN};
    specs[PEFT_MOLORA_B] = (peft_value_spec){
        .name = "molora_B", .shape = peft_shape_3(a->num_experts, a->out_features, a->rank), .role = PEFT_ROLE_UP};
    return PEFT_MOLORA_ROUTER + peft_router_values(a, &router, specs + PEFT_MOLORA_ROUTER);
}

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    return peft_molora_layer_values_from(a, (peft_molora_start){PEFT_START_NORMAL, 0.02}, specs);
}

/* [E, r, in] -> [E r, in], or for each sequence */
static peft_tensor *side_by_side_A(peft_graph *g, const peft_adapter *a, peft_tensor *A)
{
    int64_t rows = a->num_experts * a->rank;
    bool per_sequence = A && A->shape.ndim == 4;
    return peft_reshape(
        g, A, per_sequence ? peft_shape_3(A->shape.size[0], rows, a->in_features) : peft_shape_2(rows, a->in_features));
}

/* [E, out, r] -> [out, E r], or for each sequence */
static peft_tensor *side_by_side_B(peft_graph *g, const peft_adapter *a, peft_tensor *B)
{
    static const int32_t experts_inside[] = {1, 0, 2}, experts_inside_each[] = {0, 2, 1, 3};
    int64_t columns = a->num_experts * a->rank;
    bool per_sequence = B && B->shape.ndim == 4;
    B = peft_permute(g, B, per_sequence ? experts_inside_each : experts_inside);
    return peft_reshape(g, B,
                        per_sequence ? peft_shape_3(B->shape.size[0], a->out_features, columns)
                                     : peft_shape_2(a->out_features, columns));
}

static peft_tensor *gate_of(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    (void)base;
    return peft_router_gate(g, a, &a->values[PEFT_MOLORA_ROUTER], x, batch);
}

/* The experts' products are grouped; routers that differ by sequence look at one after another. */
peft_tensor *peft_molora_forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                                 const peft_batch *batch)
{
    peft_tensor *A = side_by_side_A(g, a, peft_value_leaf(g, &a->values[PEFT_MOLORA_A], batch));
    peft_tensor *B = side_by_side_B(g, a, peft_value_leaf(g, &a->values[PEFT_MOLORA_B], batch));
    peft_tensor *starts = peft_value_starts(g, &a->values[PEFT_MOLORA_A], batch);
    peft_tensor *gate = starts ? peft_rows_by_sequence(g, a, base, x, batch, PEFT_MOLORA_ROUTER, gate_of)
                               : gate_of(g, a, base, x, batch);
    peft_tensor *dropped = peft_adapter_dropout(g, a, x, batch);
    return peft_low_rank(g, peft_base_forward(g, base, x), dropped, A, B, gate, starts, a->scaling);
}

peft_status peft_molora_expert_to_lora(const peft_adapter *a, int64_t expert, peft_lora_factors *factors,
                                       peft_error *error)
{
    int64_t size_A = a->rank * a->in_features, size_B = a->rank * a->out_features;
    peft_status status = peft_lora_factors_allocate(a, a->rank, factors, error);
    if (status) return status;
    memcpy(factors->A, a->values[PEFT_MOLORA_A].data + expert * size_A, (size_t)size_A * sizeof(float));
    memcpy(factors->B, a->values[PEFT_MOLORA_B].data + expert * size_B, (size_t)size_B * sizeof(float));
    return PEFT_OK;
}

const peft_variant peft_variant_molora = {
    .name = "molora",
    .equation = "y = W x + b + (alpha / r) sum_e softmax(R x)_e B_e A_e x",
    .source = "Zadouri et al. 2023, arXiv 2309.05444",
    .summary = "several LoRAs in each layer, mixed for each token by a router",
    .peft_type = "MOLORA",
    .own_format = "1",
    .options_bytes = sizeof(peft_router_options),
    .options = option_table,
    .check = peft_router_check,
    .arrange = peft_router_arrange,
    .scaling = peft_molora_scaling,
    .layer_values = layer_values,
    .forward = peft_molora_forward,
    .grouped = true,
    .expert_to_lora = peft_molora_expert_to_lora,
};
