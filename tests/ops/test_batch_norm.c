#include <math.h>

#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

static const double EPS = 1e-5;

static peft_tensor *batch_norm(peft_graph *g, peft_tensor *const *in)
{
    return peft_batch_norm(g, in[0], in[1], in[2], EPS, NULL);
}

static peft_tensor *by_moments(peft_graph *g, peft_tensor *const *in)
{
    return peft_batch_norm_by(g, in[0], (peft_moments){in[1], in[2]}, in[3], in[4], EPS);
}

static peft_tensor *one_group(peft_graph *g, peft_tensor *const *in)
{
    return peft_group_norm(g, in[0], 1, in[1], in[2], EPS);
}

static peft_tensor *three_groups(peft_graph *g, peft_tensor *const *in)
{
    return peft_group_norm(g, in[0], 3, in[1], in[2], EPS);
}

#define CONSTANT(n)                                                                                                    \
    {                                                                                                                  \
        .shape = {1, {n}}, .constant = true                                                                            \
    }
#define VARIANCE(n)                                                                                                    \
    {                                                                                                                  \
        .shape = {1, {n}}, .low = 0.5, .high = 2, .constant = true                                                     \
    }

static const op_case cases[] = {
    {"batch of one row", batch_norm, {SHAPE2(1, 5), SHAPE1(5), SHAPE1(5)}, 0},
    {"batch, odd sizes", batch_norm, {SHAPE3(2, 3, 19), SHAPE1(19), SHAPE1(19)}, 0},
    {"batch, frozen", batch_norm, {SHAPE2(7, 5), CONSTANT(5), CONSTANT(5)}, 0},
    {"batch, weights alone", batch_norm, {{.shape = {2, {7, 5}}, .constant = true}, SHAPE1(5), SHAPE1(5)}, 0},
    {"batch of several pieces", batch_norm, {SHAPE2(3001, 33), SHAPE1(33), SHAPE1(33)}, 0},
    {"by given moments", by_moments, {SHAPE3(2, 3, 5), CONSTANT(5), VARIANCE(5), SHAPE1(5), SHAPE1(5)}, 0},
    {"one group", one_group, {SHAPE3(3, 5, 6), SHAPE1(6), SHAPE1(6)}, 0},
    {"three groups", three_groups, {SHAPE3(3, 5, 6), SHAPE1(6), SHAPE1(6)}, 0},
};

START_TEST(norms_are_right)
{
    op_check(&cases[_i]);
}
END_TEST

/* Columns get mean 0 and variance 1 over the rows; groups over their columns and positions. */
START_TEST(columns_and_groups_are_normalised)
{
    enum { SAMPLES = 3, LENGTH = 40, COLUMNS = 6, ROWS = SAMPLES * LENGTH };
    float x[ROWS * COLUMNS], ones[COLUMNS], zeros[COLUMNS] = {0};
    for (int k = 0; k < ROWS * COLUMNS; k++) x[k] = 50 + (float)(k % COLUMNS) * (float)op_noise((uint64_t)k);
    for (int c = 0; c < COLUMNS; c++) ones[c] = 1, x[c] += 1;
    peft_error error = {0};
    peft_graph *g;
    peft_context *ctx;
    const peft_context_options options = {.threads = 2};
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, &options, &error));
    peft_tensor *in = peft_constant(g, PEFT_F32, peft_shape_3(SAMPLES, LENGTH, COLUMNS), x, "x");
    peft_tensor *weight = peft_constant(g, PEFT_F32, peft_shape_1(COLUMNS), ones, "weight");
    peft_tensor *bias = peft_constant(g, PEFT_F32, peft_shape_1(COLUMNS), zeros, "bias");
    peft_moments moments;
    peft_tensor *columns = peft_graph_keep(g, peft_batch_norm(g, in, weight, bias, 0, &moments));
    peft_tensor *groups = peft_graph_keep(g, peft_group_norm(g, in, 2, weight, bias, 0));
    ck_assert(!peft_graph_run(g, ctx, &error));
    for (int c = 1; c < COLUMNS; c++) {
        double mean = 0, variance = 0, of_x = 0;
        for (int r = 0; r < ROWS; r++) mean += (double)((const float *)read_values(g, columns))[r * COLUMNS + c] / ROWS;
        for (int r = 0; r < ROWS; r++)
            variance += pow((double)((const float *)read_values(g, columns))[r * COLUMNS + c], 2) / ROWS;
        for (int r = 0; r < ROWS; r++) of_x += (double)x[r * COLUMNS + c] / ROWS;
        ck_assert_double_eq_tol(mean, 0, 1e-5);
        ck_assert_double_eq_tol(variance, 1, 1e-5);
        ck_assert_double_eq_tol((double)((const float *)read_values(g, moments.mean))[c], of_x, 1e-4);
    }
    for (int s = 0; s < SAMPLES; s++)
        for (int group = 0; group < 2; group++) {
            double mean = 0, square = 0;
            for (int p = 0; p < LENGTH; p++)
                for (int c = 0; c < 3; c++) {
                    double y =
                        (double)((const float *)read_values(g, groups))[(s * LENGTH + p) * COLUMNS + 3 * group + c];
                    mean += y / (3 * LENGTH);
                    square += y * y / (3 * LENGTH);
                }
            ck_assert_double_eq_tol(mean, 0, 2e-4); /* half a digit of x is 2e-6 of its deviation */
            ck_assert_double_eq_tol(square, 1, 1e-4);
        }
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

static peft_tensor *four_groups(peft_graph *g, peft_tensor *const *in)
{
    return peft_group_norm(g, in[0], 4, in[1], in[2], EPS);
}

START_TEST(wrong_arguments_are_refused)
{
    op_case weight = {"weight", batch_norm, {SHAPE2(4, 5), SHAPE1(4), SHAPE1(5)}, 0};
    op_check_refused(&weight, PEFT_ERR_SHAPE, "batch_norm: weight: expected [5], found [4]");
    op_case rows = {"rows", batch_norm, {SHAPE2(0, 5), SHAPE1(5), SHAPE1(5)}, 0};
    op_check_refused(&rows, PEFT_ERR_SHAPE, "batch_norm: x: expected one row or more");
    op_case groups = {"groups", four_groups, {SHAPE3(3, 5, 6), SHAPE1(6), SHAPE1(6)}, 0};
    op_check_refused(&groups, PEFT_ERR_ARGUMENT, "group_norm: groups: expected a divisor of 6 columns, found 4");
}
END_TEST

TEST_MAIN("batch_norm", tcase_add_loop_test(tc, norms_are_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, columns_and_groups_are_normalised); tcase_add_test(tc, wrong_arguments_are_refused))
