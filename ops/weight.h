/* ops/weight.h - a weight of the base model, frozen or trained, and the linear layer that adapters sit on. */
#ifndef PEFT_OPS_WEIGHT_H
#define PEFT_OPS_WEIGHT_H

#include "ops/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `data` is the weight as stored (a mapped file, or the caller's array). A weight that is trained as well (a head,
 * biases, everything) has a private copy with a gradient instead; both are the owner's of the struct. */
typedef struct peft_weight {
    const char *name;
    peft_shape shape;
    const float *data;
    float *value, *gradient;  /* both NULL: frozen */
    struct peft_form *packed; /* of a frozen one: peft_weight_pack; or NULL */
} peft_weight;

/* The layer that an adapter wraps: y = x W^T + b. */
typedef struct peft_base_linear {
    const peft_weight *weight; /* [out, in] */
    const peft_weight *bias;   /* [out], or NULL */
} peft_base_linear;

/* As leaf of a graph: a constant, or a parameter; or what was bound to it (ops/side.h). */
PEFT_API peft_tensor *peft_weight_leaf(peft_graph *g, const peft_weight *weight);

/* What counts now: the trained copy, or the weight as stored. */
PEFT_API const float *peft_weight_values(const peft_weight *weight);

typedef enum peft_packing {
    PEFT_PACK_FORWARD, /* for forward passes alone */
    PEFT_PACK_BOTH,    /* for both directions */
    PEFT_PACK_ONCE     /* for both, in half the memory: backward passes turn each weight in work memory */
} peft_packing;

/* Which of the last two suits training, with batches of so many rows and so many elements in all frozen weights. */
PEFT_API peft_packing peft_weight_packing(const peft_context *ctx, int64_t elements, int64_t rows);

/* Copies a frozen weight [out, in] into the order and type in which the products of `ctx` read it. Once; nothing is
 * done where the weight is trained or the context multiplies weights as stored. Release with peft_weight_unpack before
 * the context is closed. */
PEFT_API peft_status peft_weight_pack(peft_weight *weight, peft_context *ctx, peft_packing packing, peft_error *error);
PEFT_API void peft_weight_unpack(peft_weight *weight);
PEFT_API size_t peft_weight_packed_bytes(const peft_weight *weight);

/* x [T, in] -> [T, out] */
PEFT_API peft_tensor *peft_base_forward(peft_graph *g, const peft_base_linear *base, peft_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
