/* ops/kernels/elementwise.h - work on elements one by one, cut into pieces for the threads.
 *
 * The last elements, fewer than a vector holds, go through a padded vector. So an element gets the same instructions,
 * and the same bits, wherever the cuts fall. */
#ifndef PEFT_OPS_KERNELS_ELEMENTWISE_H
#define PEFT_OPS_KERNELS_ELEMENTWISE_H

#include "ops/kernels/kernel.h"

enum { PIECE = 16384 }; /* elements: a few microseconds of work, which is worth a thread */

/* Rows of this many columns that make a piece. */
static inline int64_t piece_rows(int64_t columns)
{
    return columns >= PIECE ? 1 : PIECE / (columns > 0 ? columns : 1);
}

/* The first `count` lanes, or as many as there are; the others hold `padding`. */
static inline vec load_some(const real *p, int64_t count, real padding)
{
    if (count >= LANES) return load(p);
    real lane[LANES];
    for (int i = 0; i < LANES; i++) lane[i] = i < count ? p[i] : padding;
    return load(lane);
}

static inline void store_some(real *p, int64_t count, vec v)
{
    if (count >= LANES)
        store(p, v);
    else
        memcpy(p, &v, (size_t)count * sizeof v[0]);
}

/* p = v, or p += v */
static inline void put_some(real *p, int64_t count, vec v, bool add)
{
    store_some(p, count, add ? load_some(p, count, 0) + v : v);
}

/* Elements of a tensor. */
static inline int64_t elements_of(const peft_tensor *t)
{
    return peft_shape_count(&t->shape);
}

#endif
