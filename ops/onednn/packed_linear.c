/* ops/onednn/packed_linear.c - the linear layer whose frozen weight was packed (ops/onednn/packed.h).
 *
 *     y = x W^T + b     dx (+)= dy W     db (+)= sum_t dy_t
 *
 * Rows are cut into tiles (ops/engine/tiles.h), and a tile into products of heights that there is code for: one, and
 * one more for what the last tile has beyond whole units. In bf16, x and dy are rounded in scratch memory, to the
 * nearest, ties to even, unless they are in bf16 already; W was rounded when it was packed; products are summed in
 * float. */
#include <immintrin.h>

#include "ops/cpu/kernels/bias.h"
#include "ops/engine/tiles.h"
#include "ops/onednn/kernels.h"
#include "ops/onednn/packed.h"

enum { X, WEIGHT, BIAS };

/* C (+)= A B (+ bias) */
typedef struct packed_product {
    peft_context *ctx;
    const peft_dnnl_matrix *b;
    peft_dnnl_form form;
    int64_t k, n;
    const peft_tensor *a;
    const float *bias;
    const peft_tensor *c;
} packed_product;

static const peft_packed *packed_of(const peft_node *node)
{
    return (const peft_packed *)(const void *)node->in[WEIGHT]->weight->form;
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

/* Scratch memory of a thread: rows of A in bf16, then the library's. */
static size_t a_bytes(const peft_dnnl_matrix *b, const peft_tensor *a, int64_t rows)
{
    enum { ALIGNMENT = 64 };
    int64_t k = peft_columns(a);
    if (peft_dnnl_dtype(peft_dnnl_matrix_owner(b)) == a->dtype) return 0;
    return ((size_t)(rows * k) * sizeof(uint16_t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void multiply(const packed_product *p, int64_t begin, int64_t rows, const peft_thread *thread)
{
    const void *a = row_of(p->a, begin);
    char *scratch = thread->scratch;
    size_t rounded = a_bytes(p->b, p->a, rows);
    if (rounded) round_to_bf16(a, rows * p->k, thread->scratch);
    const peft_dnnl_call call = {.form = p->form,
                                 .rows = rows,
                                 .thread = thread->number,
                                 .a = rounded ? scratch : a,
                                 .bias = p->bias,
                                 .c = row_of(p->c, begin),
                                 .scratch = scratch + rounded};
    if (!peft_dnnl_product(p->b, &call)) peft_context_fail(p->ctx, PEFT_ERR_MEMORY, "oneDNN ran out of memory");
}

static void multiply_rows(const packed_product *p, int64_t begin, int64_t end, const peft_thread *thread)
{
    for (int64_t at = begin, height; at < end; at += height) {
        height = peft_dnnl_height(end - at);
        multiply(p, at, height, thread);
    }
}

/* The bytes of scratch memory for products with so many rows of A, whose code is then there. */
static size_t prepare(const peft_dnnl_matrix *b, peft_dnnl_form form, const peft_tensor *a)
{
    return a_bytes(b, a, peft_tile_rows(peft_rows(a))) + peft_dnnl_prepare(b, form);
}

/* ---- forward and backward ---- */

static peft_dnnl_form forward_form(const peft_node *node)
{
    return node->in[BIAS] ? PEFT_DNNL_BIAS : PEFT_DNNL_SET;
}

static peft_dnnl_form backward_form(const peft_node *node)
{
    return peft_accumulates(node, X) ? PEFT_DNNL_ADD : PEFT_DNNL_SET;
}

static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    const peft_tensor *bias = node->in[BIAS];
    const packed_product product = {.ctx = ctx,
                                    .b = packed_of(node)->forward,
                                    .form = forward_form(node),
                                    .k = peft_columns(node->in[X]),
                                    .n = peft_rows(node->in[WEIGHT]),
                                    .a = node->in[X],
                                    .bias = bias ? bias->data : NULL,
                                    .c = node->out[0]};
    multiply_rows(&product, begin, end, thread);
}

static void dx_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    const packed_product product = {.ctx = ctx,
                                    .b = packed_of(node)->backward,
                                    .form = backward_form(node),
                                    .k = peft_rows(node->in[WEIGHT]),
                                    .n = peft_columns(node->in[X]),
                                    .a = node->dout,
                                    .c = node->din[X]};
    multiply_rows(&product, begin, end, thread);
}

static bool turns(const peft_node *node)
{
    return node->din[X] && packed_of(node)->turned;
}

/* Where W is packed for forward alone, backward turns it. */
static int64_t turned_weights(const peft_node *node)
{
    return turns(node) ? 1 : 0;
}

static void turn_weight(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    (void)begin, (void)end;
    if (!peft_dnnl_turn(packed_of(node)->backward, node->shared, thread->number))
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

/* The weight is read anew for each tile, from a cache of the CPU: tiles may be smaller than BLIS's, which pack it. */
static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_tiles(node, ctx, peft_rows(node->in[X]), forward_rows);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    bias_gradient(node, ctx);
    peft_run_part(node, ctx, &by_rows[1].before);
    if (node->din[X]) peft_for_tiles(node, ctx, peft_rows(node->in[X]), dx_rows);
}

static size_t thread_bytes(const peft_node *node, bool backward_pass)
{
    const peft_packed *packed = packed_of(node);
    peft_packed_expect(packed->owner, peft_rows(node->in[X]));
    if (!backward_pass) return prepare(packed->forward, forward_form(node), node->in[X]);
    return node->din[X] ? prepare(packed->backward, backward_form(node), node->dout) : 0;
}

static size_t shared_bytes(const peft_node *node, bool backward_pass)
{
    return backward_pass && turns(node) ? peft_dnnl_matrix_bytes(packed_of(node)->backward) : 0;
}

/* Where the backward pass will be this kernel's too, and sums no floats for the gradient of a bias. */
static bool rounds(const peft_node *node)
{
    bool both = packed_of(node)->backward || !node->in[X]->requires_grad;
    return both && !(node->in[BIAS] && node->in[BIAS]->requires_grad);
}

const peft_kernel peft_kernel_linear_packed = {.forward = forward,
                                               .backward = backward,
                                               .thread_bytes = thread_bytes,
                                               .shared_bytes = shared_bytes,
                                               .by_rows = {&by_rows[0], &by_rows[1]}};

const peft_kernel peft_kernel_linear_packed_bf16 = {.forward = forward,
                                                    .backward = backward,
                                                    .thread_bytes = thread_bytes,
                                                    .shared_bytes = shared_bytes,
                                                    .by_rows = {&by_rows[0], &by_rows[1]},
                                                    .takes_bf16 = PEFT_IN(X) | PEFT_OUT(0),
                                                    .rounds = rounds};
