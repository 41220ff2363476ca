/* Cross-entropy of a product that is never there as a whole: that of the product. */
#include <math.h>
#include <string.h>

#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

static const int32_t few_labels[] = {2, 0, -100, 4}, none[] = {-1, -1, -100, -1}, too_large[] = {2, 0, 5, 1};

enum { MANY_ROWS = 133, MANY_CLASSES = 1030 }; /* more than a tile, in both directions */
static int32_t many_labels[MANY_ROWS];

static void setup(void)
{
    for (int n = 0; n < MANY_ROWS; n++) many_labels[n] = n % 4 == 3 ? -100 : (n * 97) % MANY_CLASSES;
    many_labels[0] = MANY_CLASSES - 1;
}

static peft_tensor *mean(peft_graph *g, peft_tensor *const *in)
{
    return peft_linear_cross_entropy(g, in[0], in[1], in[3], in[2], 0, 0);
}

static peft_tensor *smoothed(peft_graph *g, peft_tensor *const *in)
{
    return peft_linear_cross_entropy(g, in[0], in[1], in[3], in[2], 0.2, 0);
}

static peft_tensor *of_a_larger_batch(peft_graph *g, peft_tensor *const *in)
{
    return peft_linear_cross_entropy(g, in[0], in[1], in[3], in[2], 0.1, 300);
}

#define LABELS(rows, values)                                                                                           \
    {                                                                                                                  \
        .shape = {1, {rows}}, .indices = values                                                                        \
    }
#define FROZEN(rows, columns)                                                                                          \
    {                                                                                                                  \
        .shape = {2, {rows, columns}}, .constant = true                                                                \
    }

static const op_case cases[] = {
    {"mean", mean, {SHAPE2(4, 3), SHAPE2(5, 3), LABELS(4, few_labels)}, 0},
    {"bias", mean, {SHAPE2(4, 3), SHAPE2(5, 3), LABELS(4, few_labels), SHAPE1(5)}, 0},
    {"smoothing", smoothed, {SHAPE2(4, 3), SHAPE2(5, 3), LABELS(4, few_labels), SHAPE1(5)}, 0},
    {"frozen weight", smoothed, {SHAPE2(4, 3), FROZEN(5, 3), LABELS(4, few_labels)}, 0},
    {"frozen input", smoothed, {FROZEN(4, 3), SHAPE2(5, 3), LABELS(4, few_labels), SHAPE1(5)}, 0},
    {"given normalizer, no row counts", of_a_larger_batch, {SHAPE2(4, 3), SHAPE2(5, 3), LABELS(4, none), SHAPE1(5)}, 0},
    {"several tiles",
     smoothed,
     {SHAPE2(MANY_ROWS, 7), SHAPE2(MANY_CLASSES, 7), LABELS(MANY_ROWS, many_labels), SHAPE1(MANY_CLASSES)},
     0},
};

START_TEST(linear_cross_entropy_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

/* In double, the difference to cross-entropy of the logits, and of its gradients, is 0. */
static peft_tensor *difference(peft_graph *g, peft_tensor *const *in)
{
    peft_tensor *logits = peft_linear(g, in[0], in[1], in[3]);
    peft_tensor *whole = peft_cross_entropy(g, logits, in[2], NULL, 0.2, 0);
    return peft_add(g, smoothed(g, in), peft_scale(g, whole, -1));
}

static void check_zero(peft_graph *g, const peft_tensor *t)
{
    for (int64_t k = 0; k < peft_shape_count(&t->shape); k++)
        ck_assert_double_le(fabs(((const double *)read_values(g, t))[k]), 1e-13);
}

START_TEST(it_is_cross_entropy_of_a_product)
{
    enum { FEATURES = 7 };
    static double x[MANY_ROWS * FEATURES], W[MANY_CLASSES * FEATURES], b[MANY_CLASSES];
    peft_graph *g;
    peft_context *ctx;
    peft_error error;
    for (int k = 0; k < MANY_ROWS * FEATURES; k++) x[k] = op_noise((uint64_t)k);
    for (int k = 0; k < MANY_CLASSES * FEATURES; k++) W[k] = op_noise(10000 + (uint64_t)k);
    for (int k = 0; k < MANY_CLASSES; k++) b[k] = op_noise(50000 + (uint64_t)k);
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    peft_tensor *in[] = {
        peft_variable(g, PEFT_F64, peft_shape_2(MANY_ROWS, FEATURES), x, "x"),
        peft_variable(g, PEFT_F64, peft_shape_2(MANY_CLASSES, FEATURES), W, "W"),
        peft_constant(g, PEFT_I32, peft_shape_1(MANY_ROWS), many_labels, "labels"),
        peft_variable(g, PEFT_F64, peft_shape_1(MANY_CLASSES), b, "b"),
    };
    peft_tensor *off = peft_graph_keep(g, difference(g, in));
    ck_assert_msg(!peft_graph_differentiate(g, off, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    check_zero(g, off);
    check_zero(g, in[0]->grad);
    check_zero(g, in[1]->grad);
    check_zero(g, in[3]->grad);
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

static size_t planned(bool whole)
{
    enum { ROWS = 512, CLASSES = 30000, FEATURES = 64 };
    static float x[ROWS * FEATURES], dx[ROWS * FEATURES], W[CLASSES * FEATURES];
    static int32_t labels[ROWS];
    peft_graph *g;
    peft_context *ctx;
    peft_error error;
    size_t bytes;
    ck_assert(!peft_graph_create(&g, &error));
    ck_assert(!peft_context_open(&ctx, &(peft_context_options){.threads = 2}, &error));
    peft_tensor *input = peft_parameter(g, PEFT_F32, peft_shape_2(ROWS, FEATURES), x, dx, "x");
    peft_tensor *weight = peft_constant(g, PEFT_F32, peft_shape_2(CLASSES, FEATURES), W, "W");
    peft_tensor *wanted = peft_constant(g, PEFT_I32, peft_shape_1(ROWS), labels, "labels");
    peft_tensor *loss = whole ? peft_cross_entropy(g, peft_linear(g, input, weight, NULL), wanted, NULL, 0, 0)
                              : peft_linear_cross_entropy(g, input, weight, NULL, wanted, 0, 0);
    ck_assert(!peft_graph_differentiate(g, loss, &error) && !peft_graph_plan(g, ctx, &bytes, &error));
    peft_graph_free(g);
    peft_context_close(ctx);
    return bytes;
}

/* 512 rows of 30,000 logits are 61 MB, and so are their gradients. */
START_TEST(the_plan_has_no_room_for_the_product)
{
    ck_assert_uint_ge(planned(true), 512 * 30000 * sizeof(float));
    ck_assert_uint_le(planned(false), 2 << 20);
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    const op_case width = {"width", mean, {SHAPE2(4, 3), SHAPE2(5, 2), LABELS(4, few_labels)}, 0};
    const op_case bias = {"bias", mean, {SHAPE2(4, 3), SHAPE2(5, 3), LABELS(4, few_labels), SHAPE1(4)}, 0};
    op_check_refused(&width, PEFT_ERR_SHAPE, "linear_cross_entropy: weight: expected [any, 3], found [5, 2]");
    op_check_refused(&bias, PEFT_ERR_SHAPE, "linear_cross_entropy: bias: expected [5], found [4]");
}
END_TEST

static void run_labels(const int32_t *labels, const char *message)
{
    const float x[4 * 3] = {0}, W[5 * 3] = {0};
    peft_graph *g;
    peft_context *ctx;
    peft_error error;
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    peft_linear_cross_entropy(g, peft_constant(g, PEFT_F32, peft_shape_2(4, 3), x, "x"),
                              peft_constant(g, PEFT_F32, peft_shape_2(5, 3), W, "W"), NULL,
                              peft_constant(g, PEFT_I32, peft_shape_1(4), labels, "labels"), 0, 0);
    peft_status status = peft_graph_run(g, ctx, &error);
    ck_assert_int_eq(status == PEFT_OK ? peft_graph_wait(g, &error) : status, PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, message));
    peft_graph_free(g);
    peft_context_close(ctx);
}

START_TEST(labels_that_cannot_be_fail_the_run)
{
    run_labels(too_large, "labels[2]: expected less than 5 classes, found 5");
    run_labels(none, "sum to 0, so there is no mean");
}
END_TEST

TEST_MAIN("linear_cross_entropy", tcase_add_checked_fixture(tc, setup, NULL);
          tcase_add_loop_test(tc, linear_cross_entropy_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, it_is_cross_entropy_of_a_product);
          tcase_add_test(tc, the_plan_has_no_room_for_the_product); tcase_add_test(tc, what_does_not_fit_is_refused);
          tcase_add_test(tc, labels_that_cannot_be_fail_the_run))
