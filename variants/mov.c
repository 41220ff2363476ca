/* variants/mov.c - mixture of vectors: IA3's factors as experts.
 *
 *     f = W x + b        y = f ⊙ (1 + sum_e gate_e (l_e - 1))          (Zadouri et al. 2023, arXiv 2309.05444)
 *
 * l [E, out]; the gate [T, E] is the router's (router.h). The paper has y = f ⊙ sum_e p_e l_e, which is the same where
 * the gate adds up to one. Written with l - 1 the layer starts as the base layer to the bit, l being one, also where
 * top_k does not renormalise. Only outputs are scaled. The authors' program puts such vectors on keys, values, and
 * between the two layers of a feed-forward block: that is the output of the first of them. */
#include "ops/ops.h"
#include "variants/router.h"

enum { L, ROUTER };

static const peft_option option_table[] = {PEFT_ROUTER_NUM_EXPERTS_ROW("30"), PEFT_ROUTER_OPTION_ROWS("0"), {0}};

static double scaling(const peft_adapter *a)
{
    (void)a;
    return 1;
}

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    static const peft_router_spec router = {"mov_router.weight", "mov_router.bias", PEFT_START_NORMAL, 0.02};
    specs[L] = (peft_value_spec){.name = "mov_l",
                                 .shape = peft_shape_2(a->num_experts, a->out_features),
                                 .start = PEFT_START_ONE,
                                 .role = PEFT_ROLE_GATE};
    return ROUTER + peft_router_values(a, &router, specs + ROUTER);
}

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    peft_tensor *l = peft_value_leaf(g, &a->values[L], batch);
    peft_tensor *gate = peft_router_gate(g, a, &a->values[ROUTER], x, batch);
    peft_tensor *change = peft_matmul(g, gate, false, peft_shift(g, l, -1), false);
    peft_tensor *f = peft_base_forward(g, base, x);
    return peft_add(g, f, peft_mul(g, change, f));
}

const peft_variant peft_variant_mov = {
    .name = "mov",
    .equation = "y = (W x + b) (1 + sum_e softmax(R x)_e (l_e - 1))",
    .source = "Zadouri et al. 2023, arXiv 2309.05444",
    .summary = "several vectors of factors on each layer's outputs, mixed for each token by a router",
    .peft_type = "MOV",
    .own_format = "1",
    .options_bytes = sizeof(peft_router_options),
    .options = option_table,
    .check = peft_router_check,
    .arrange = peft_router_arrange,
    .scaling = scaling,
    .layer_values = layer_values,
    .forward = forward,
};
