/* ops/weight.h - a weight of the base model, frozen or trained, and the linear layer that adapters sit on.
 *
 * A frozen weight is known by what it is stored as (ops/stored.h) and, where a backend packed it, by the form that this
 * backend made of the stored bytes. Products read one of the two. Who needs numbers asks for them: nobody but ops, and
 * who says where the bytes are, looks into either. */
#ifndef PEFT_OPS_WEIGHT_H
#define PEFT_OPS_WEIGHT_H

#include "ops/graph.h"
#include "ops/stored.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A weight that is trained (a head, biases, everything) has a private copy with a gradient, which then counts. The
 * bytes and the copy are the owner's of the struct. */
typedef struct peft_weight {
    const char *name;
    peft_shape shape;
    peft_stored stored;      /* a mapped file, or the caller's array */
    float *value, *gradient; /* both NULL: frozen */
    struct peft_form *form;  /* of a frozen one: peft_weight_pack; or NULL */
} peft_weight;

/* The layer that an adapter wraps: y = x W^T + b. */
typedef struct peft_base_linear {
    const peft_weight *weight; /* [out, in] */
    const peft_weight *bias;   /* [out], or NULL */
} peft_base_linear;

/* As leaf of a graph: a constant, or a parameter; or what was bound to it (ops/side.h). It counts as F32, whatever it
 * is stored as. */
PEFT_API peft_tensor *peft_weight_leaf(peft_graph *g, const peft_weight *weight);

/* A frozen weight whose gradient is wanted, though nobody trains it: like that of a parameter. */
PEFT_API peft_tensor *peft_weight_leaf_with_gradient(peft_graph *g, const peft_weight *weight, float *gradient);

/* Rows first ... first + count - 1 of what counts now, as floats -> to [count, columns]. A vector is one row. */
PEFT_API void peft_weight_read(const peft_weight *weight, int64_t first, int64_t count, float *to);

/* All of it, where it lies as floats; else a copy, for the caller to free: `*copy`, or NULL. NULL: out of memory. */
PEFT_API const float *peft_weight_values(const peft_weight *weight, float **copy);

/* As stored: the bytes, and the shape, of which GPT-2 has that of its layers as [in, out]. */
PEFT_API size_t peft_weight_stored_bytes(const peft_weight *weight);
PEFT_API peft_shape peft_weight_stored_shape(const peft_weight *weight);

typedef enum peft_packing {
    PEFT_PACK_FORWARD, /* for forward passes alone */
    PEFT_PACK_BOTH,    /* for both directions */
    PEFT_PACK_ONCE     /* for both, in half the memory: backward passes turn each weight in work memory */
} peft_packing;

/* Which of the last two suits training, with batches of so many rows and so many elements in all frozen weights. */
PEFT_API peft_packing peft_weight_packing(const peft_context *ctx, int64_t elements, int64_t rows);

/* Makes of a frozen weight [out, in] the form that the products of `ctx` read, straight from the stored bytes. Once;
 * nothing is done where the weight is trained or the context multiplies weights as stored. Release with
 * peft_weight_unpack before the context is closed. */
PEFT_API peft_status peft_weight_pack(peft_weight *weight, peft_context *ctx, peft_packing packing, peft_error *error);
PEFT_API void peft_weight_unpack(peft_weight *weight);
PEFT_API size_t peft_weight_packed_bytes(const peft_weight *weight);

/* x [T, in] -> [T, out] */
PEFT_API peft_tensor *peft_base_forward(peft_graph *g, const peft_base_linear *base, peft_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
