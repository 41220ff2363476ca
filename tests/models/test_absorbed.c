/* Attention without keys and values: that of plain attention, for any weights, biases and masks. */
#include "models/absorbed.h"

#include <math.h>

#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

static const int32_t starts[] = {0, 5, 6, 75}; /* sequences of 5, 1 and 69 tokens */

typedef struct layout {
    int64_t in_features, head_size;
    peft_attention_options options;
} layout;

enum { SEQUENCES = 3, TOKENS = 75 };
enum { Q, X, KEY, VALUE, STARTS, INPUTS = STARTS };

static const layout layouts[] = {
    {12, 4, {.num_heads = 3}},
    {7, 5, {.num_heads = 1, .scale = 0.3}},
    {16, 8, {.num_heads = 2, .dropout = 0.3, .dropout_stream = 9, .first_row = 4}},
    {9, 4, {.num_heads = 5, .dropout = 0.2}},
};

static const layout *current; /* of the running test, for building functions */

static peft_tensor *absorbed(peft_graph *g, peft_tensor *const *in)
{
    return peft_absorbed_attention(g, in[Q], in[X], in[KEY], in[VALUE], in[STARTS], &current->options);
}

/* x W^T + b, for W' = [W b] */
static peft_tensor *affine(peft_graph *g, peft_tensor *x, peft_tensor *joined)
{
    int64_t out = joined->shape.size[0], in = joined->shape.size[1] - 1;
    peft_tensor *b = peft_reshape(g, peft_slice(g, joined, 1, in, 1), peft_shape_1(out));
    return peft_linear(g, x, peft_slice(g, joined, 1, 0, in), b);
}

/* Ones where a head's own columns are: [heads, heads * head size] */
static peft_tensor *own_columns(peft_graph *g, int64_t heads, int64_t size)
{
    peft_tensor *columns = peft_spread(g, peft_identity(g, PEFT_F64, heads), peft_arange(g, heads + 1, size));
    return peft_permute(g, columns, (const int32_t[]){1, 0});
}

/* With keys and values. The heads of a sequence are queries of one head of all columns, of which each has its own and
 * zeros: so dropout draws the same numbers. */
static peft_tensor *plain(peft_graph *g, peft_tensor *const *in)
{
    int64_t heads = current->options.num_heads, size = current->head_size, width = heads * size;
    peft_shape by_sequence = peft_shape_3(SEQUENCES, heads, width), rows = peft_shape_2(SEQUENCES * heads, width);
    peft_attention_options options = current->options;
    options.num_heads = 1;
    options.first_row *= heads;
    if (options.scale == 0) options.scale = 1 / sqrt((double)size);
    peft_tensor *own = own_columns(g, heads, size), *each = peft_arange(g, SEQUENCES + 1, heads);
    peft_tensor *q = peft_reshape(g, peft_spread(g, in[Q], each), by_sequence);
    q = peft_reshape(g, peft_mul(g, q, own), rows);
    peft_tensor *k = affine(g, in[X], in[KEY]), *v = affine(g, in[X], in[VALUE]);
    peft_tensor *y = peft_attention(g, q, k, v, each, in[STARTS], &options);
    return peft_sum(g, peft_mul(g, peft_reshape(g, y, by_sequence), own), 1);
}

static op_case case_of(const layout *l)
{
    int64_t width = l->options.num_heads * l->head_size;
    return (op_case){"absorbed attention",
                     absorbed,
                     {SHAPE2(SEQUENCES, width),
                      SHAPE2(TOKENS, l->in_features),
                      SHAPE2(width, l->in_features + 1),
                      SHAPE2(width, l->in_features + 1),
                      {.shape = {1, {SEQUENCES + 1}}, .indices = starts}},
                     0};
}

/* In bf16, x' and q W'_k are rounded where attention reads them: its tolerance (tests/ops/test_attention.c). */
START_TEST(absorbed_attention_is_right)
{
    current = &layouts[_i];
    op_case c = case_of(current);
    op_check_rounded(&c, 1.0 / 32);
}
END_TEST

static void check_zero(peft_graph *g, const peft_tensor *x)
{
    for (int64_t k = 0; k < peft_shape_count(&x->shape); k++)
        ck_assert_double_le(fabs(((const double *)read_values(g, x))[k]), 1e-12);
}

/* In double, the difference of both is 0, and so are its gradients for an upstream gradient of noise. */
START_TEST(it_is_attention_to_keys_and_values)
{
    current = &layouts[_i];
    op_case c = case_of(current);
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    peft_tensor *in[INPUTS + 1];
    double *values[INPUTS + 1];
    ck_assert(!peft_context_open(&ctx, NULL, &error) && !peft_graph_create(&g, &error));
    for (uint64_t i = 0; i <= INPUTS; i++) { /* the last: of the result, which has q's shape */
        peft_shape shape = c.inputs[i % INPUTS].shape;
        int64_t count = peft_shape_count(&shape);
        values[i] = malloc((size_t)count * sizeof **values);
        ck_assert_ptr_nonnull(values[i]);
        for (int64_t k = 0; k < count; k++) values[i][k] = op_noise(i * 10000 + (uint64_t)k);
        if (i < INPUTS) in[i] = peft_variable(g, PEFT_F64, shape, values[i], "input");
    }
    in[STARTS] = peft_constant(g, PEFT_I32, c.inputs[STARTS].shape, starts, "starts");
    peft_tensor *y = peft_add(g, absorbed(g, in), peft_scale(g, plain(g, in), -1));
    y = peft_graph_keep(g, y);
    ck_assert_msg(!peft_graph_differentiate_from(g, y, values[INPUTS], &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    check_zero(g, y);
    for (int i = 0; i < INPUTS; i++) check_zero(g, in[i]->grad);
    for (int i = 0; i <= INPUTS; i++) free(values[i]);
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

enum { NUM_LAYOUTS = sizeof layouts / sizeof *layouts };

TEST_MAIN("absorbed", tcase_add_loop_test(tc, absorbed_attention_is_right, 0, NUM_LAYOUTS);
          tcase_add_loop_test(tc, it_is_attention_to_keys_and_values, 0, NUM_LAYOUTS))
