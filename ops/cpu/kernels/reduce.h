/* ops/cpu/kernels/reduce.h - sums over one dimension, cut into pieces for the threads.
 *
 *     out[o][j] (+)= scale sum_n x[o][n][j] z[o][n][j]
 *
 * Columns are cut into strips. A single column (inner 1) is cut along n instead, and the sums of the pieces are added
 * in their order. Both cuts depend on the sizes alone, never on the number of threads. */
#ifndef PEFT_OPS_CPU_KERNELS_REDUCE_H
#define PEFT_OPS_CPU_KERNELS_REDUCE_H

#include "ops/cpu/kernels/elementwise.h"
#include "ops/cpu/kernels/sums.h"

typedef struct reduction {
    const real *x, *z; /* z NULL: 1 */
    real *out;
    int64_t outer, count, inner; /* sizes of o, n, j */
    double scale;
    bool add;
} reduction;

/* The file that includes this says what its node reduces. */
static reduction reduction_of(const peft_node *node);

static inline double sum_products(const real *x, const real *z, int64_t count)
{
    enum { SUMS = 32 };
    double sums[SUMS] = {0}, total = 0;
    int64_t n = 0;
    for (; n + SUMS <= count; n += SUMS)
        for (int i = 0; i < SUMS; i++) sums[i] += (double)(z ? x[n + i] * z[n + i] : x[n + i]);
    for (; n < count; n++) total += (double)(z ? x[n] * z[n] : x[n]);
    for (int i = 0; i < SUMS; i++) total += sums[i];
    return total;
}

static inline int64_t pieces_of(const reduction *r)
{
    return (r->count + PIECE - 1) / PIECE;
}

static void reduce_pieces(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)ctx, (void)thread;
    reduction r = reduction_of(node);
    double *partial = node->shared;
    for (int64_t k = begin; k < end; k++) {
        int64_t n = k % pieces_of(&r) * PIECE, at = k / pieces_of(&r) * r.count + n;
        partial[k] = sum_products(r.x + at, r.z ? r.z + at : NULL, r.count - n < PIECE ? r.count - n : PIECE);
    }
}

static void reduce_strips(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)ctx, (void)thread;
    reduction r = reduction_of(node);
    int64_t strips = (r.inner + STRIP - 1) / STRIP;
    for (int64_t k = begin; k < end; k++) {
        double sums[STRIP];
        int64_t o = k / strips, j = k % strips * STRIP, at = o * r.count * r.inner + j;
        int64_t width = r.inner - j < STRIP ? r.inner - j : STRIP;
        strip_sums(r.x + at, r.z ? r.z + at : NULL, r.count, r.inner, width, sums);
        put_sums(r.out + o * r.inner + j, width, sums, r.scale, r.add);
    }
}

static void reduce(const peft_node *node, peft_context *ctx)
{
    reduction r = reduction_of(node);
    if (r.inner != 1) {
        int64_t strips = (r.inner + STRIP - 1) / STRIP;
        peft_for_rows(node, ctx, r.outer * strips, piece_rows(r.count * STRIP), reduce_strips);
        return;
    }
    peft_for_rows(node, ctx, r.outer * pieces_of(&r), piece_rows(r.count), reduce_pieces);
    const double *partial = node->shared;
    for (int64_t o = 0; o < r.outer; o++) {
        double total = 0;
        for (int64_t p = 0; p < pieces_of(&r); p++) total += *partial++;
        put_sums(r.out + o, 1, &total, r.scale, r.add);
    }
}

/* Scratch memory that all threads share. */
static size_t reduction_bytes(const peft_node *node)
{
    reduction r = reduction_of(node);
    return r.inner == 1 ? (size_t)(r.outer * pieces_of(&r)) * sizeof(double) : 0;
}

#endif
