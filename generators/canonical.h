/* generators/canonical.h - one form of a low-rank update among many.
 *
 * (B G, G^-1 A) is the same update B A for every G that can be inverted. In the canonical form the singular values are
 * split evenly, the largest first, and the signs are fixed:
 *
 *     B = Q_B R_B,  A^T = Q_A R_A        R_B R_A^T = U S V^T
 *     B' = Q_B U sqrt(S)                 A' = sqrt(S) V^T Q_A^T
 *
 * with the number of largest size in each column of B' above zero. Two LoRAs with the same update, whose singular
 * values differ, then have the same factors. */
#ifndef PEFT_GENERATORS_CANONICAL_H
#define PEFT_GENERATORS_CANONICAL_H

#include <stdint.h>

#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A [rank, in] and B [out, rank], in place. Ranks above both sizes become zero. PEFT_ERR_NUMERIC: a number is not
 * finite.
 */
PEFT_API peft_status peft_canonical_factors(int64_t rank, int64_t in_features, int64_t out_features, float *A, float *B,
                                            peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
