/* ops/cpu/kernels/cross_entropy.c
 *
 *     z_n = log sum_c exp x_nc        -log p_nc = z_n - x_nc
 *
 *     loss = 1 / Z sum_n (1 - eps) w_l (z_n - x_nl) + eps / C sum_c w_c (z_n - x_nc)               (1)
 *     dx_nc (+)= dloss / Z ((1 - eps) w_l (p_nc - [c = l]) + eps / C (p_nc sum_k w_k - w_c))       (2)
 *
 * x [N, C], l = labels[n], w the class weights (1 without), Z the normalizer. Rows with a negative label do not
 * count. Losses of rows add up in double, in their order. */
#include "ops/describe/cross_entropy.h"
#include "ops/cpu/kernels/labels.h"
#include "ops/cpu/kernels/row.h"

enum { LOGITS, LABELS, CLASS_WEIGHTS };
enum { LOSS, LOG_SUM_EXP };
enum { ROWS = 16 }; /* of a piece of work */

typedef struct cross_entropy {
    int64_t rows, classes;
    const real *x, *weights; /* weights may be NULL */
    const int32_t *labels;
    double smoothing, normalizer, weight_sum;
    real *z;
} cross_entropy;

static double weight_of(const cross_entropy *e, int64_t c)
{
    return e->weights ? (double)e->weights[c] : 1;
}

static cross_entropy read_node(const peft_node *node)
{
    const peft_cross_entropy_attributes *attributes = node->attributes;
    const peft_tensor *logits = node->in[LOGITS], *weights = node->in[CLASS_WEIGHTS];
    cross_entropy e = {.rows = peft_rows(logits),
                       .classes = peft_columns(logits),
                       .x = logits->data,
                       .weights = weights ? weights->data : NULL,
                       .labels = node->in[LABELS]->data,
                       .smoothing = attributes->label_smoothing,
                       .normalizer = attributes->normalizer,
                       .z = node->out[LOG_SUM_EXP]->data};
    for (int64_t c = 0; c < e.classes; c++) e.weight_sum += weight_of(&e, c);
    for (int64_t n = 0; n < e.rows && attributes->normalizer == 0; n++)
        if (e.labels[n] >= 0 && e.labels[n] < e.classes) e.normalizer += weight_of(&e, e.labels[n]);
    return e;
}

/* (1), without 1 / Z */
static double row_loss(const cross_entropy *e, int64_t n)
{
    const real *x = e->x + n * e->classes;
    double z = (double)e->z[n], label = z - (double)x[e->labels[n]];
    double loss = (1 - e->smoothing) * weight_of(e, e->labels[n]) * label;
    if (e->smoothing == 0) return loss;
    double all = 0;
    for (int64_t c = 0; c < e->classes; c++) all += weight_of(e, c) * (z - (double)x[c]);
    return loss + e->smoothing / (double)e->classes * all;
}

static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    cross_entropy e = read_node(node);
    double *losses = node->shared;
    for (int64_t n = begin; n < end; n++) {
        exp_row(e.classes, 1, e.x + n * e.classes, NULL, &e.z[n]);
        losses[n] = e.labels[n] < 0 ? 0 : row_loss(&e, n);
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    cross_entropy e = read_node(node);
    if (!labels_fit(e.labels, e.rows, e.classes, e.normalizer, ctx)) return;
    peft_for_rows(node, ctx, e.rows, ROWS, forward_rows);
    const double *losses = node->shared;
    double sum = 0;
    for (int64_t n = 0; n < e.rows; n++) sum += losses[n];
    *(real *)node->out[LOSS]->data = (real)(sum / e.normalizer);
}

/* (2), for a row with label l; `factor` is dloss / Z */
static void row_gradient(const cross_entropy *e, int64_t n, double factor, real *dx)
{
    const real *x = e->x + n * e->classes;
    double own = factor * (1 - e->smoothing) * weight_of(e, e->labels[n]);
    double spread = factor * e->smoothing / (double)e->classes;
    real scale = (real)(own + spread * e->weight_sum);
    for (int64_t c = 0; c < e->classes; c += LANES) {
        vec w = e->weights ? load_some(e->weights + c, e->classes - c, 0) : broadcast(1);
        vec p = vec_exp(load_some(x + c, e->classes - c, 0) - e->z[n]);
        put_some(dx + c, e->classes - c, scale * p - (real)spread * w, true);
    }
    dx[e->labels[n]] -= (real)own;
}

static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)ctx, (void)thread;
    cross_entropy e = read_node(node);
    double factor = (double)*(const real *)node->dout->data / e.normalizer;
    real *dx = node->din[LOGITS]->data;
    for (int64_t n = begin; n < end; n++)
        if (e.labels[n] >= 0) row_gradient(&e, n, factor, dx + n * e.classes);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    clear_unless_accumulated(node, LOGITS);
    peft_for_rows(node, ctx, peft_rows(node->in[LOGITS]), ROWS, backward_rows);
}

/* The losses of the rows. */
static size_t shared_bytes(const peft_node *node, bool backward)
{
    return backward ? 0 : (size_t)peft_rows(node->in[LOGITS]) * sizeof(double);
}

const peft_kernel KERNEL(cross_entropy) = {.forward = forward, .backward = backward, .shared_bytes = shared_bytes};
