/* ops/cpu/kernels/kernel.h - what every kernel file starts from.
 *
 * The files of this folder are compiled once for each backend: PEFT_BACKEND is the backend's name, and `real` is
 * float, or double where PEFT_REAL_F64 is set. Vectors are the compiler's own (gcc and clang), as wide as the
 * backend's registers; the same source serves AVX-512, AVX2 and any other CPU. */
#ifndef PEFT_OPS_CPU_KERNELS_KERNEL_H
#define PEFT_OPS_CPU_KERNELS_KERNEL_H

#include <math.h>
#include <string.h>

#include "ops/cpu/rows.h"
#include "ops/engine/context_internal.h"
#include "ops/engine/op.h"

#ifdef PEFT_REAL_F64
typedef double real;
#define REAL_DTYPE PEFT_F64
#define REAL(name) name
#else
typedef float real;
#define REAL_DTYPE PEFT_F32
#define REAL(name) name##f
#endif

#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64 };
#elif defined(__AVX2__)
enum { VECTOR_BYTES = 32 };
#else
enum { VECTOR_BYTES = 16 };
#endif
enum { LANES = VECTOR_BYTES / (int)sizeof(real) };

#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef real vec_unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

static inline vec load(const real *p)
{
    return *(const vec_unaligned *)(const void *)p;
}

static inline void store(real *p, vec v)
{
    *(vec_unaligned *)(void *)p = v;
}

static inline vec broadcast(real x)
{
    return x - (vec){0};
}

/* A vector as pieces of 16 bytes: the halves of a fixed tree that compilers turn into shuffles. */
enum { PART_BYTES = 16, PARTS = VECTOR_BYTES / PART_BYTES, PART_LANES = PART_BYTES / (int)sizeof(real) };
typedef real part __attribute__((vector_size(PART_BYTES)));

static inline part sum_parts(vec v)
{
    part p[PARTS];
    memcpy(p, &v, sizeof p);
    for (int width = PARTS / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) p[i] += p[i + width];
    return p[0];
}

/* Sum of the lanes. */
static inline real sum_lanes(vec v)
{
    part p = sum_parts(v);
    return PART_LANES == 4 ? (p[0] + p[2 % PART_LANES]) + (p[1] + p[3 % PART_LANES]) : p[0] + p[1];
}

/* Elements of as many whole vectors as `count` elements need. */
static inline int64_t whole_vectors(int64_t count)
{
    return (count + LANES - 1) / LANES * LANES;
}

static inline real larger(real a, real b)
{
    return b > a ? b : a;
}

/* Largest of the lanes. */
static inline real largest_lane(vec v)
{
    part p[PARTS];
    memcpy(p, &v, sizeof p);
    for (int width = PARTS / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            for (int l = 0; l < PART_LANES; l++) p[i][l] = larger(p[i][l], p[i + width][l]);
    return larger(larger(p[0][0], p[0][2 % PART_LANES]), larger(p[0][1], p[0][3 % PART_LANES]));
}

/* Where a tensor's elements lie, or its rows, from this one on: `data` may hold a tile of the rows alone. */
static inline void *element_of(const peft_tensor *t, int64_t element)
{
    size_t bytes = t->dtype == PEFT_BF16 ? sizeof(uint16_t) : sizeof(real);
    return (char *)t->data + (size_t)(element - t->first_row * peft_columns(t)) * bytes;
}

static inline void *row_of(const peft_tensor *t, int64_t row)
{
    return element_of(t, row * peft_columns(t));
}

/* What a kernel does for an input whose gradient is dy itself and could not share its memory: elements begin ... end.
 */
static inline void pass_gradient(const peft_node *node, int input, int64_t begin, int64_t end)
{
    if (!node->din[input]) return;
    const real *dy = element_of(node->dout, begin);
    real *d = element_of(node->din[input], begin);
    bool add = peft_accumulates(node, input);
    for (int64_t k = 0; k < end - begin; k++) d[k] = add ? d[k] + dy[k] : dy[k];
}

/* For a kernel that adds up its gradient in several passes. */
static inline void clear_unless_accumulated(const peft_node *node, int input)
{
    peft_tensor *d = node->din[input];
    if (d && !peft_accumulates(node, input)) memset(d->data, 0, (size_t)peft_shape_count(&d->shape) * sizeof(real));
}

/* The next `count` elements of scratch memory, of which `used` are taken. Where memory is NULL, they are only counted.
 */
static inline real *take(real *memory, int64_t *used, int64_t count)
{
    size_t before = (size_t)*used * sizeof(real);
    *used += count;
    return (real *)((uintptr_t)memory + before); /* NOLINT(performance-no-int-to-ptr): none of NULL */
}

#define KERNEL_JOIN(a, b) a##_##b
#define KERNEL_NAME(a, b) KERNEL_JOIN(a, b)
/* The name under which the backend's table finds an op's kernels: peft_kernel_layer_norm_avx2. */
#define KERNEL(op) KERNEL_NAME(peft_kernel_##op, PEFT_BACKEND)

#endif
