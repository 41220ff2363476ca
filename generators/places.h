/* generators/places.h - what a generator emits: the adapters of a model as places, of a few kinds.
 *
 * A place is an adapted layer. Places of one kind have the same modules' name and tensors of the same shapes, and
 * differ in how deep in the model they lie:
 *
 *     bert.encoder.layer.0.attention.self.query       kind "query", depth 0
 *     bert.encoder.layer.1.attention.self.query       kind "query", depth 1
 *     bert.encoder.layer.0.attention.self.value       kind "value", depth 0
 *
 * Each trained tensor of a place is also seen as rows that are emitted one by one: those of A [rank, in] as they are,
 * those of B [out, rank] transposed, so that row k of both belongs to rank k. What all layers share is no part of a
 * place; it belongs to all tasks alike. */
#ifndef PEFT_GENERATORS_PLACES_H
#define PEFT_GENERATORS_PLACES_H

#include "ops/arena.h"
#include "variants/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A tensor that each place of a kind has. */
typedef struct peft_place_tensor {
    const char *name;      /* "A" for lora_A.weight, "router" for molora_router.weight; unique in its kind */
    const char *value;     /* in files and specs: "lora_A.weight" */
    peft_shape shape;      /* as the variant has it */
    int64_t count;         /* its elements */
    int64_t rows, columns; /* as rows to emit: [rows, columns] */
    bool transposed;       /* its last two dimensions, for that */
    bool emitted;          /* false: frozen, the same for all tasks */
    int32_t index;         /* among the values of its layer */
} peft_place_tensor;

typedef struct peft_place_kind {
    const char *name;
    int64_t in_features, out_features;
    int32_t num_tensors;
    peft_place_tensor tensors[PEFT_MAX_VALUES];
    int64_t num_places;
    int64_t *layers; /* [num_places]: among the adapters' layers */
    int32_t *depths; /* [num_places]: 0 to places->num_depths - 1 */
} peft_place_kind;

typedef struct peft_places {
    peft_adapters *adapters; /* the caller's */
    peft_place_kind *kinds;  /* in the order in which the layers first show them */
    int64_t num_kinds, num_depths, num_places;
    int64_t most_rows; /* of any emitted tensor */
    peft_arena memory;
} peft_places;

/* PEFT_ERR_UNSUPPORTED: the variant trains nothing that belongs to a layer. Release with peft_places_free. */
PEFT_API peft_status peft_places_create(peft_places *places, peft_adapters *adapters, peft_error *error);
PEFT_API void peft_places_free(peft_places *places); /* a struct of zeros is allowed */

/* The value that a tensor of a kind is at one of its places. */
PEFT_API peft_value *peft_place_value(const peft_places *places, const peft_place_kind *kind, int64_t place,
                                      const peft_place_tensor *tensor);

#ifdef __cplusplus
}
#endif
#endif
