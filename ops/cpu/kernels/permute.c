/* ops/cpu/kernels/permute.c
 *
 *     y[i_order[0]][i_order[1]] ... = x[i_0][i_1] ...        dx (+)= dy there */
#include "ops/cpu/kernels/elementwise.h"
#include "ops/describe/dimension.h"

/* How far apart neighbours along each dimension of y stand in x. */
static void strides_in_x(const peft_node *node, int64_t strides[PEFT_MAX_DIMS])
{
    const peft_permute_attributes *a = node->attributes;
    const peft_shape *x = &node->in[0]->shape;
    for (int32_t d = 0; d < x->ndim; d++) strides[d] = peft_dimension_of(x, a->order[d]).inner;
}

/* Where element k of y stands in x. */
static int64_t place_in_x(const peft_shape *y, const int64_t *strides, int64_t k)
{
    int64_t place = 0;
    for (int32_t d = y->ndim; d-- > 0; k /= y->size[d]) place += k % y->size[d] * strides[d];
    return place;
}

/* Elements from k on that follow each other along y's last dimension, up to `end`. */
static int64_t run_end(const peft_shape *y, int64_t k, int64_t end)
{
    int64_t last = y->size[y->ndim - 1], next = k - k % last + last;
    return next < end ? next : end;
}

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t strides[PEFT_MAX_DIMS];
    strides_in_x(node, strides);
    const peft_shape *shape = &node->out[0]->shape;
    const real *x = node->in[0]->data;
    real *y = node->out[0]->data;
    for (int64_t k = begin, next; k < end; k = next) {
        const real *from = x + place_in_x(shape, strides, k);
        next = run_end(shape, k, end);
        for (int64_t i = 0; i < next - k; i++) y[k + i] = from[i * strides[shape->ndim - 1]];
    }
}

static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                              const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t strides[PEFT_MAX_DIMS] = {0};
    strides_in_x(node, strides);
    const peft_shape *shape = &node->dout->shape;
    const real *dy = node->dout->data;
    bool add = peft_accumulates(node, 0);
    for (int64_t k = begin, next; k < end; k = next) {
        real *to = (real *)node->din[0]->data + place_in_x(shape, strides, k);
        next = run_end(shape, k, end);
        for (int64_t i = 0; i < next - k; i++, to += strides[shape->ndim - 1]) *to = (add ? *to : 0) + dy[k + i];
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->out[0]), PIECE, forward_elements);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->dout), PIECE, backward_elements);
}

const peft_kernel KERNEL(permute) = {.forward = forward, .backward = backward};
