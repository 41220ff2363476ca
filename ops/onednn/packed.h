/* ops/onednn/packed.h - a frozen weight once more, in the order and the type in which products read it (dnnl.h). */
#ifndef PEFT_OPS_ONEDNN_PACKED_H
#define PEFT_OPS_ONEDNN_PACKED_H

#include "ops/backend.h"
#include "ops/onednn/dnnl.h"

/* Of a weight W [out, in]. */
typedef struct peft_packed {
    peft_form form;
    peft_dnnl *owner;
    peft_dnnl_matrix *forward;  /* W^T [in, out], for y = x W^T */
    peft_dnnl_matrix *backward; /* W [out, in], for dx = dy W; NULL: not packed */
    bool turned;                /* backward has no memory: W^T is turned in that of the kernel */
} peft_packed;

peft_status peft_packed_make(peft_packed **packed, peft_dnnl *d, const peft_weight *weight, peft_packing packing,
                             peft_error *error);
void peft_packed_free(peft_packed *packed); /* before its peft_dnnl is closed; NULL is allowed */

/* What a linear layer's weight is packed as for `d`, where the node can run with it; else NULL. */
const peft_packed *peft_packed_of(const peft_node *node, const peft_dnnl *d);

/* Says that there will be products with so many rows (ops/context.h). */
void peft_packed_expect(peft_dnnl *d, int64_t rows);

#endif
