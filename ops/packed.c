#include "ops/packed.h"

#include <stdlib.h>

peft_status peft_packed_make(peft_packed **packed, peft_dnnl *d, int64_t out_features, int64_t in_features,
                             const float *weight, bool backward, peft_error *error)
{
    *packed = NULL;
    peft_packed *made = calloc(1, sizeof *made);
    if (!made) return peft_fail(error, PEFT_ERR_MEMORY, "packed weight: out of memory");
    made->owner = d;
    peft_status status = peft_dnnl_pack(d, in_features, out_features, weight, 1, in_features, &made->forward, error);
    if (status == PEFT_OK && backward)
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
    peft_dnnl_matrix_free(packed->forward);
    peft_dnnl_matrix_free(packed->backward);
    free(packed);
}

size_t peft_packed_bytes(const peft_packed *packed)
{
    if (!packed) return 0;
    return peft_dnnl_matrix_bytes(packed->forward) + (packed->backward ? peft_dnnl_matrix_bytes(packed->backward) : 0);
}

bool peft_packed_serves(const peft_node *node, const peft_dnnl *d)
{
    enum { X, WEIGHT };
    if (!d || node->op != PEFT_OP_linear) return false;
    const peft_packed *packed = node->in[WEIGHT]->packed;
    return packed && packed->owner == d && (packed->backward || !node->din[X]);
}
