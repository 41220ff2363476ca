/* ops/cpu/kernels/slice.c
 *
 *     y[o][n][j] = x[o][begin + n][j]        dx (+)= dy there, 0 elsewhere */
#include "ops/cpu/kernels/elementwise.h"
#include "ops/describe/dimension.h"

/* Where element k of y stands in x; *run: how many elements follow it there too. */
static int64_t place_in_x(const peft_node *node, int64_t k, int64_t *run)
{
    const peft_slice_attributes *a = node->attributes;
    peft_dimension x = peft_dimension_of(&node->in[0]->shape, a->dim);
    int64_t row = node->out[0]->shape.size[a->dim] * x.inner, at = k % row;
    *run = row - at;
    return (k / row * x.size + a->begin) * x.inner + at;
}

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const real *x = node->in[0]->data;
    real *y = node->out[0]->data;
    for (int64_t k = begin, run; k < end; k += run) {
        const real *from = x + place_in_x(node, k, &run);
        if (run > end - k) run = end - k;
        memcpy(y + k, from, (size_t)run * sizeof *y);
    }
}

static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                              const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const real *dy = node->dout->data;
    real *dx = node->din[0]->data;
    for (int64_t k = begin, run; k < end; k += run) {
        real *to = dx + place_in_x(node, k, &run);
        if (run > end - k) run = end - k;
        for (int64_t i = 0; i < run; i++) to[i] += dy[k + i];
    }
}

static void clear_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                           const peft_thread *thread)
{
    (void)ctx, (void)thread;
    memset((real *)node->din[0]->data + begin, 0, (size_t)(end - begin) * sizeof(real));
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->out[0]), PIECE, forward_elements);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    if (!peft_accumulates(node, 0)) peft_for_rows(node, ctx, elements_of(node->din[0]), PIECE, clear_elements);
    peft_for_rows(node, ctx, elements_of(node->dout), PIECE, backward_elements);
}

const peft_kernel KERNEL(slice) = {.forward = forward, .backward = backward};
