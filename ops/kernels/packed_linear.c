/* ops/kernels/packed_linear.c - the linear layer whose frozen weight was packed (ops/packed.h).
 *
 *     y = x W^T + b     dx (+)= dy W     db (+)= sum_t dy_t
 *
 * Rows are cut into tiles, and a tile into products of the heights that there is code for. Where the last rows do not
 * fill the least height, zeros fill it up in scratch memory. In bf16, x and dy are rounded there, to the nearest, ties
 * to even; W was rounded when it was packed; products are summed in float. */
#include <immintrin.h>

#include "ops/kernels/bias.h"
#include "ops/packed.h"

enum { X, WEIGHT, BIAS };

/* C (+)= A B (+ bias) for all tokens */
typedef struct packed_loop {
    peft_context *ctx;
    const peft_dnnl_matrix *b;
    peft_dnnl_form form;
    int64_t rows, k, n, grain;
    const float *a, *bias;
    float *c;
} packed_loop;

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
static const void *rows_of_a(const packed_loop *l, int64_t begin, int64_t rows, int64_t height, void *copy)
{
    const float *a = l->a + begin * l->k;
    size_t count = (size_t)(rows * l->k), missing = (size_t)((height - rows) * l->k);
    if (peft_dnnl_dtype(peft_dnnl_matrix_owner(l->b)) == PEFT_BF16) {
        round_to_bf16(a, (int64_t)count, copy);
        memset((uint16_t *)copy + count, 0, missing * sizeof(uint16_t));
        return copy;
    }
    if (!missing) return a;
    memcpy(copy, a, count * sizeof *a);
    memset((float *)copy + count, 0, missing * sizeof *a);
    return copy;
}

static void multiply(const packed_loop *l, int64_t begin, int64_t rows, int64_t height, int thread)
{
    char *scratch = l->ctx->scratch + (size_t)thread * l->ctx->scratch_stride;
    float *c = l->c + begin * l->n, *copy = (float *)(void *)(scratch + c_offset(l->b, l->k));
    size_t count = (size_t)(rows * l->n), all = (size_t)(height * l->n);
    const peft_dnnl_call call = {.form = l->form,
                                 .rows = height,
                                 .thread = thread,
                                 .a = rows_of_a(l, begin, rows, height, scratch + a_offset(l->b)),
                                 .bias = l->bias,
                                 .c = rows < height ? copy : c,
                                 .scratch = scratch};
    if (rows < height) {
        memcpy(copy, c, count * sizeof *c);
        memset(copy + count, 0, (all - count) * sizeof *c);
    }
    if (!peft_dnnl_product(l->b, &call)) peft_context_fail(l->ctx, PEFT_ERR_MEMORY, "oneDNN ran out of memory");
    if (rows < height) memcpy(c, copy, count * sizeof *c);
}

/* ---- all rows ---- */

static void run_tile(void *argument, int64_t piece, int thread)
{
    const packed_loop *l = argument;
    int64_t end = (piece + 1) * l->grain < l->rows ? (piece + 1) * l->grain : l->rows;
    for (int64_t at = piece * l->grain, height; at < end; at += height) {
        height = PEFT_DNNL_MOST;
        while (height > PEFT_DNNL_LEAST && height > end - at) height /= 2;
        multiply(l, at, height < end - at ? height : end - at, height, thread);
    }
}

/* The weight is read anew for each tile, from a cache of the CPU: tiles may be smaller than BLIS's, which pack it. */
static int64_t tile_rows(int64_t rows)
{
    enum { TILES = 16, SMALLEST = 64 };
    int64_t grain = (rows / TILES + PEFT_DNNL_LEAST - 1) / PEFT_DNNL_LEAST * PEFT_DNNL_LEAST;
    return grain < SMALLEST ? SMALLEST : grain > PEFT_DNNL_MOST ? PEFT_DNNL_MOST : grain;
}

static void run_all(packed_loop *l)
{
    l->grain = tile_rows(l->rows);
    peft_team_run(l->ctx->team, (l->rows + l->grain - 1) / l->grain, run_tile, l);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    const peft_tensor *bias = node->in[BIAS];
    packed_loop l = {.ctx = ctx,
                     .b = node->in[WEIGHT]->packed->forward,
                     .form = bias ? PEFT_DNNL_BIAS : PEFT_DNNL_SET,
                     .rows = peft_rows(node->in[X]),
                     .k = peft_columns(node->in[X]),
                     .n = peft_rows(node->in[WEIGHT]),
                     .a = node->in[X]->data,
                     .bias = bias ? bias->data : NULL,
                     .c = node->out[0]->data};
    run_all(&l);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    bias_gradient(node, ctx);
    if (!node->din[X]) return;
    packed_loop l = {.ctx = ctx,
                     .b = node->in[WEIGHT]->packed->backward,
                     .form = peft_accumulates(node, X) ? PEFT_DNNL_ADD : PEFT_DNNL_SET,
                     .rows = peft_rows(node->in[X]),
                     .k = peft_rows(node->in[WEIGHT]),
                     .n = peft_columns(node->in[X]),
                     .a = node->dout->data,
                     .c = node->din[X]->data};
    run_all(&l);
}

static size_t thread_bytes(const peft_node *node, bool backward_pass)
{
    const peft_packed *packed = node->in[WEIGHT]->packed;
    int64_t in_features = peft_columns(node->in[X]), out_features = peft_rows(node->in[WEIGHT]);
    if (!backward_pass) return scratch_bytes(packed->forward, in_features, out_features);
    return node->din[X] ? scratch_bytes(packed->backward, out_features, in_features) : 0;
}

const peft_kernel peft_kernel_packed_linear = {.forward = forward, .backward = backward, .thread_bytes = thread_bytes};
