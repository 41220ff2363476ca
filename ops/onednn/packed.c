#include "ops/onednn/packed.h"

#include <stdlib.h>

peft_status peft_packed_make(peft_packed **packed, peft_dnnl *d, int64_t out_features, int64_t in_features,
                             const float *weight, peft_packing packing, peft_error *error)
{
    *packed = NULL;
    peft_packed *made = calloc(1, sizeof *made);
    if (!made) return peft_fail(error, PEFT_ERR_MEMORY, "packed weight: out of memory");
    made->owner = d;
    peft_status status = peft_dnnl_pack(d, in_features, out_features, weight, 1, in_features, &made->forward, error);
    made->turned = packing == PEFT_PACK_ONCE;
    if (status == PEFT_OK && made->turned) status = peft_dnnl_pack_turned(d, made->forward, &made->backward, error);
    if (status == PEFT_OK && packing == PEFT_PACK_BOTH)
        status = peft_dnnl_pack(d, out_features, in_features, weight, in_features, 1, &made->backward, error);
    if (status != PEFT_OK) {
        peft_packed_free(made);
        return status;
    }
    *packed = made;
    return PEFT_OK;
}

void peft_packed_free(peft_packed *packed)
{
    if (!packed) return;
    peft_dnnl_matrix_free(packed->backward);
    peft_dnnl_matrix_free(packed->forward);
    free(packed);
}

size_t peft_packed_bytes(const peft_packed *packed)
{
    if (!packed) return 0;
    bool both = packed->backward && !packed->turned;
    return peft_dnnl_matrix_bytes(packed->forward) + (both ? peft_dnnl_matrix_bytes(packed->backward) : 0);
}

enum { X, WEIGHT, BIAS };

bool peft_packed_serves(const peft_node *node, const peft_dnnl *d)
{
    if (!d || node->op != PEFT_OP_linear) return false;
    const peft_packed *packed = node->in[WEIGHT]->packed;
    return packed && packed->owner == d && (packed->backward || !node->din[X]);
}

/* The gradient of a bias is a sum of floats. */
bool peft_packed_rounds(const peft_node *node)
{
    const peft_packed *packed = node->op == PEFT_OP_linear ? node->in[WEIGHT]->packed : NULL;
    if (!packed || peft_dnnl_dtype(packed->owner) != PEFT_BF16) return false;
    return (packed->backward || !node->in[X]->requires_grad) && !(node->in[BIAS] && node->in[BIAS]->requires_grad);
}
