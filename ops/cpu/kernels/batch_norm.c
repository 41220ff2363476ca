/* ops/cpu/kernels/batch_norm.c
 *
 *     z_tc = (x_tc - mean_c) r_c        y_tc = z_tc w_c + b_c        r_c = 1 / sqrt(var_c + eps)   (1)
 *     dw_c (+)= sum_t dy_tc z_tc        db_c (+)= sum_t dy_tc                                      (2)
 *     dx_tc (+)= w_c r_c (dy_tc - mean_t dy_tc - z_tc mean_t (dy_tc z_tc))                         (3)
 *
 * over the rows t of each column c. Mean and variance are saved. Sums are taken piece of rows by piece, in double. */
#include "ops/cpu/kernels/elementwise.h"

enum { X, WEIGHT, BIAS };
enum { Y, MEAN, VARIANCE };

static int64_t grain_of(const peft_node *node)
{
    return piece_rows(peft_columns(node->in[X]));
}

static int64_t pieces_of(const peft_node *node)
{
    return (peft_rows(node->in[X]) + grain_of(node) - 1) / grain_of(node);
}

static real rstd_at(const peft_node *node, int64_t c)
{
    const double eps = *(const double *)node->attributes;
    return (real)(1 / sqrt((double)((const real *)node->out[VARIANCE]->data)[c] + eps));
}

/* In shared memory: sums of each piece [pieces, 2, columns]. */
static double *sums_at(const peft_node *node, int64_t piece)
{
    return (double *)node->shared + piece * 2 * peft_columns(node->in[X]);
}

static double *cleared_sums(const peft_node *node, int64_t row)
{
    double *sums = sums_at(node, row / grain_of(node));
    memset(sums, 0, (size_t)(2 * peft_columns(node->in[X])) * sizeof *sums);
    return sums;
}

/* The first of the two sums, or the second, over all pieces. */
static double total(const peft_node *node, int which, int64_t c)
{
    double sum = 0;
    for (int64_t k = 0; k < pieces_of(node); k++) sum += sums_at(node, k)[which * peft_columns(node->in[X]) + c];
    return sum;
}

/* sum_t x_tc */
static void sum_values(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const int64_t columns = peft_columns(node->in[X]);
    double *sums = cleared_sums(node, begin);
    const real *x = row_of(node->in[X], begin);
    for (int64_t t = begin; t < end; t++, x += columns)
        for (int64_t c = 0; c < columns; c++) sums[c] += (double)x[c];
}

/* sum_t (x_tc - mean_c)^2 */
static void sum_squares(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const int64_t columns = peft_columns(node->in[X]);
    double *sums = cleared_sums(node, begin);
    const real *x = row_of(node->in[X], begin), *mean = node->out[MEAN]->data;
    for (int64_t t = begin; t < end; t++, x += columns)
        for (int64_t c = 0; c < columns; c++) sums[c] += (double)((x[c] - mean[c]) * (x[c] - mean[c]));
}

/* sum_t dy_tc and sum_t dy_tc (x_tc - mean_c) */
static void sum_gradients(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const int64_t columns = peft_columns(node->in[X]);
    double *sums = cleared_sums(node, begin), *products = sums + columns;
    const real *x = row_of(node->in[X], begin), *dy = row_of(node->dout, begin), *mean = node->out[MEAN]->data;
    for (int64_t t = begin; t < end; t++, x += columns, dy += columns)
        for (int64_t c = 0; c < columns; c++) {
            sums[c] += (double)dy[c];
            products[c] += (double)(dy[c] * (x[c] - mean[c]));
        }
}

/* y = factor_c x + offset_c of some columns: (1) */
static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx;
    const int64_t columns = peft_columns(node->in[X]);
    const real *mean = node->out[MEAN]->data, *weight = node->in[WEIGHT]->data, *bias = node->in[BIAS]->data;
    real *factor = thread->scratch;
    for (int64_t c = 0; c < columns; c++) factor[c] = rstd_at(node, c) * weight[c];
    for (int64_t t = begin; t < end; t++) {
        const real *x = row_of(node->in[X], t);
        real *y = row_of(node->out[Y], t);
        for (int64_t c = 0; c < columns; c++) y[c] = (x[c] - mean[c]) * factor[c] + bias[c];
    }
}

/* (3) */
static void input_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    (void)ctx;
    const int64_t columns = peft_columns(node->in[X]);
    const double rows = (double)peft_rows(node->in[X]);
    const real *mean = node->out[MEAN]->data, *weight = node->in[WEIGHT]->data;
    real *factor = thread->scratch, *mean_dy = factor + columns, *slope = mean_dy + columns;
    for (int64_t c = 0; c < columns; c++) {
        const real r = rstd_at(node, c);
        factor[c] = r * weight[c];
        mean_dy[c] = (real)(total(node, 0, c) / rows);
        slope[c] = (real)(total(node, 1, c) * (double)(r * r) / rows);
    }
    const bool add = peft_accumulates(node, X);
    for (int64_t t = begin; t < end; t++) {
        const real *x = row_of(node->in[X], t), *dy = row_of(node->dout, t);
        real *dx = row_of(node->din[X], t);
        for (int64_t c = 0; c < columns; c++) {
            real d = factor[c] * (dy[c] - mean_dy[c] - (x[c] - mean[c]) * slope[c]);
            dx[c] = add ? dx[c] + d : d;
        }
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    const int64_t rows = peft_rows(node->in[X]), columns = peft_columns(node->in[X]);
    real *mean = node->out[MEAN]->data, *variance = node->out[VARIANCE]->data;
    peft_for_rows(node, ctx, rows, grain_of(node), sum_values);
    for (int64_t c = 0; c < columns; c++) mean[c] = (real)(total(node, 0, c) / (double)rows);
    peft_for_rows(node, ctx, rows, grain_of(node), sum_squares);
    for (int64_t c = 0; c < columns; c++) variance[c] = (real)(total(node, 0, c) / (double)rows);
    peft_for_rows(node, ctx, rows, grain_of(node), forward_rows);
}

static void put(const peft_node *node, int input, int64_t c, double value)
{
    if (!node->din[input]) return;
    real *d = (real *)node->din[input]->data + c;
    *d = (real)(value + (peft_accumulates(node, input) ? (double)*d : 0));
}

static void backward(const peft_node *node, peft_context *ctx)
{
    const int64_t rows = peft_rows(node->in[X]), columns = peft_columns(node->in[X]);
    peft_for_rows(node, ctx, rows, grain_of(node), sum_gradients);
    for (int64_t c = 0; c < columns; c++) { /* (2) */
        put(node, BIAS, c, total(node, 0, c));
        put(node, WEIGHT, c, total(node, 1, c) * (double)rstd_at(node, c));
    }
    if (node->din[X]) peft_for_rows(node, ctx, rows, grain_of(node), input_rows);
}

static size_t thread_bytes(const peft_node *node, bool backward_pass)
{
    return (size_t)((backward_pass ? 3 : 1) * peft_columns(node->in[X])) * sizeof(real);
}

static size_t shared_bytes(const peft_node *node, bool backward_pass)
{
    (void)backward_pass;
    return (size_t)(pieces_of(node) * 2 * peft_columns(node->in[X])) * sizeof(double);
}

const peft_kernel KERNEL(batch_norm) = {
    .forward = forward, .backward = backward, .thread_bytes = thread_bytes, .shared_bytes = shared_bytes};
