/* ops/cpu/kernels/linear.c
 *
 *     y = x W^T + b                                   (1)
 *     dx (+)= dy W     dW (+)= dy^T x     db (+)= sum_t dy_t   (2)-(4)
 *
 * x [T, in], W [out, in], y [T, out]. A frozen weight has neither (3) nor (4). One that is not stored as floats is read
 * a few rows at a time, which are floats in scratch memory in front of their product:
 *
 *     y[:, some] = x W[some]^T + b[some]     dx (+)= sum over all of them of dy[:, some] W[some] */
#include "ops/cpu/kernels/bias.h"
#include "ops/cpu/kernels/gemm_tiles.h"
#include "ops/cpu/kernels/stored.h"

enum { X, WEIGHT, BIAS };

static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx;
    int64_t in_features = peft_columns(node->in[X]), out_features = peft_rows(node->in[WEIGHT]);
    const real *x = (const real *)node->in[X]->data + begin * in_features;
    const real *bias = node->in[BIAS] ? node->in[BIAS]->data : NULL;
    real *y = (real *)node->out[0]->data + begin * out_features;
    if (bias)
        for (int64_t t = 0; t < end - begin; t++)
            memcpy(y + t * out_features, bias, (size_t)out_features * sizeof *bias);
    stored_rows w = {0};
    while (next_rows(node->in[WEIGHT], thread->scratch, &w)) {
        peft_gemm_shape shape = {end - begin, w.count, in_features, in_features, 1, w.column, w.row, out_features, 1};
        gemm(&shape, 1, x, w.values, bias ? 1 : 0, y + w.first);
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    int64_t tokens = peft_rows(node->in[X]);
    peft_for_rows(node, ctx, tokens, gemm_grain(tokens), forward_rows);
}

/* (2) */
static void dx_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    (void)ctx;
    int64_t in_features = peft_columns(node->in[X]), out_features = peft_rows(node->in[WEIGHT]);
    const real *dy = (const real *)node->dout->data + begin * out_features;
    real *dx = (real *)node->din[X]->data + begin * in_features;
    stored_rows w = {0};
    while (next_rows(node->in[WEIGHT], thread->scratch, &w)) {
        peft_gemm_shape shape = {end - begin, in_features, w.count, out_features, 1, w.row, w.column, in_features, 1};
        gemm(&shape, 1, dy + w.first, w.values, w.first || peft_accumulates(node, X) ? 1 : 0, dx);
    }
}

/* (3), for rows of W: each piece sums over all tokens, in BLIS's order */
static void dweight_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t tokens = peft_rows(node->in[X]), in_features = peft_columns(node->in[X]);
    int64_t out_features = peft_rows(node->in[WEIGHT]);
    const real *dy = (const real *)node->dout->data + begin;
    real *dweight = (real *)node->din[WEIGHT]->data + begin * in_features;
    peft_gemm_shape shape = {end - begin, in_features, tokens, 1, out_features, in_features, 1, in_features, 1};
    gemm(&shape, 1, dy, node->in[X]->data, peft_accumulates(node, WEIGHT) ? 1 : 0, dweight);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    enum { WEIGHT_GRAIN = 192 };
    int64_t tokens = peft_rows(node->in[X]), out_features = peft_rows(node->in[WEIGHT]);
    if (node->din[X]) peft_for_rows(node, ctx, tokens, gemm_grain(tokens), dx_rows);
    if (node->din[WEIGHT]) peft_for_rows(node, ctx, out_features, WEIGHT_GRAIN, dweight_rows);
    bias_gradient(node, ctx); /* (4) */
}

static size_t library_bytes(const peft_node *node)
{
    int64_t in_features = peft_columns(node->in[X]), out_features = peft_rows(node->in[WEIGHT]);
    return gemm_buffer_bytes(in_features > out_features ? in_features : out_features);
}

static size_t thread_bytes(const peft_node *node, bool backward_pass)
{
    return backward_pass && !node->din[X] ? 0 : stored_rows_bytes(node->in[WEIGHT]);
}

const peft_kernel KERNEL(linear) = {
    .forward = forward, .backward = backward, .thread_bytes = thread_bytes, .library_bytes = library_bytes};
