/* ops/cpu/kernels/concat.c - the parts x_i side by side:
 *
 *     y[o][start_i + n][j] = x_i[o][n][j]        dx_i[o][n][j] (+)= dy[o][start_i + n][j]
 *
 * A piece of work is a range of elements of every part: parts that are the same tensor then add to one gradient in one
 * thread. */
#include "ops/cpu/kernels/elementwise.h"
#include "ops/describe/dimension.h"

typedef struct section {
    int64_t elements, row, start, stride; /* rows of `row` elements begin at start, start + stride, ... of y */
} section;

/* The parts in turn; start with {0}. */
static section next_section(const peft_node *node, int32_t i, section last)
{
    int32_t dim = ((const peft_concat_attributes *)node->attributes)->dim;
    peft_dimension x = peft_dimension_of(&node->in[i]->shape, dim);
    return (section){.elements = elements_of(node->in[i]),
                     .row = x.size * x.inner,
                     .start = last.start + last.row,
                     .stride = node->out[0]->shape.size[dim] * x.inner};
}

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    real *y = node->out[0]->data;
    section s = {0};
    for (int32_t i = 0; i < node->num_inputs; i++) {
        s = next_section(node, i, s);
        const real *x = node->in[i]->data;
        int64_t stop = end < s.elements ? end : s.elements;
        for (int64_t k = begin, run; k < stop; k += run) {
            int64_t at = k % s.row;
            run = s.row - at < stop - k ? s.row - at : stop - k;
            memcpy(y + k / s.row * s.stride + s.start + at, x + k, (size_t)run * sizeof *y);
        }
    }
}

static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                              const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const real *dy = node->dout->data;
    section s = {0};
    for (int32_t i = 0; i < node->num_inputs; i++) {
        s = next_section(node, i, s);
        if (!node->din[i]) continue;
        real *dx = node->din[i]->data;
        bool add = peft_accumulates(node, i);
        int64_t stop = end < s.elements ? end : s.elements;
        for (int64_t k = begin, run; k < stop; k += run) {
            int64_t at = k % s.row;
            run = s.row - at < stop - k ? s.row - at : stop - k;
            const real *from = dy + k / s.row * s.stride + s.start + at;
            for (int64_t n = 0; n < run; n++) dx[k + n] = add ? dx[k + n] + from[n] : from[n];
        }
    }
}

static int64_t largest_part(const peft_node *node)
{
    int64_t most = 0;
    for (int32_t i = 0; i < node->num_inputs; i++)
        if (elements_of(node->in[i]) > most) most = elements_of(node->in[i]);
    return most;
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, largest_part(node), PIECE, forward_elements);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, largest_part(node), PIECE, backward_elements);
}

const peft_kernel KERNEL(concat) = {.forward = forward, .backward = backward};
