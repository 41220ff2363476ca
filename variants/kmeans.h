/* variants/kmeans.h - centres of clusters. */
#ifndef PEFT_VARIANTS_KMEANS_H
#define PEFT_VARIANTS_KMEANS_H

#include <stdint.h>

#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* k-means: points [count, size] -> centres [k, size] for which the sum of the squared distances of the points to their
 * nearest centre is small. The first centres are points drawn far from each other (k-means++: Arthur and Vassilvitskii
 * 2007), then points and centres follow each other (Lloyd 1982) until no point changes its centre, at most a hundred
 * times. A function of the points and the seed alone. With fewer than k different points some centres are alike.
 * PEFT_ERR_ARGUMENT: no point, or no centre. */
PEFT_API peft_status peft_kmeans(const float *points, int64_t count, int64_t size, int64_t k, uint64_t seed,
                                 float *centres, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
