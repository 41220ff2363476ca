/* variants/loha.c - low-rank Hadamard product.
 *
 *     y = (W + s (A1 B1) * (A2 B2)) x + b,   s = alpha / r       (Hyeon-Woo et al. 2021, arXiv 2108.06098, prop. 1)
 *
 * A1, A2 [out, r], B1, B2 [r, in]; * is element by element, so that factors of rank r give an update of rank up to r^2.
 * The update is formed: each step pays for the gradient of a whole weight, as full fine-tuning does, and for nothing on
 * top of that, since it is added to W before the product with x.
 *
 * The update is also a plain LoRA of rank r^2: its factor pairs are all pairs of those of the two products. */
#include <math.h>
#include <stdlib.h>

#include "ops/ops.h"
#include "ops/side.h"
#include "variants/factors.h"
#include "variants/lycoris.h"

enum { A1, B1, A2, B2, VALUES };

static const peft_option option_table[] = {PEFT_LYCORIS_OPTION_ROWS, {0}};
static const peft_json_name json_names[] = {PEFT_LYCORIS_JSON_NAME_ROWS, {0}};
static const peft_json_field json_fields[] = {
    {"init_weights", "true", PEFT_FIELD_IGNORE}, {"use_effective_conv2d", "false", PEFT_FIELD_REFUSE}, {0}};

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    static const char *const names[] = {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"};
    for (int32_t v = 0; v < VALUES; v++) {
        bool up = v == A1 || v == A2;
        specs[v] = (peft_value_spec){
            .name = names[v],
            .shape = up ? peft_shape_2(a->out_features, a->rank) : peft_shape_2(a->rank, a->in_features),
            .start = PEFT_START_UNIFORM,
            .spread = 1.0 / sqrt((double)(up ? a->rank : a->in_features)),
            .role = up ? PEFT_ROLE_UP : PEFT_ROLE_DOWN,
        };
    }
    specs[B2].start = PEFT_START_ZERO;
    return VALUES;
}

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    peft_tensor *value[VALUES];
    for (int32_t v = 0; v < VALUES; v++) value[v] = peft_value_leaf(g, &a->values[v], batch);
    peft_tensor *first = peft_matmul(g, peft_scale(g, value[A1], a->scaling), false, value[B1], false);
    peft_tensor *update = peft_mul(g, first, peft_matmul(g, value[A2], false, value[B2], false));
    update = peft_lycoris_dropout(g, a, update, false, true, batch);
    peft_tensor *weight = peft_add(g, peft_weight_leaf(g, base->weight), update);
    return peft_linear(g, x, weight, base->bias ? peft_weight_leaf(g, base->bias) : NULL);
}

/* ---- as plain LoRA ---- */

/* out[(p, q)][i] = x[p][i] z[q][i] for the pairs of `rank` rows or, where `columns`, of columns. */
static void pair_up(int64_t rank, int64_t size, bool columns, const float *x, const float *z, float *out)
{
    int64_t pairs = rank * rank;
    for (int64_t pair = 0; pair < pairs; pair++)
        for (int64_t i = 0; i < size; i++) {
            int64_t p = pair / rank, q = pair % rank;
            if (columns)
                out[i * pairs + pair] = x[i * rank + p] * z[i * rank + q];
            else
                out[pair * size + i] = x[p * size + i] * z[q * size + i];
        }
}

static double product_at(const peft_adapter *a, int32_t left, int64_t o, int64_t i)
{
    const float *A = a->values[left].data, *B = a->values[left + 1].data;
    double sum = 0;
    for (int64_t r = 0; r < a->rank; r++) sum += (double)A[o * a->rank + r] * (double)B[r * a->in_features + i];
    return sum;
}

static peft_status dense_factors(const peft_adapter *a, peft_lora_factors *factors, peft_error *error)
{
    int64_t count = a->out_features * a->in_features;
    float *update = malloc((size_t)count * sizeof *update);
    if (!update) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for its update", a->module);
    for (int64_t k = 0; k < count; k++) {
        int64_t o = k / a->in_features, i = k % a->in_features;
        update[k] = (float)(product_at(a, A1, o, i) * product_at(a, A2, o, i));
    }
    peft_status status = peft_lora_factors_dense(a, update, factors, error);
    free(update);
    return status;
}

static peft_status to_lora(const peft_adapter *a, peft_lora_factors *factors, peft_error *error)
{
    int64_t smaller = a->in_features < a->out_features ? a->in_features : a->out_features;
    if (a->rank * a->rank >= smaller) return dense_factors(a, factors, error);
    peft_status status = peft_lora_factors_allocate(a, a->rank * a->rank, factors, error);
    if (status) return status;
    pair_up(a->rank, a->in_features, false, a->values[B1].data, a->values[B2].data, factors->A);
    pair_up(a->rank, a->out_features, true, a->values[A1].data, a->values[A2].data, factors->B);
    return PEFT_OK;
}

const peft_variant peft_variant_loha = {
    .name = "loha",
    .equation = "y = W x + b + (alpha / r) ((A1 B1) * (A2 B2)) x, * element by element",
    .source = "Hyeon-Woo et al. 2021, arXiv 2108.06098, proposition 1",
    .summary = "the element-wise product of two low-rank matrices, of rank up to r^2",
    .peft_type = "LOHA",
    .options_bytes = sizeof(peft_lycoris_options),
    .options = option_table,
    .json_names = json_names,
    .json_fields = json_fields,
    .absent_fields = peft_lycoris_absent_fields,
    .scaling = peft_lycoris_scaling,
    .layer_values = layer_values,
    .forward = forward,
    .by_token = true,
    .to_lora = to_lora,
};
