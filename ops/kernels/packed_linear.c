/* ops/kernels/packed_linear.c - the linear layer whose frozen weight was packed (ops/packed.h).
 *
 *     y = x W^T + b     dx (+)= dy W     db (+)= sum_t dy_t
 *
 * Rows are cut into tiles (ops/op.h), and a tile into products of the heights that there is code for. Where the last
 * rows do not fill the least height, zeros fill it up in scratch memory. In bf16, x and dy are rounded there, to the
 * nearest, ties to even; W was rounded when it was packed; products are summed in float. */
#include <immintrin.h>

#include "ops/kernels/bias.h"
#include "ops/packed.h"

enum { X, WEIGHT, BIAS };

/* C (+)= A B (+ bias) */
typedef struct packed_product {
    peft_context *ctx;
    const peft_dnnl_matrix *b;
    peft_dnnl_form form;
    int64_t k, n;
    const float *a, *bias;
    float *c;
} packed_product;

/* ---- scratch memory of a thread: the library's, rows of A, rows of C ---- */

static size_t aligned(size_t bytes)
{
    enum { ALIGNMENT = 64 };
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t a_offset(const peft_dnnl_matrix *b)
{
    return aligned(peft_dnnl_scratch_bytes(b));
}

static size_t c_offset(const peft_dnnl_matrix *b, int64_t k)
{
    peft_dtype dtype = peft_dnnl_dtype(peft_dnnl_matrix_owner(b));
    int64_t rows = dtype == PEFT_BF16 ? PEFT_DNNL_MOST : PEFT_DNNL_LEAST;
    return a_offset(b) + aligned((size_t)(rows * k) * peft_dtype_bytes(dtype));
}

static size_t scratch_bytes(const peft_dnnl_matrix *b, int64_t k, int64_t n)
{
    return c_offset(b, k) + aligned((size_t)(PEFT_DNNL_LEAST * n) * sizeof(float));
}

/* ---- one product ---- */

__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) static void round_to_bf16(const float *values,
                                                                                          int64_t count, uint16_t *out)
{
    enum { WIDTH = 16 };
    for (int64_t k = 0; k < count; k += WIDTH) {
        int64_t left = count - k;
        __mmask16 some = (__mmask16)(left < WIDTH ? (1U << left) - 1U : UINT16_MAX);
        __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(some, values + k));
        _mm256_mask_storeu_epi16(out + k, some, (__m256i)rounded);
    }
}

/* `rows` rows of A in the type of the products, `height` of them with zeros. */
static const void *rows_of_a(const packed_product *p, int64_t begin, int64_t rows, int64_t height, void *copy)
{
    const float *a = p->a + begin * p->k;
    size_t count = (size_t)(rows * p->k), missing = (size_t)((height - rows) * p->k);
    if (peft_dnnl_dtype(peft_dnnl_matrix_owner(p->b)) == PEFT_BF16) {
        round_to_bf16(a, (int64_t)count, copy);
        memset((uint16_t *)copy + count, 0, missing * sizeof(uint16_t));
        return copy;
    }
    if (!missing) return a;
    memcpy(copy, a, count * sizeof *a);
    memset((float *)copy + count, 0, missing * sizeof *a);
    return copy;
}

static int thread_of(const peft_context *ctx, const char *scratch)
{
    return (int)((size_t)(scratch - ctx->scratch) / ctx->scratch_stride);
}

static void multiply(const packed_product *p, int64_t begin, int64_t rows, int64_t height, char *scratch)
{
    float *c = p->c + begin * p->n, *copy = (float *)(void *)(scratch + c_offset(p->b, p->k));
    size_t count = (size_t)(rows * p->n), all = (size_t)(height * p->n);
    const peft_dnnl_call call = {.form = p->form,
                                 .rows = height,
                                 .thread = thread_of(p->ctx, scratch),
                                 .a = rows_of_a(p, begin, rows, height, scratch + a_offset(p->b)),
                                 .bias = p->bias,
                                 .c = rows < height ? copy : c,
                                 .scratch = scratch};
    if (rows < height) {
        memcpy(copy, c, count * sizeof *c);
        memset(copy + count, 0, (all - count) * sizeof *c);
    }
    if (!peft_dnnl_product(p->b, &call)) peft_context_fail(p->ctx, PEFT_ERR_MEMORY, "oneDNN ran out of memory");
    if (rows < height) memcpy(c, copy, count * sizeof *c);
}

static void multiply_rows(const packed_product *p, int64_t begin, int64_t end, void *scratch)
{
    for (int64_t at = begin, height; at < end; at += height) {
        height = PEFT_DNNL_MOST;
        while (height > PEFT_DNNL_LEAST && height > end - at) height /= 2;
        multiply(p, at, height < end - at ? height : end - at, height, scratch);
    }
}

/* ---- forward and backward ---- */

static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    const peft_tensor *bias = node->in[BIAS];
    const packed_product product = {.ctx = ctx,
                                    .b = node->in[WEIGHT]->packed->forward,
                                    .form = bias ? PEFT_DNNL_BIAS : PEFT_DNNL_SET,
                                    .k = peft_columns(node->in[X]),
                                    .n = peft_rows(node->in[WEIGHT]),
                                    .a = node->in[X]->data,
                                    .bias = bias ? bias->data : NULL,
                                    .c = node->out[0]->data};
    multiply_rows(&product, begin, end, scratch);
}

static void dx_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    const packed_product product = {.ctx = ctx,
                                    .b = node->in[WEIGHT]->packed->backward,
                                    .form = peft_accumulates(node, X) ? PEFT_DNNL_ADD : PEFT_DNNL_SET,
                                    .k = peft_rows(node->in[WEIGHT]),
                                    .n = peft_columns(node->in[X]),
                                    .a = node->dout->data,
                                    .c = node->din[X]->data};
    multiply_rows(&product, begin, end, scratch);
}

/* The weight is read anew for each tile, from a cache of the CPU: tiles may be smaller than BLIS's, which pack it. */
static void for_tiles(const peft_node *node, peft_context *ctx, peft_rows_function *run)
{
    int64_t rows = peft_rows(node->in[X]);
    peft_for_rows(node, ctx, rows, peft_rows_of_tile(rows), run);
}

static bool turns(const peft_node *node)
{
    return node->din[X] && node->in[WEIGHT]->packed->turned;
}

/* Where W is packed for forward alone, backward turns it. */
static int64_t turned_weights(const peft_node *node)
{
    return turns(node) ? 1 : 0;
}

static void turn_weight(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    (void)begin, (void)end;
    if (!peft_dnnl_turn(node->in[WEIGHT]->packed->backward, node->shared, thread_of(ctx, scratch)))
        peft_context_fail(ctx, PEFT_ERR_MEMORY, "oneDNN ran out of memory");
}

/* db sums over the rows. */
static bool frozen_bias(const peft_node *node)
{
    return !node->din[BIAS];
}

static const peft_row_work by_rows[2] = {
    {.run = forward_rows, .inputs = PEFT_IN(X)},
    {.run = dx_rows, .inputs = PEFT_IN(X), .allowed = frozen_bias, .before = {turned_weights, turn_weight}}};

static void forward(const peft_node *node, peft_context *ctx)
{
    for_tiles(node, ctx, forward_rows);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    bias_gradient(node, ctx);
    peft_run_part(node, ctx, &by_rows[1].before);
    if (node->din[X]) for_tiles(node, ctx, dx_rows);
}

static size_t thread_bytes(const peft_node *node, bool backward_pass)
{
    const peft_packed *packed = node->in[WEIGHT]->packed;
    int64_t in_features = peft_columns(node->in[X]), out_features = peft_rows(node->in[WEIGHT]);
    if (!backward_pass) return scratch_bytes(packed->forward, in_features, out_features);
    return node->din[X] ? scratch_bytes(packed->backward, out_features, in_features) : 0;
}

static size_t shared_bytes(const peft_node *node, bool backward_pass)
{
    return backward_pass && turns(node) ? peft_dnnl_matrix_bytes(node->in[WEIGHT]->packed->backward) : 0;
}

const peft_kernel peft_kernel_packed_linear = {.forward = forward,
                                               .backward = backward,
                                               .thread_bytes = thread_bytes,
                                               .shared_bytes = shared_bytes,
                                               .by_rows = {&by_rows[0], &by_rows[1]}};
