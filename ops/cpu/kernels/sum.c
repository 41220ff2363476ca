/* ops/cpu/kernels/sum.c
 *
 *     y[o][j] = f sum_n x[o][n][j]        dx[o][n][j] (+)= f dy[o][j] */
#include "ops/cpu/kernels/reduce.h"
#include "ops/describe/dimension.h"

static peft_dimension summed(const peft_node *node)
{
    const peft_sum_attributes *a = node->attributes;
    return peft_dimension_of(&node->in[0]->shape, a->dim);
}

static reduction reduction_of(const peft_node *node)
{
    const peft_sum_attributes *a = node->attributes;
    peft_dimension d = summed(node);
    return (reduction){.x = node->in[0]->data,
                       .out = node->out[0]->data,
                       .outer = d.outer,
                       .count = d.size,
                       .inner = d.inner,
                       .scale = a->factor};
}

/* Rows of dx: all its dimensions up to the one that went. Where that was the last one, a row is a single number, and
 * the rows that share a dy are filled at once. */
static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                              const peft_thread *thread)
{
    (void)ctx, (void)thread;
    peft_dimension d = summed(node);
    real factor = (real)((const peft_sum_attributes *)node->attributes)->factor;
    const real *dy = node->dout->data;
    real *dx = node->din[0]->data;
    bool add = peft_accumulates(node, 0), same = d.inner == 1;
    int64_t run = same ? d.size : d.inner;
    for (int64_t k = begin, next; k < end; k = next) {
        int64_t at = k % run;
        next = run - at < end - k ? k + run - at : end;
        const real *from = same ? dy + k / run : dy + k / (d.size * d.inner) * d.inner + at;
        for (; k < next; k += LANES, from += same ? 0 : LANES) {
            vec v = same ? broadcast(*from) : load_some(from, next - k, 0);
            put_some(dx + k, next - k, factor * v, add);
        }
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    reduce(node, ctx);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->in[0]), PIECE, backward_elements);
}

static size_t shared_bytes(const peft_node *node, bool backward)
{
    return backward ? 0 : reduction_bytes(node);
}

const peft_kernel KERNEL(sum) = {.forward = forward, .backward = backward, .shared_bytes = shared_bytes};
