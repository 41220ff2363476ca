/* generators/oral/tokens.h - an adapter as tokens of D numbers, and back. Only names and shapes of its tensors are
 * needed, so adapters of any variant and of any model will do.
 *
 * The numbers of a tensor are normalised with one mean and one deviation, which all adapters share:
 *
 *     z = (w - mean) / max(deviation, floor)          the floor is a millionth of the mean deviation      (1)
 *
 * and cut into pieces, row by row. Piece p of tensor i is one token; what is left of it is padding:
 *
 *     granularity 0    all tensors are cut as one
 *     granularity 1    no token holds numbers of two tensors
 *     granularity 2    besides, tokens end where rows end: whole rows as far as they fit, or a longer row in pieces
 *
 * A tensor of one number is kept, as its mean, and not generated. */
#ifndef PEFT_GENERATORS_ORAL_TOKENS_H
#define PEFT_GENERATORS_ORAL_TOKENS_H

#include "ops/arena.h"
#include "ops/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A tensor of the adapters. */
typedef struct peft_token_tensor {
    const char *name; /* copied */
    peft_shape shape;
    double mean, deviation; /* 0 and 1 until they are measured */
    int64_t begin, count;   /* where its numbers stand among those of an adapter */
} peft_token_tensor;

/* What a token holds: numbers begin ... begin + count - 1 of an adapter's generated ones. */
typedef struct peft_token_piece {
    int64_t begin, count;
    int64_t tensor, piece; /* its address: the tensor, from 0 among the generated ones, and the piece inside of it */
} peft_token_piece;

typedef struct peft_token_layout {
    int64_t width; /* D */
    int granularity;
    int64_t num_tensors, num_values, num_generated; /* numbers of an adapter, and those that are generated */
    peft_token_tensor *tensors;
    int64_t num_tokens;
    peft_token_piece *pieces; /* [num_tokens] */
    peft_arena memory;
} peft_token_layout;

/* The tensors in the order in which an adapter's numbers lie one behind another; of each, name and shape. PEFT_ERR_
 * ARGUMENT: a width below 1, another granularity, or nothing to generate. Release with peft_token_layout_free. */
PEFT_API peft_status peft_token_layout_create(peft_token_layout *layout, const peft_token_tensor *tensors,
                                              int64_t num_tensors, int64_t width, int granularity, peft_error *error);
PEFT_API void peft_token_layout_free(peft_token_layout *layout); /* a struct of zeros is allowed */

/* Mean and deviation of each tensor: those of the adapters (unbiased), averaged. values [adapters, num_values].
 * PEFT_ERR_NUMERIC: a number is not finite. */
PEFT_API peft_status peft_token_layout_measure(peft_token_layout *layout, const float *values, int64_t adapters,
                                               peft_error *error);

/* values [num_values] -> tokens [num_tokens, D], padding 0; and back. */
PEFT_API peft_status peft_tokens_make(const peft_token_layout *layout, const float *values, float *tokens,
                                      peft_error *error);
PEFT_API peft_status peft_tokens_restore(const peft_token_layout *layout, const float *tokens, float *values,
                                         peft_error *error);
/* mask [num_tokens, D]: 1 where a number stands, 0 where padding. */
PEFT_API void peft_tokens_mask(const peft_token_layout *layout, float *mask);

/* Where a token stands, as sines and cosines of d numbers, [num_tokens, d], d a multiple of 4; w_i = 10000^(-2i/n):
 *
 *     two dimensions: [code(piece), code(tensor)], n = d / 2      one: code(token), n = d
 *     code(v) = sin(w_0 v), cos(w_0 v), sin(w_1 v), cos(w_1 v), ... of n numbers                             (2) */
PEFT_API void peft_token_address(const peft_token_layout *layout, int64_t d, bool two_dimensions, float *address);

#ifdef __cplusplus
}
#endif
#endif
