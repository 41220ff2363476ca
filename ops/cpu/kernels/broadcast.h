/* ops/cpu/kernels/broadcast.h - what add and mul share: b has the shape of a, or that of a's last dimensions, or one
 * element, and is repeated over the rest of a. */
#ifndef PEFT_OPS_CPU_KERNELS_BROADCAST_H
#define PEFT_OPS_CPU_KERNELS_BROADCAST_H

#include "ops/cpu/kernels/reduce.h"

enum { A, B };

static inline bool is_broadcast(const peft_node *node)
{
    return elements_of(node->in[B]) != elements_of(node->in[A]);
}

/* An operand whose elements are repeated; the next to read is the one `at` mod `period`. */
typedef struct repeated {
    const real *data;
    int64_t at, period;
} repeated;

/* b beside the elements begin ... end - 1 of a. */
static inline repeated beside_a(const peft_node *node, int64_t begin, int64_t end)
{
    if (!is_broadcast(node)) return (repeated){element_of(node->in[B], begin), 0, end - begin};
    return (repeated){node->in[B]->data, begin, elements_of(node->in[B])};
}

/* out[k] = f(a[k], b[k]), or +=; elements 0 ... count - 1 */
static inline __attribute__((always_inline)) void combine(vec (*f)(vec, vec), int64_t count, const real *a, repeated b,
                                                          real *out, bool add)
{
    if (b.period == 1) {
        vec all = broadcast(*b.data);
        for (int64_t k = 0; k < count; k += LANES)
            put_some(out + k, count - k, f(load_some(a + k, count - k, 0), all), add);
        return;
    }
    for (int64_t k = 0, next; k < count; k = next) {
        int64_t at = (b.at + k) % b.period;
        next = b.period - at < count - k ? k + b.period - at : count;
        for (; k < next; k += LANES, at += LANES)
            put_some(out + k, next - k, f(load_some(a + k, next - k, 0), load_some(b.data + at, next - k, 0)), add);
    }
}

/* Of d b, from d out = dy: b[j] counts for the elements j, j + period, ... of a. */
static inline reduction reduction_to_b(const peft_node *node, const real *factor)
{
    int64_t period = elements_of(node->in[B]), elements = elements_of(node->in[A]);
    return (reduction){.x = node->dout->data,
                       .z = factor,
                       .out = node->din[B] ? node->din[B]->data : NULL,
                       .outer = 1,
                       .count = period ? elements / period : 0,
                       .inner = period,
                       .scale = 1,
                       .add = peft_accumulates(node, B)};
}

static size_t shared_bytes(const peft_node *node, bool backward)
{
    return backward && node->din[B] && is_broadcast(node) ? reduction_bytes(node) : 0;
}

#endif
