#include "ops/engine/graph_internal.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

#include <math.h>
#include <string.h>

static const int32_t starts[] = {0, 1, 3, 8};                             /* sequences of 1, 2 and 5 tokens */
static const int32_t more_keys[] = {0, 4, 7, 12}, fewer[] = {0, 1, 2, 4}; /* against 1, 2 and 5 queries */
static const int32_t long_starts[] = {0, 70, 71, 371};
static const int32_t short_of[] = {0, 1, 3, 7};

typedef struct layout {
    int64_t query_tokens, key_tokens, head_size;
    int32_t num_starts;
    const int32_t *query_starts, *key_starts;
    peft_attention_options options;
} layout;

static const layout layouts[] = {
    {8, 8, 5, 4, starts, starts, {.num_heads = 1}},
    {8, 8, 8, 4, starts, starts, {.num_heads = 3}},
    {8, 8, 5, 4, starts, starts, {.num_heads = 3, .scale = 0.7}},
    {8, 8, 5, 4, starts, starts, {.num_heads = 6, .num_key_value_heads = 2}},
    {8, 8, 5, 4, starts, starts, {.num_heads = 2, .mask = PEFT_MASK_CAUSAL}},
    {8, 8, 5, 4, starts, starts, {.num_heads = 2, .mask = PEFT_MASK_WINDOW, .window = 2}},
    {8, 12, 5, 4, starts, more_keys, {.num_heads = 2}},
    {8, 12, 5, 4, starts, more_keys, {.num_heads = 2, .mask = PEFT_MASK_CAUSAL}},
    {8, 12, 5, 4, starts, more_keys, {.num_heads = 2, .mask = PEFT_MASK_WINDOW, .window = 3}},
    {8, 4, 5, 4, starts, fewer, {.num_heads = 2, .mask = PEFT_MASK_CAUSAL}}, /* first queries see nothing */
    {371, 371, 8, 4, long_starts, long_starts, {.num_heads = 2}},
    {371, 371, 8, 4, long_starts, long_starts, {.num_heads = 2, .num_key_value_heads = 1, .mask = PEFT_MASK_CAUSAL}},
    {371, 371, 5, 4, long_starts, long_starts, {.num_heads = 2, .mask = PEFT_MASK_WINDOW, .window = 50}},
};
static const layout with_bias[] = {
    {8, 8, 5, 4, starts, starts, {.num_heads = 3}},
    {8, 12, 5, 4, starts, more_keys, {.num_heads = 4, .num_key_value_heads = 2, .mask = PEFT_MASK_CAUSAL}},
    {8, 8, 5, 4, starts, starts, {.num_heads = 2, .dropout = 0.4, .dropout_stream = 5}},
    {371, 371, 5, 4, long_starts, long_starts, {.num_heads = 2, .mask = PEFT_MASK_WINDOW, .window = 50}},
};
static const layout with_dropout[] = {
    {8, 8, 5, 4, starts, starts, {.num_heads = 3, .dropout = 0.4, .dropout_stream = 5}},
    {8, 12, 5, 4, starts, more_keys, {.num_heads = 2, .mask = PEFT_MASK_CAUSAL, .dropout = 0.4}},
    {371, 371, 8, 4, long_starts, long_starts, {.num_heads = 2, .num_key_value_heads = 1, .dropout = 0.1}},
    {371,
     371,
     5,
     4,
     long_starts,
     long_starts,
     {.num_heads = 1, .mask = PEFT_MASK_WINDOW, .window = 50, .dropout = 0.1}},
};
enum { BIASED_QUERIES = 300, BIASED_KEYS = 301 }; /* as many as the longest sequence, and more */
enum { NUM_LAYOUTS = sizeof layouts / sizeof *layouts, NUM_DROPOUTS = sizeof with_dropout / sizeof *with_dropout };

static const layout *current; /* of the running test, for building functions */
static bool biased;           /* by in[5] */

static peft_tensor *attention(peft_graph *g, peft_tensor *const *in)
{
    peft_attention_options options = current->options;
    if (biased) options.bias = in[5];
    return peft_attention(g, in[0], in[1], in[2], in[3], in[4], &options);
}

/* A score of factors in -2 ... 2 that are rounded by 2^-9 of themselves, mostly less and with either sign, is off by
 * some 2^-8, and its exponential by that share of itself; dS and P are rounded once more before their products. */
static const double BF16_TOLERANCE = 1.0 / 32;

static int32_t key_heads(const layout *l)
{
    return l->options.num_key_value_heads ? l->options.num_key_value_heads : l->options.num_heads;
}

static op_case case_of(const layout *l)
{
    int64_t query_width = l->options.num_heads * l->head_size, key_width = key_heads(l) * l->head_size;
    op_input bias = {.shape = {3, {l->options.num_heads, BIASED_QUERIES, BIASED_KEYS}}, .constant = true};
    if (!biased) bias.shape.ndim = 0;
    return (op_case){"attention",
                     attention,
                     {{.shape = {2, {l->query_tokens, query_width}}, .low = -2, .high = 2},
                      {.shape = {2, {l->key_tokens, key_width}}, .low = -2, .high = 2},
                      {.shape = {2, {l->key_tokens, key_width}}},
                      {.shape = {1, {l->num_starts}}, .indices = l->query_starts},
                      {.shape = {1, {l->num_starts}}, .indices = l->key_starts},
                      bias},
                     0};
}

START_TEST(attention_is_right)
{
    current = &layouts[_i];
    op_case c = case_of(current);
    op_check_rounded(&c, BF16_TOLERANCE);
}
END_TEST

START_TEST(a_bias_is_added)
{
    current = &with_bias[_i];
    biased = true;
    op_case c = case_of(current);
    op_check_rounded(&c, BF16_TOLERANCE);
}
END_TEST

START_TEST(dropout_is_right)
{
    current = &with_dropout[_i];
    op_case c = case_of(current);
    op_check_rounded(&c, BF16_TOLERANCE);
}
END_TEST

static bool sees(const peft_attention_options *o, int64_t query, int64_t queries, int64_t key, int64_t keys)
{
    int64_t back = (keys - key) - (queries - query); /* how far the key lies behind the query */
    if (o->mask == PEFT_MASK_NONE) return true;
    return back >= 0 && (o->mask != PEFT_MASK_WINDOW || back < o->window);
}

/* One query and one head, as the formula has it. */
static void naive_row(const layout *l, int32_t s, int64_t query, int32_t head, const double *q, const double *k,
                      const double *v, const double *bias, double *y)
{
    int64_t size = l->head_size, query_row = size * l->options.num_heads, key_row = size * key_heads(l);
    int64_t key_head = head / (l->options.num_heads / key_heads(l));
    int64_t queries = l->query_starts[s + 1] - l->query_starts[s], keys = l->key_starts[s + 1] - l->key_starts[s];
    double scale = l->options.scale > 0 ? l->options.scale : 1 / sqrt((double)size), total = 0;
    const double *qi = q + (l->query_starts[s] + query) * query_row + head * size;
    for (int64_t d = 0; d < size; d++) y[d] = 0;
    for (int64_t key = 0; key < keys; key++) {
        if (!sees(&l->options, query, queries, key, keys)) continue;
        int64_t at = (l->key_starts[s] + key) * key_row + key_head * size;
        double score = 0;
        for (int64_t d = 0; d < size; d++) score += qi[d] * k[at + d];
        double p = exp(scale * score + (bias ? bias[(head * BIASED_QUERIES + query) * BIASED_KEYS + key] : 0));
        total += p;
        for (int64_t d = 0; d < size; d++) y[d] += p * v[at + d];
    }
    for (int64_t d = 0; d < size && total > 0; d++) y[d] /= total;
}

static double *noise(int64_t count, uint64_t from)
{
    double *values = malloc((size_t)count * sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (int64_t k = 0; k < count; k++) values[k] = op_noise(from + (uint64_t)k);
    return values;
}

static void check_formula(const layout *l)
{
    current = l;
    int64_t size = l->head_size, query_row = size * l->options.num_heads, key_row = size * key_heads(l);
    double *q = noise(l->query_tokens * query_row, 0), *k = noise(l->key_tokens * key_row, 100000);
    double *v = noise(l->key_tokens * key_row, 200000);
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    ck_assert(!peft_context_open(&ctx, NULL, &error));
    ck_assert(!peft_graph_create(&g, &error));
    peft_tensor *in[] = {peft_constant(g, PEFT_F64, peft_shape_2(l->query_tokens, query_row), q, "q"),
                         peft_constant(g, PEFT_F64, peft_shape_2(l->key_tokens, key_row), k, "k"),
                         peft_constant(g, PEFT_F64, peft_shape_2(l->key_tokens, key_row), v, "v"),
                         peft_constant(g, PEFT_I32, peft_shape_1(l->num_starts), l->query_starts, "query_starts"),
                         peft_constant(g, PEFT_I32, peft_shape_1(l->num_starts), l->key_starts, "key_starts"),
                         NULL};
    double *bias = biased ? noise(l->options.num_heads * BIASED_QUERIES * BIASED_KEYS, 300000) : NULL;
    if (bias)
        in[5] =
            peft_constant(g, PEFT_F64, peft_shape_3(l->options.num_heads, BIASED_QUERIES, BIASED_KEYS), bias, "bias");
    peft_tensor *y = peft_graph_keep(g, attention(g, in));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    const double *all = read_values(g, y);
    double expected[16];
    for (int32_t s = 0; s + 1 < l->num_starts; s++)
        for (int64_t query = 0; query < l->query_starts[s + 1] - l->query_starts[s]; query++)
            for (int32_t head = 0; head < l->options.num_heads; head++) {
                naive_row(l, s, query, head, q, k, v, bias, expected);
                const double *found = all + (l->query_starts[s] + query) * query_row + head * size;
                for (int64_t d = 0; d < size; d++) ck_assert_double_eq_tol(found[d], expected[d], 1e-13);
            }
    peft_graph_free(g);
    peft_context_close(ctx);
    free(q);
    free(k);
    free(v);
    free(bias);
}

START_TEST(attention_is_what_its_formula_says)
{
    check_formula(&layouts[_i]);
}
END_TEST

START_TEST(a_bias_is_what_the_formula_says)
{
    biased = true;
    if (with_bias[_i].options.dropout > 0) return; /* which the formula does not have */
    check_formula(&with_bias[_i]);
}
END_TEST

/* With q = 0 all keys count alike, and v = I shows each probability: y_ij = M_ij / KEYS for query i and key j. */
enum { KEYS = 150, HEADS = 2 };

static void read_masks(const peft_attention_options *options, int64_t step, int64_t sequences, float *masks)
{
    int64_t tokens = sequences * KEYS, columns = HEADS * KEYS;
    float *zeros = calloc((size_t)(tokens * columns), sizeof *zeros);
    float *identity = calloc((size_t)(tokens * columns), sizeof *identity);
    int32_t *bounds = calloc((size_t)sequences + 1, sizeof *bounds);
    ck_assert(zeros && identity && bounds);
    for (int64_t s = 0; s <= sequences; s++) bounds[s] = (int32_t)(s * KEYS);
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t head = 0; head < HEADS; head++) identity[t * columns + head * KEYS + t % KEYS] = KEYS;
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    ck_assert(!peft_context_open(&ctx, NULL, &error));
    peft_context_set_step(ctx, step);
    ck_assert(!peft_graph_create(&g, &error));
    peft_tensor *q = peft_constant(g, PEFT_F32, peft_shape_2(tokens, columns), zeros, "q");
    peft_tensor *v = peft_constant(g, PEFT_F32, peft_shape_2(tokens, columns), identity, "v");
    peft_tensor *s = peft_constant(g, PEFT_I32, peft_shape_1(sequences + 1), bounds, "starts");
    peft_tensor *y = peft_graph_keep(g, peft_attention(g, q, q, v, s, NULL, options));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    memcpy(masks, read_values(g, y), (size_t)(tokens * columns) * sizeof *masks);
    peft_graph_free(g);
    peft_context_close(ctx);
    free(zeros);
    free(identity);
    free(bounds);
}

START_TEST(dropout_drops_with_its_probability)
{
    static float masks[KEYS][HEADS * KEYS];
    const double p = 0.3, kept = 1 / (1 - p), elements = KEYS * HEADS * KEYS;
    const peft_attention_options options = {.num_heads = HEADS, .dropout = p};
    double dropped = 0;
    read_masks(&options, 0, 1, &masks[0][0]);
    for (int i = 0; i < KEYS; i++)
        for (int j = 0; j < HEADS * KEYS; j++)
            if (masks[i][j] == 0)
                dropped++;
            else
                ck_assert_double_eq_tol((double)masks[i][j], kept, 2e-5); /* p is a multiple of 1 / 65536 */
    ck_assert_double_le(fabs(dropped - p * elements), 5 * sqrt(p * (1 - p) * elements));
}
END_TEST

START_TEST(masks_depend_on_the_position_in_the_global_batch_alone)
{
    enum { COUNT = KEYS * HEADS * KEYS };
    static float both[2 * COUNT], one[COUNT];
    const peft_attention_options options = {.num_heads = HEADS, .dropout = 0.3, .first_row = 1000};
    peft_attention_options second = options, other_stream = options;
    second.first_row += KEYS;
    other_stream.dropout_stream = 1;
    read_masks(&options, 7, 2, both);
    read_masks(&options, 7, 1, one);
    ck_assert_mem_eq(one, both, sizeof one);
    ck_assert_mem_ne(one, both + COUNT, sizeof one);
    read_masks(&second, 7, 1, one);
    ck_assert_mem_eq(one, both + COUNT, sizeof one);
    read_masks(&options, 8, 1, one);
    ck_assert_mem_ne(one, both, sizeof one);
    read_masks(&other_stream, 7, 1, one);
    ck_assert_mem_ne(one, both, sizeof one);
    ck_assert_mem_ne(both, both + KEYS, KEYS * sizeof *both); /* heads of a query */
}
END_TEST

static void refused(const layout *l, peft_status status, const char *message)
{
    current = l;
    op_case c = case_of(l);
    op_check_refused(&c, status, message);
}

START_TEST(wrong_arguments_are_refused)
{
    layout l = layouts[0];
    l.query_starts = short_of;
    refused(&l, PEFT_ERR_ARGUMENT, "attention: query_starts[3]: expected 8 tokens, found 7");
    l = layouts[0];
    l.key_starts = short_of;
    refused(&l, PEFT_ERR_ARGUMENT, "attention: key_starts[3]: expected 8 tokens, found 7");
    l = layouts[0];
    l.options.mask = PEFT_MASK_WINDOW;
    refused(&l, PEFT_ERR_ARGUMENT, "attention: window: expected 1 or more, found 0");
    l = layouts[0];
    l.options.scale = -1;
    refused(&l, PEFT_ERR_ARGUMENT, "attention: scale: expected more than 0, found -1");
    l = layouts[0];
    l.options.dropout = 1;
    refused(&l, PEFT_ERR_ARGUMENT, "attention: dropout: expected 0 <= p < 1, found 1");
}
END_TEST

/* ---- q, k and v in bf16 ---- */

enum { TOKENS = 371, MOST = TOKENS * 80 };

/* A graph of q, k and v, which something computes, and of their attention. */
typedef struct kept {
    float q[MOST], k[MOST], v[MOST], dy[MOST];
    peft_tensor *inputs[3], *y;
    peft_graph *g;
} kept;

static void describe_kept(kept *o, const peft_context *ctx, const layout *l, bool keeps_bf16)
{
    int64_t columns[] = {l->head_size * l->options.num_heads, l->head_size * key_heads(l)};
    float *values[] = {o->q, o->k, o->v};
    peft_tensor *in[5];
    peft_error error;
    ck_assert(!peft_graph_create(&o->g, &error));
    peft_graph_set_context(o->g, ctx);
    o->g->least_recalled_rows = 0;
    if (keeps_bf16) peft_graph_keep_bf16(o->g);
    for (int i = 0; i < 3; i++) {
        peft_shape shape = peft_shape_2(TOKENS, columns[i > 0]);
        for (int64_t k = 0; k < TOKENS * columns[i > 0]; k++) values[i][k] = (float)op_noise((uint64_t)(i * MOST + k));
        o->inputs[i] = peft_variable(o->g, PEFT_F32, shape, values[i], "input");
        in[i] = peft_scale(o->g, o->inputs[i], 2);
    }
    for (int64_t k = 0; k < TOKENS * columns[0]; k++) o->dy[k] = (float)op_noise((uint64_t)(3 * MOST + k));
    in[3] = in[4] = peft_constant(o->g, PEFT_I32, peft_shape_1(l->num_starts), l->query_starts, "starts");
    o->y = peft_graph_keep(o->g, peft_attention(o->g, in[0], in[1], in[2], in[3], in[4], &l->options));
    ck_assert_msg(!peft_graph_differentiate_from(o->g, o->y, o->dy, &error), "%s", error.message);
}

static void check_same(peft_graph *of_a, const peft_tensor *a, peft_graph *of_b, const peft_tensor *b)
{
    ck_assert_mem_eq(read_values(of_a, a), read_values(of_b, b), (size_t)peft_shape_count(&a->shape) * sizeof(float));
}

/* They are rounded before they are multiplied anyway: once, by a cast each, or wherever they are read. */
START_TEST(kept_in_bf16_they_give_the_same_bits)
{
    static const layout wide[] = {
        {TOKENS, TOKENS, 33, 4, long_starts, long_starts, {.num_heads = 2, .dropout = 0.1}},
        {TOKENS, TOKENS, 16, 4, long_starts, long_starts, {.num_heads = 5, .mask = PEFT_MASK_CAUSAL}},
        {TOKENS, TOKENS, 64, 4, long_starts, long_starts, {.num_heads = 1, .num_key_value_heads = 1}}};
    static kept rounded, whole;
    if (!peft_dtype_available(PEFT_BF16)) return;
    peft_error error;
    peft_context *ctx[2];
    const peft_context_options options = {.threads = 2, .dtype = PEFT_BF16};
    kept *both[] = {&rounded, &whole};
    for (int i = 0; i < 2; i++) {
        ck_assert(!peft_context_open(&ctx[i], &options, &error));
        describe_kept(both[i], ctx[i], &wide[_i], both[i] == &rounded);
        ck_assert_msg(!peft_graph_run(both[i]->g, ctx[i], &error), "%s", error.message);
    }
    check_same(rounded.g, rounded.y, whole.g, whole.y);
    for (int i = 0; i < 3; i++) check_same(rounded.g, rounded.inputs[i]->grad, whole.g, whole.inputs[i]->grad);
    int casts = 0;
    for (int32_t k = 0; k < rounded.g->num_steps; k++) casts += rounded.g->steps[k].node->op == PEFT_OP_cast;
    ck_assert_int_eq(casts, 3);
    for (int i = 0; i < 2; i++) {
        peft_graph_free(both[i]->g);
        peft_context_close(ctx[i]);
    }
}
END_TEST

START_TEST(contexts_of_another_type_do_not_read_them)
{
    static kept rounded;
    peft_error error;
    peft_context *ctx, *other;
    size_t bytes;
    const peft_context_options bf16 = {.dtype = PEFT_BF16};
    if (!peft_dtype_available(PEFT_BF16)) return;
    ck_assert(!peft_context_open(&ctx, &bf16, &error) && !peft_context_open(&other, NULL, &error));
    describe_kept(&rounded, ctx, &(layout){TOKENS, TOKENS, 64, 4, long_starts, long_starts, {.num_heads = 1}}, true);
    ck_assert_int_eq(peft_graph_plan(rounded.g, other, &bytes, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "plan: values of attention are kept in bf16, as another context has them; run the "
                                    "graph in the context that it was differentiated for");
    peft_graph_free(rounded.g);
    peft_context_close(other);
    peft_context_close(ctx);
}
END_TEST

TEST_MAIN("attention", tcase_add_loop_test(tc, kept_in_bf16_they_give_the_same_bits, 0, 3);
          tcase_add_test(tc, contexts_of_another_type_do_not_read_them);
          tcase_add_loop_test(tc, attention_is_right, 0, NUM_LAYOUTS);
          tcase_add_loop_test(tc, attention_is_what_its_formula_says, 0, NUM_LAYOUTS);
          tcase_add_loop_test(tc, a_bias_is_added, 0, sizeof with_bias / sizeof *with_bias);
          tcase_add_loop_test(tc, a_bias_is_what_the_formula_says, 0, sizeof with_bias / sizeof *with_bias);
          tcase_add_loop_test(tc, dropout_is_right, 0, NUM_DROPOUTS);
          tcase_add_test(tc, dropout_drops_with_its_probability);
          tcase_add_test(tc, masks_depend_on_the_position_in_the_global_batch_alone);
          tcase_add_test(tc, wrong_arguments_are_refused))
