/* ops/cpu/kernels/layer_norm.c
 *
 *     z_tc = (x_tc - mean_t) rstd_t        y_tc = z_tc w_c + b_c                              (1)
 *     dw_c (+)= sum_t dy_tc z_tc           db_c (+)= sum_t dy_tc                              (2)
 *     dx_tc (+)= rstd_t (h_tc - mean_c h_tc - z_tc mean_c (h_tc z_tc)),  h_tc = dy_tc w_c     (3)
 *
 * mean and rstd = 1 / sqrt(var + eps) of each row are saved. RMS norm is the same around 0: mean_t = 0 in (1), and the
 * mean of h is left out in (3). The variance is taken around the mean, in a second pass
 * over a row that lies in the first cache: sums of float in as many lanes as a vector has lose no more than the data.
 */
#include "ops/cpu/kernels/elementwise.h"
#include "ops/cpu/kernels/sums.h"
#include "ops/describe/norm.h"

enum { X, WEIGHT, BIAS };
enum { Y, MEAN, RSTD };

static const peft_norm_attributes *attributes_of(const peft_node *node)
{
    return node->attributes;
}

static const real *vector_or_null(const peft_tensor *t)
{
    return t ? t->data : NULL;
}

static vec scale_at(const real *weight, int64_t c, int64_t columns)
{
    return weight ? load_some(weight + c, columns - c, 0) : broadcast(1);
}

static real mean_of(const real *x, int64_t columns)
{
    vec sum = broadcast(0);
    for (int64_t c = 0; c < columns; c += LANES) sum += load_some(x + c, columns - c, 0);
    return sum_lanes(sum) / (real)columns;
}

static real variance_of(const real *x, int64_t columns, real mean)
{
    vec sum = broadcast(0);
    for (int64_t c = 0; c < columns; c += LANES) {
        vec d = load_some(x + c, columns - c, mean) - mean;
        sum += d * d;
    }
    return sum_lanes(sum) / (real)columns;
}

/* (1) */
static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t columns = peft_columns(node->in[X]);
    const bool centred = attributes_of(node)->centred;
    real eps = (real)attributes_of(node)->eps;
    const real *weight = vector_or_null(node->in[WEIGHT]), *bias = vector_or_null(node->in[BIAS]);
    for (int64_t t = begin; t < end; t++) {
        const real *x = row_of(node->in[X], t);
        real *y = row_of(node->out[Y], t);
        real mean = centred ? mean_of(x, columns) : 0;
        real rstd = 1 / (real)sqrt((double)(variance_of(x, columns, mean) + eps));
        *(real *)row_of(node->out[MEAN], t) = mean;
        *(real *)row_of(node->out[RSTD], t) = rstd;
        for (int64_t c = 0; c < columns; c += LANES) {
            vec v = (load_some(x + c, columns - c, 0) - mean) * rstd * scale_at(weight, c, columns);
            if (bias) v += load_some(bias + c, columns - c, 0);
            store_some(y + c, columns - c, v);
        }
    }
}

/* (2), for at most STRIP columns */
static void weight_columns(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                           const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t rows = peft_rows(node->in[X]), columns = peft_columns(node->in[X]), width = end - begin;
    const real *x = (const real *)node->in[X]->data + begin, *dy = (const real *)node->dout->data + begin;
    const real *mean = node->out[MEAN]->data, *rstd = node->out[RSTD]->data;
    double sums[STRIP] = {0};
    for (int64_t t = 0; t < rows; t++, x += columns, dy += columns)
        for (int64_t c = 0; c < width; c++) sums[c] += (double)(dy[c] * ((x[c] - mean[t]) * rstd[t]));
    put_sums((real *)node->din[WEIGHT]->data + begin, width, sums, 1, peft_accumulates(node, WEIGHT));
}

static void bias_columns(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    double sums[STRIP];
    strip_sums((const real *)node->dout->data + begin, NULL, peft_rows(node->dout), peft_columns(node->dout),
               end - begin, sums);
    put_sums((real *)node->din[BIAS]->data + begin, end - begin, sums, 1, peft_accumulates(node, BIAS));
}

/* (3) */
static void input_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t columns = peft_columns(node->in[X]);
    const real *weight = vector_or_null(node->in[WEIGHT]);
    bool add = peft_accumulates(node, X), centred = attributes_of(node)->centred;
    for (int64_t t = begin; t < end; t++) {
        const real *x = row_of(node->in[X], t), *dy = row_of(node->dout, t);
        real *dx = row_of(node->din[X], t);
        real mean = *(const real *)row_of(node->out[MEAN], t), rstd = *(const real *)row_of(node->out[RSTD], t);
        vec sum_h = broadcast(0), sum_hz = broadcast(0);
        for (int64_t c = 0; c < columns; c += LANES) {
            vec h = load_some(dy + c, columns - c, 0) * scale_at(weight, c, columns);
            sum_h += h;
            sum_hz += h * (load_some(x + c, columns - c, mean) - mean) * rstd;
        }
        real mean_h = centred ? sum_lanes(sum_h) / (real)columns : 0, mean_hz = sum_lanes(sum_hz) / (real)columns;
        for (int64_t c = 0; c < columns; c += LANES) {
            vec h = load_some(dy + c, columns - c, 0) * scale_at(weight, c, columns);
            vec z = (load_some(x + c, columns - c, mean) - mean) * rstd;
            put_some(dx + c, columns - c, (h - mean_h - z * mean_hz) * rstd, add);
        }
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->in[X]), piece_rows(peft_columns(node->in[X])), forward_rows);
}

/* dx comes last: it may be written over dy. */
static void backward(const peft_node *node, peft_context *ctx)
{
    int64_t rows = peft_rows(node->in[X]), columns = peft_columns(node->in[X]);
    if (node->din[WEIGHT]) peft_for_rows(node, ctx, columns, STRIP, weight_columns);
    if (node->din[BIAS]) peft_for_rows(node, ctx, columns, STRIP, bias_columns);
    if (node->din[X]) peft_for_rows(node, ctx, rows, piece_rows(columns), input_rows);
}

/* (2) sums over the rows. */
static bool frozen(const peft_node *node)
{
    return !node->din[WEIGHT] && !node->din[BIAS];
}

static const peft_row_work by_rows[2] = {{.run = forward_rows, .inputs = PEFT_IN(X)},
                                         {.run = input_rows, .inputs = PEFT_IN(X), .allowed = frozen}};

const peft_kernel KERNEL(layer_norm) = {
    .forward = forward, .backward = backward, .by_rows = {&by_rows[0], &by_rows[1]}};
