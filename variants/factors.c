#include "variants/factors.h"

#include <stdlib.h>
#include <string.h>

peft_status peft_lora_factors_allocate(const peft_adapter *a, int64_t rank, peft_lora_factors *factors,
                                       peft_error *error)
{
    *factors = (peft_lora_factors){
        .rank = rank,
        .scaling = a->scaling,
        .A = malloc((size_t)(rank * a->in_features + 1) * sizeof(float)),
        .B = malloc((size_t)(rank * a->out_features + 1) * sizeof(float)),
    };
    if (factors->A && factors->B) return PEFT_OK;
    free(factors->A);
    free(factors->B);
    *factors = (peft_lora_factors){0};
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for its factors", a->module);
}

static int64_t count_open(const float *gate, int64_t rank)
{
    int64_t open = 0;
    for (int64_t j = 0; j < rank; j++) open += gate[j] != 0;
    return open;
}

peft_status peft_lora_factors_gated(const peft_adapter *a, int64_t rank, const float *A, const float *B,
                                    const float *gate, peft_lora_factors *factors, peft_error *error)
{
    peft_status status = peft_lora_factors_allocate(a, count_open(gate, rank), factors, error);
    if (status) return status;
    int64_t kept = 0;
    for (int64_t j = 0; j < rank; j++) {
        if (gate[j] == 0) continue;
        memcpy(factors->A + kept * a->in_features, A + j * a->in_features, (size_t)a->in_features * sizeof *A);
        for (int64_t o = 0; o < a->out_features; o++) factors->B[o * factors->rank + kept] = B[o * rank + j] * gate[j];
        kept++;
    }
    return PEFT_OK;
}

static void fill_unit(int64_t size, float *matrix)
{
    memset(matrix, 0, (size_t)(size * size) * sizeof *matrix);
    for (int64_t j = 0; j < size; j++) matrix[j * size + j] = 1;
}

peft_status peft_lora_factors_dense(const peft_adapter *a, const float *update, peft_lora_factors *factors,
                                    peft_error *error)
{
    bool wide = a->out_features < a->in_features;
    int64_t rank = wide ? a->out_features : a->in_features;
    peft_status status = peft_lora_factors_allocate(a, rank, factors, error);
    if (status) return status;
    fill_unit(rank, wide ? factors->B : factors->A);
    memcpy(wide ? factors->A : factors->B, update, (size_t)(a->in_features * a->out_features) * sizeof *update);
    return PEFT_OK;
}
