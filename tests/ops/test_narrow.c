/* Values that are written in bf16, since all who read them round them: they change no bit. */
#include "ops/engine/context_internal.h"
#include "ops/engine/graph_internal.h"
#include "ops/ops.h"
#include "ops/weight.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUM_LINEARS = 6, NUM_FACTORS = 2 * NUM_LINEARS };

/* A layer of an encoder: sizes that fill no vector, ranks of both kernels, sequences of several tiles. */
typedef struct sizes {
    int64_t tokens, heads, key_heads, head_size, wide, rank;
    int32_t num_starts;
    int32_t starts[6];
    peft_mask mask;
    double dropout;
    bool unchained;
} sizes;

static const sizes table[] = {
    {40, 2, 2, 32, 96, 8, 3, {0, 7, 40}, PEFT_MASK_NONE, 0.1, false},
    {701, 3, 3, 11, 70, 3, 6, {0, 1, 200, 201, 331, 701}, PEFT_MASK_NONE, 0.1, false},
    {701, 3, 3, 11, 70, 8, 6, {0, 1, 200, 201, 331, 701}, PEFT_MASK_CAUSAL, 0.2, true},
    {519, 1, 1, 64, 33, 16, 5, {0, 1, 130, 300, 519}, PEFT_MASK_NONE, 0, false},
    {519, 4, 2, 16, 160, 9, 4, {0, 64, 129, 519}, PEFT_MASK_CAUSAL, 0, false},
};
enum { NUM_SIZES = sizeof table / sizeof *table };

/* Its weights, the factors of their adapters and all gradients. */
typedef struct layer {
    const sizes *s;
    int64_t width;
    peft_weight weights[NUM_LINEARS];
    float *values[NUM_LINEARS], *factors[NUM_FACTORS], *gradients[NUM_FACTORS];
    int64_t counts[NUM_FACTORS];
    float *x, *dx, *y, *dy, *ones;
} layer;

static float *noise(int64_t count, uint64_t from, double size)
{
    float *values = calloc((size_t)count, sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (int64_t k = 0; k < count; k++) values[k] = (float)(size * op_noise(from + (uint64_t)k));
    return values;
}

static void make(layer *l, const sizes *s)
{
    int64_t d = s->heads * s->head_size;
    *l = (layer){.s = s, .width = d};
    for (int k = 0; k < NUM_LINEARS; k++) {
        bool key = k == 1 || k == 2;
        int64_t in = k == 5 ? s->wide : d, out = k == 4 ? s->wide : key ? s->key_heads * s->head_size : d;
        uint64_t from = (uint64_t)(k + 1) << 24;
        l->values[k] = noise(out * in, from, 0.3);
        l->weights[k] = (peft_weight){.name = "W", .shape = peft_shape_2(out, in), .stored.data = l->values[k]};
        l->counts[2 * k] = s->rank * in;
        l->counts[2 * k + 1] = out * s->rank;
        for (int side = 0; side < 2; side++) {
            l->factors[2 * k + side] = noise(l->counts[2 * k + side], from + (uint64_t)(side + 1) * (1U << 22), 0.3);
            l->gradients[2 * k + side] = noise(l->counts[2 * k + side], 0, 0);
        }
    }
    l->x = noise(s->tokens * d, 1, 1);
    l->dy = noise(s->tokens * d, 1U << 20, 1);
    l->dx = noise(s->tokens * d, 0, 0);
    l->y = noise(s->tokens * d, 0, 0);
    l->ones = noise(d, 0, 0);
    for (int64_t k = 0; k < d; k++) l->ones[k] = 1;
}

static void release(layer *l)
{
    for (int k = 0; k < NUM_FACTORS; k++) free(l->factors[k]), free(l->gradients[k]);
    for (int k = 0; k < NUM_LINEARS; k++) free(l->values[k]);
    float *const others[] = {l->x, l->dx, l->y, l->dy, l->ones};
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) free(others[k]);
}

static peft_tensor *adapted(peft_graph *g, layer *l, int k, peft_tensor *x)
{
    int64_t out = l->weights[k].shape.size[0], in = l->weights[k].shape.size[1], rank = l->s->rank;
    peft_tensor *A = peft_parameter(g, PEFT_F32, peft_shape_2(rank, in), l->factors[2 * k], l->gradients[2 * k], "A");
    peft_tensor *B =
        peft_parameter(g, PEFT_F32, peft_shape_2(out, rank), l->factors[2 * k + 1], l->gradients[2 * k + 1], "B");
    return peft_low_rank(g, peft_linear(g, x, peft_weight_leaf(g, &l->weights[k]), NULL), x, A, B, NULL, NULL, 0.5);
}

static peft_tensor *dropped_sum(peft_graph *g, const layer *l, peft_tensor *x, peft_tensor *more, uint64_t stream)
{
    return peft_add(g, x, l->s->dropout > 0 ? peft_dropout(g, more, l->s->dropout, stream, 0) : more);
}

static peft_tensor *describe(peft_graph *g, layer *l)
{
    const sizes *s = l->s;
    const peft_attention_options options = {.num_heads = (int32_t)s->heads,
                                            .num_key_value_heads = (int32_t)s->key_heads,
                                            .mask = s->mask,
                                            .dropout = s->dropout,
                                            .dropout_stream = 1};
    peft_tensor *x = peft_parameter(g, PEFT_F32, peft_shape_2(s->tokens, l->width), l->x, l->dx, "x");
    peft_tensor *starts = peft_constant(g, PEFT_I32, peft_shape_1(s->num_starts), s->starts, "starts");
    peft_tensor *ones = peft_constant(g, PEFT_F32, peft_shape_1(l->width), l->ones, "ones");
    peft_tensor *h = peft_scale(g, x, 2);
    peft_tensor *heads =
        peft_attention(g, adapted(g, l, 0, h), adapted(g, l, 1, h), adapted(g, l, 2, h), starts, starts, &options);
    h = peft_layer_norm(g, dropped_sum(g, l, h, adapted(g, l, 3, heads), 2), ones, NULL, 1e-5);
    peft_tensor *wide = peft_activation(g, adapted(g, l, 4, h), PEFT_ACTIVATION_gelu);
    return peft_graph_keep(g, dropped_sum(g, l, h, adapted(g, l, 5, wide), 3));
}

/* Of the values that steps write, how many are bf16. */
static int num_narrow(const peft_graph *g)
{
    int count = 0;
    for (int32_t k = 0; k < g->num_tensors; k++)
        count += g->tensors[k]->dtype == PEFT_BF16 && g->storages[g->tensors[k]->storage].first >= 0;
    return count;
}

/* Returns the bytes of the plan; `narrow`: of the values in bf16. */
static size_t compute(layer *l, peft_context *ctx, bool narrows, int *narrow)
{
    peft_graph *g;
    peft_error error = {0};
    size_t bytes;
    ck_assert(!peft_graph_create(&g, &error));
    peft_graph_set_context(g, ctx);
    g->least_recalled_rows = INT64_MAX; /* nothing is rounded to be kept */
    g->unchained = l->s->unchained;
    if (narrows) peft_graph_keep_bf16(g);
    peft_tensor *y = describe(g, l);
    ck_assert_msg(!peft_graph_differentiate_from(g, y, l->dy, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_plan(g, ctx, &bytes, &error), "%s", error.message);
    ck_assert(!peft_context_reserve(ctx, bytes, &error));
    memset(ctx->buffer, 0xFF, bytes);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    memcpy(l->y, read_values(g, y), (size_t)peft_shape_count(&y->shape) * sizeof *l->y);
    *narrow = num_narrow(g);
    peft_graph_free(g);
    return bytes;
}

static void pack(layer *l, peft_context *ctx)
{
    peft_error error;
    for (int k = 0; k < NUM_LINEARS; k++) ck_assert(!peft_weight_pack(&l->weights[k], ctx, PEFT_PACK_BOTH, &error));
}

static void unpack(layer *l)
{
    for (int k = 0; k < NUM_LINEARS; k++) peft_weight_unpack(&l->weights[k]);
}

static peft_context *open_context(peft_dtype dtype)
{
    peft_context *ctx;
    peft_error error;
    const peft_context_options options = {.threads = 2, .dtype = dtype, .seed = 7};
    ck_assert_msg(!peft_context_open(&ctx, &options, &error), "%s", error.message);
    return ctx;
}

/* The results of attention and of GELU, and the gradients of q, k, v and of what GELU read; where there is dropout,
 * those of two sums, too. */
START_TEST(they_change_no_bit)
{
    if (!peft_dtype_available(PEFT_BF16)) return;
    layer whole, narrow;
    int none, some;
    make(&whole, &table[_i]);
    make(&narrow, &table[_i]);
    peft_context *ctx = open_context(PEFT_BF16);
    pack(&whole, ctx);
    pack(&narrow, ctx);
    size_t bytes = compute(&whole, ctx, false, &none), fewer = compute(&narrow, ctx, true, &some);
    ck_assert_int_eq(none, 0);
    /* And the views of gradients that an adapter passes on. */
    ck_assert_int_eq(some, 2 + 2 * (4 + (table[_i].dropout > 0 ? 2 : 0)));
    ck_assert_uint_le(fewer, bytes);
    size_t count = (size_t)(whole.s->tokens * whole.width);
    ck_assert_mem_eq(whole.y, narrow.y, count * sizeof *whole.y);
    ck_assert_mem_eq(whole.dx, narrow.dx, count * sizeof *whole.dx);
    for (int k = 0; k < NUM_FACTORS; k++)
        ck_assert_mem_eq(whole.gradients[k], narrow.gradients[k], (size_t)whole.counts[k] * sizeof(float));
    for (size_t k = 0; k < count; k++) ck_assert(narrow.dx[k] == narrow.dx[k]); /* the buffer was full of NaN */
    unpack(&whole);
    unpack(&narrow);
    release(&whole);
    release(&narrow);
    peft_context_close(ctx);
}
END_TEST

static void refused(layer *l, const peft_context *ctx, const peft_context *other, const char *op)
{
    peft_graph *g;
    peft_error error;
    size_t bytes;
    ck_assert(!peft_graph_create(&g, &error));
    peft_graph_set_context(g, ctx);
    peft_graph_keep_bf16(g);
    peft_tensor *y = describe(g, l);
    ck_assert(!peft_graph_differentiate_from(g, y, l->dy, &error));
    ck_assert_int_eq(peft_graph_plan(g, other, &bytes, &error), PEFT_ERR_ARGUMENT);
    char message[PEFT_MESSAGE_BYTES];
    snprintf(message, sizeof message,
             "plan: values of %s are kept in bf16, as another context has them; run the graph in the context that it "
             "was differentiated for",
             op);
    ck_assert_str_eq(error.message, message);
    peft_graph_free(g);
}

START_TEST(other_contexts_do_not_read_them)
{
    if (!peft_dtype_available(PEFT_BF16)) return;
    layer l;
    make(&l, &table[0]);
    peft_context *ctx = open_context(PEFT_BF16), *other = open_context(PEFT_BF16), *floats = open_context(PEFT_F32);
    pack(&l, ctx);
    refused(&l, ctx, other, "linear"); /* whose weight was not packed for it */
    refused(&l, ctx, floats, "attention");
    unpack(&l);
    release(&l);
    peft_context_close(ctx);
    peft_context_close(other);
    peft_context_close(floats);
}
END_TEST

TEST_MAIN("narrow", tcase_add_loop_test(tc, they_change_no_bit, 0, NUM_SIZES);
          tcase_add_test(tc, other_contexts_do_not_read_them))
