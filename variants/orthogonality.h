/* variants/orthogonality.h - factors that are kept near orthonormal: a penalty, and start values. */
#ifndef PEFT_VARIANTS_ORTHOGONALITY_H
#define PEFT_VARIANTS_ORTHOGONALITY_H

#include "variants/adapter.h"

/* Of a matrix M: the products of its rows, M M^T, or of its columns, M^T M. */
typedef enum peft_gram { PEFT_GRAM_ROWS, PEFT_GRAM_COLUMNS } peft_gram;

/* |S|^2 (Frobenius) of S = M M^T - I or M^T M - I: 0 where those rows or columns are orthonormal. It has no gradient at
 * 0 and is at least rows - columns where there are more rows than columns, or the other way round.
 *   M [rows, columns] -> [1] */
peft_tensor *peft_orthogonality(peft_graph *g, peft_tensor *M, peft_gram gram);

/* The same where entries of S below `slack` count as 0, and others as that much nearer to it; of M's two Gram matrices
 * the smaller is taken, whose |S|^2 is less by the difference of their sizes. Factors that start orthonormal are off by
 * rounding alone, and have no gradient then: an optimiser that divides by a gradient's size would make steps of it. */
peft_tensor *peft_orthogonality_beyond(peft_graph *g, peft_tensor *M, peft_gram gram, double slack);

/* |S| itself, whose gradient is 2 S M / |S|, taken as 0 at |S| = 0: what AdaLoRA's programs add. */
peft_tensor *peft_orthogonality_norm(peft_graph *g, peft_tensor *M, peft_gram gram);

/* Makes the rows of M [rows, columns] orthonormal, or its columns where there are more rows than columns, by two passes
 * of Gram-Schmidt. What M holds should be random. */
void peft_orthonormalize(float *M, int64_t rows, int64_t columns);

#endif
