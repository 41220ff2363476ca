/* ops/cpu/kernels/linear_cross_entropy.c
 *
 *     y = x W^T + b        z_n = log sum_c exp y_nc
 *
 *     loss = 1 / Z sum_n (1 - eps) (z_n - y_nl) + eps (z_n - mean_c y_nc)                  (1)
 *     dy_nc = dloss / Z (exp(y_nc - z_n) - (1 - eps) [c = l] - eps / C)                    (2)
 *     dx (+)= dy W     dW (+)= dy^T x     db (+)= sum_n dy_n                               (3)
 *
 * x [N, in], W [C, in], l = labels[n], Z the normalizer. Rows with a negative label do not count. y and dy are never
 * there but for a tile of ROWS by CLASSES in each thread: backward computes y again, once for dx and once for dW. Rows
 * of a weight that is not stored as floats are floats in scratch memory while their tile is computed. */
#include "ops/cpu/kernels/gemm_tiles.h"
#include "ops/cpu/kernels/labels.h"
#include "ops/cpu/kernels/row.h"
#include "ops/cpu/kernels/stored.h"
#include "ops/describe/cross_entropy.h"

enum { X, WEIGHT, BIAS, LABELS };
enum { LOSS, LOG_SUM_EXP };
enum { ROWS = 128, CLASSES = 512, GRADIENT_ROWS = 64 };

typedef struct head {
    int64_t rows, classes, features, chunks; /* of classes */
    const real *x, *bias;                    /* bias may be NULL */
    const peft_tensor *weight;
    const int32_t *labels;
    double smoothing, normalizer;
    real *z;
} head;

/* What planning knows. */
static head read_sizes(const peft_node *node)
{
    head h = {.rows = peft_rows(node->in[X]),
              .classes = peft_rows(node->in[WEIGHT]),
              .features = peft_columns(node->in[X]),
              .weight = node->in[WEIGHT]};
    h.chunks = (h.classes + CLASSES - 1) / CLASSES;
    return h;
}

static head read_node(const peft_node *node)
{
    const peft_cross_entropy_attributes *attributes = node->attributes;
    head h = read_sizes(node);
    h.x = node->in[X]->data;
    h.bias = node->in[BIAS] ? node->in[BIAS]->data : NULL;
    h.labels = node->in[LABELS]->data;
    h.smoothing = attributes->label_smoothing;
    h.normalizer = attributes->normalizer;
    h.z = node->out[LOG_SUM_EXP]->data;
    for (int64_t n = 0; n < h.rows && attributes->normalizer == 0; n++) h.normalizer += h.labels[n] >= 0;
    return h;
}

/* Some rows and some classes of y, in scratch memory. */
typedef struct tile {
    int64_t row, rows, first, classes;
    real *y;       /* [rows, classes] */
    const real *W; /* [classes, features] */
} tile;

static int64_t at_most(int64_t count, int64_t most)
{
    return count < most ? count : most;
}

static int64_t tile_elements(const head *h)
{
    return at_most(h->rows, ROWS) * at_most(h->classes, CLASSES);
}

static bool lies_as_rows(const peft_tensor *weight)
{
    return lies_as_real(weight) && !stored_as(weight).transposed;
}

static const real *rows_of_weight(const head *h, int64_t first, int64_t count, real *memory)
{
    if (lies_as_rows(h->weight)) return (const real *)h->weight->data + first * h->features;
    read_rows(h->weight, first, count, memory);
    return memory;
}

static tile tile_at(const head *h, int64_t row, int64_t rows, int64_t first, real *memory)
{
    int64_t classes = at_most(h->classes - first, CLASSES);
    const real *W = rows_of_weight(h, first, classes, memory + tile_elements(h));
    return (tile){row, at_most(h->rows - row, rows), first, classes, memory, W};
}

static void compute_tile(const head *h, const tile *t)
{
    peft_gemm_shape shape = {t->rows, t->classes, h->features, h->features, 1, 1, h->features, t->classes, 1};
    for (int64_t r = 0; r < t->rows && h->bias; r++)
        memcpy(t->y + r * t->classes, h->bias + t->first, (size_t)t->classes * sizeof *t->y);
    gemm(&shape, 1, h->x + t->row * h->features, t->W, h->bias ? 1 : 0, t->y);
}

/* ---- forward ---- */

/* What the chunks of classes leave of each row. */
typedef struct sums {
    double *label; /* [rows] y_nl */
    double *z;     /* [rows, chunks] log sum exp of the chunk */
    double *all;   /* [rows, chunks] sum of y over the chunk */
} sums;

static sums sums_in(const head *h, double *memory)
{
    return (sums){memory, memory + h->rows, memory + h->rows * (1 + h->chunks)};
}

static void sum_tile(const head *h, const tile *t, const sums *s)
{
    for (int64_t r = 0; r < t->rows; r++) {
        const int64_t n = t->row + r, at = n * h->chunks + t->first / CLASSES, label = h->labels[n] - t->first;
        const real *y = t->y + r * t->classes;
        real z;
        double all = 0;
        exp_row(t->classes, 1, y, NULL, &z);
        for (int64_t c = 0; c < t->classes && h->smoothing > 0; c++) all += (double)y[c];
        s->z[at] = (double)z;
        s->all[at] = all;
        if (label >= 0 && label < t->classes) s->label[n] = (double)y[label];
    }
}

static void forward_classes(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                            const peft_thread *thread)
{
    (void)ctx, (void)end;
    head h = read_node(node);
    sums s = sums_in(&h, node->shared);
    for (int64_t row = 0; row < h.rows; row += ROWS) {
        tile t = tile_at(&h, row, ROWS, begin, thread->scratch);
        compute_tile(&h, &t);
        sum_tile(&h, &t, &s);
    }
}

/* log sum exp of numbers that are such already. */
static double join(const double *z, int64_t count)
{
    double most = z[0], sum = 0;
    for (int64_t k = 1; k < count; k++) most = z[k] > most ? z[k] : most;
    for (int64_t k = 0; k < count; k++) sum += exp(z[k] - most);
    return most + log(sum);
}

/* (1), without 1 / Z */
static double row_loss(const head *h, const sums *s, int64_t n, double z)
{
    double all = 0;
    for (int64_t k = 0; k < h->chunks; k++) all += s->all[n * h->chunks + k];
    return (1 - h->smoothing) * (z - s->label[n]) + h->smoothing * (z - all / (double)h->classes);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    head h = read_node(node);
    if (!labels_fit(h.labels, h.rows, h.classes, h.normalizer, ctx)) return;
    peft_for_rows(node, ctx, h.classes, CLASSES, forward_classes);
    sums s = sums_in(&h, node->shared);
    double sum = 0;
    for (int64_t n = 0; n < h.rows; n++) {
        double z = join(s.z + n * h.chunks, h.chunks);
        h.z[n] = (real)z;
        if (h.labels[n] >= 0) sum += row_loss(&h, &s, n, z);
    }
    *(real *)node->out[LOSS]->data = (real)(sum / h.normalizer);
}

/* ---- backward ---- */

/* (2), in place of y */
static void differentiate_tile(const head *h, const tile *t, double dloss)
{
    const double factor = dloss / h->normalizer;
    const real scale = (real)factor, spread = (real)(factor * h->smoothing / (double)h->classes);
    for (int64_t r = 0; r < t->rows; r++) {
        const int64_t n = t->row + r, label = h->labels[n] - t->first;
        real *y = t->y + r * t->classes;
        if (h->labels[n] < 0) {
            memset(y, 0, (size_t)t->classes * sizeof *y);
            continue;
        }
        for (int64_t c = 0; c < t->classes; c += LANES) {
            vec p = vec_exp(load_some(y + c, t->classes - c, 0) - h->z[n]);
            store_some(y + c, t->classes - c, scale * p - spread);
        }
        if (label >= 0 && label < t->classes) y[label] -= (real)(factor * (1 - h->smoothing));
    }
}

static tile gradient_tile(const peft_node *node, const head *h, tile t)
{
    compute_tile(h, &t);
    differentiate_tile(h, &t, (double)*(const real *)node->dout->data);
    return t;
}

/* (3), for rows of x: the classes in their order */
static void dx_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    (void)ctx;
    head h = read_node(node);
    real *dx = (real *)node->din[X]->data + begin * h.features;
    for (int64_t first = 0; first < h.classes; first += CLASSES) {
        tile t = gradient_tile(node, &h, tile_at(&h, begin, end - begin, first, thread->scratch));
        peft_gemm_shape shape = {t.rows, h.features, t.classes, t.classes, 1, h.features, 1, h.features, 1};
        gemm(&shape, 1, t.y, t.W, first || peft_accumulates(node, X) ? 1 : 0, dx);
    }
}

static void add_to_bias(const tile *t, bool add, real *db)
{
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t c = 0; c < t->classes; c++) db[c] = (r || add ? db[c] : 0) + t->y[r * t->classes + c];
}

/* (3), for rows of W: the rows of x in their order */
static void dweight_classes(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                            const peft_thread *thread)
{
    (void)ctx, (void)end;
    head h = read_node(node);
    for (int64_t row = 0; row < h.rows; row += ROWS) {
        tile t = gradient_tile(node, &h, tile_at(&h, row, ROWS, begin, thread->scratch));
        peft_gemm_shape shape = {t.classes, h.features, t.rows, 1, t.classes, h.features, 1, h.features, 1};
        if (node->din[WEIGHT])
            gemm(&shape, 1, t.y, h.x + row * h.features, row || peft_accumulates(node, WEIGHT) ? 1 : 0,
                 (real *)node->din[WEIGHT]->data + begin * h.features);
        if (node->din[BIAS])
            add_to_bias(&t, row || peft_accumulates(node, BIAS), (real *)node->din[BIAS]->data + begin);
    }
}

static void backward(const peft_node *node, peft_context *ctx)
{
    if (node->din[X]) peft_for_rows(node, ctx, peft_rows(node->in[X]), GRADIENT_ROWS, dx_rows);
    if (node->din[WEIGHT] || node->din[BIAS])
        peft_for_rows(node, ctx, peft_rows(node->in[WEIGHT]), CLASSES, dweight_classes);
}

static size_t shared_bytes(const peft_node *node, bool backward)
{
    head h = read_sizes(node);
    return backward ? 0 : (size_t)(h.rows * (1 + 2 * h.chunks)) * sizeof(double);
}

static size_t thread_bytes(const peft_node *node, bool backward)
{
    (void)backward;
    head h = read_sizes(node);
    int64_t rows = lies_as_rows(h.weight) ? 0 : at_most(h.classes, CLASSES) * h.features;
    return (size_t)(tile_elements(&h) + rows) * sizeof(real);
}

static size_t library_bytes(const peft_node *node)
{
    int64_t features = peft_columns(node->in[X]);
    return gemm_buffer_bytes(features > CLASSES ? features : CLASSES);
}

const peft_kernel KERNEL(linear_cross_entropy) = {.forward = forward,
                                                  .backward = backward,
                                                  .shared_bytes = shared_bytes,
                                                  .thread_bytes = thread_bytes,
                                                  .library_bytes = library_bytes};
