/* ops/onednn/packed.h - a frozen weight once more, in the order and the type in which products read it
 * (ops/onednn/dnnl.h). */
#ifndef PEFT_OPS_ONEDNN_PACKED_H
#define PEFT_OPS_ONEDNN_PACKED_H

#include "ops/engine/op.h"
#include "ops/onednn/dnnl.h"
#include "ops/weight.h"

/* Of a weight W [out, in]. */
typedef struct peft_packed {
    peft_dnnl *owner;
    peft_dnnl_matrix *forward;  /* W^T [in, out], for y = x W^T */
    peft_dnnl_matrix *backward; /* W [out, in], for dx = dy W; NULL: not packed */
    bool turned;                /* backward has no memory: W^T is turned in that of the kernel */
} peft_packed;

peft_status peft_packed_make(peft_packed **packed, peft_dnnl *d, int64_t out_features, int64_t in_features,
                             const float *weight, peft_packing packing, peft_error *error);
void peft_packed_free(peft_packed *packed);          /* before its peft_dnnl is closed; NULL is allowed */
size_t peft_packed_bytes(const peft_packed *packed); /* 0 of NULL */

/* Says that there will be products with so many rows (ops/context.h). */
void peft_packed_expect(peft_dnnl *d, int64_t rows);

/* Can this node of the graph run with what is packed for `d`? */
bool peft_packed_serves(const peft_node *node, const peft_dnnl *d);

/* Is this node a linear layer that rounds its input, and the gradient of its result, to bf16? */
bool peft_packed_rounds(const peft_node *node);

/* The op `linear` of such nodes. */
extern const peft_kernel peft_kernel_packed_linear;

/* For contexts whose dtype is PEFT_BF16. */
extern const peft_kernel peft_kernel_activation_bf16, peft_kernel_attention_bf16, peft_kernel_cast_bf16,
    peft_kernel_dropout_bf16, peft_kernel_low_rank_bf16;

/* What low_rank_bf16 leaves to it: adapters of at most so many ranks. */
extern const peft_kernel peft_kernel_low_rank_few;
enum { PEFT_FEW_RANKS = 8 };

#endif
