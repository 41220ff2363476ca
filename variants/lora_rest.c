/* variants/lora_rest.c - training beside what is left of the weight, W - s B0 A0 (lora_start.h). */
#include <string.h>

#include "ops/ops.h"
#include "variants/factors.h"
#include "variants/lora.h"

int32_t peft_lora_rest_values(peft_value_spec *specs)
{
    specs[PEFT_LORA_A0] =
        (peft_value_spec){.name = "lora_A0", .shape = specs[PEFT_LORA_A].shape, .kind = PEFT_VALUE_STATE};
    specs[PEFT_LORA_B0] =
        (peft_value_spec){.name = "lora_B0", .shape = specs[PEFT_LORA_B].shape, .kind = PEFT_VALUE_STATE};
    return PEFT_LORA_B0 + 1;
}

static void copy(const peft_value *from, const peft_value *to)
{
    memcpy(to->data, from->data, (size_t)peft_shape_count(&from->spec.shape) * sizeof(float));
}

void peft_lora_rest_begin(peft_adapter *a)
{
    copy(&a->values[PEFT_LORA_A], &a->values[PEFT_LORA_A0]);
    copy(&a->values[PEFT_LORA_B], &a->values[PEFT_LORA_B0]);
}

peft_tensor *peft_lora_rest_forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                                    const peft_batch *batch)
{
    peft_tensor *y0 = peft_base_forward(g, base, x);
    if (!peft_lora_start_of(a->all)->subtracts) return y0;
    peft_tensor *A0 = peft_value_leaf(g, &a->values[PEFT_LORA_A0], batch);
    peft_tensor *B0 = peft_value_leaf(g, &a->values[PEFT_LORA_B0], batch);
    return peft_low_rank(g, y0, x, A0, B0, NULL, NULL, -a->scaling);
}

peft_tensor *peft_lora_add_product(peft_graph *g, peft_tensor *W, peft_tensor *A, peft_tensor *B, double scale)
{
    return peft_add(g, W, peft_scale(g, peft_matmul(g, B, false, A, false), scale));
}

peft_tensor *peft_lora_rest_weight(peft_graph *g, const peft_adapter *a, const peft_base_linear *base,
                                   const peft_batch *batch)
{
    peft_tensor *W = peft_weight_leaf(g, base->weight);
    if (!peft_lora_start_of(a->all)->subtracts) return W;
    peft_tensor *A0 = peft_value_leaf(g, &a->values[PEFT_LORA_A0], batch);
    peft_tensor *B0 = peft_value_leaf(g, &a->values[PEFT_LORA_B0], batch);
    return peft_lora_add_product(g, W, A0, B0, -a->scaling);
}

/* Read without its model, a layer does not know what was subtracted. */
static peft_status check_known(const peft_adapter *a, peft_error *error)
{
    const float *A0 = a->values[PEFT_LORA_A0].data;
    for (int64_t i = 0; i < a->rank * a->in_features; i++)
        if (A0[i] != 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                     "%s: its start values are part of the base weight; load it together with its model", a->module);
}

/* B and -B0 side by side. */
static void join_columns(const peft_adapter *a, float *both)
{
    const float *B = a->values[PEFT_LORA_B].data, *B0 = a->values[PEFT_LORA_B0].data;
    for (int64_t o = 0; o < a->out_features; o++)
        for (int64_t j = 0; j < a->rank; j++) {
            both[o * 2 * a->rank + j] = B[o * a->rank + j];
            both[(o * 2 + 1) * a->rank + j] = -B0[o * a->rank + j];
        }
}

peft_status peft_lora_rest_to_lora(const peft_adapter *a, peft_lora_factors *factors, peft_error *error)
{
    size_t count = (size_t)(a->rank * a->in_features);
    peft_status status = check_known(a, error);
    if (status == PEFT_OK) status = peft_lora_factors_allocate(a, 2 * a->rank, factors, error);
    if (status) return status;
    memcpy(factors->A, a->values[PEFT_LORA_A].data, count * sizeof(float));
    memcpy(factors->A + count, a->values[PEFT_LORA_A0].data, count * sizeof(float));
    join_columns(a, factors->B);
    return PEFT_OK;
}

peft_status peft_lora_compact(const peft_adapters *all, peft_adapters **plain, peft_error *error)
{
    *plain = NULL;
    return peft_lora_start_of(all)->subtracts ? peft_adapters_to_lora(all, plain, error) : PEFT_OK;
}
