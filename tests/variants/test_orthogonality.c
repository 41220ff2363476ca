/* The penalty is 0 for orthonormal rows or columns alone, and training on it alone leads there. */
#include "variants/orthogonality.h"

#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/optimizer.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

enum { ROWS = 4, COLUMNS = 7, COUNT = ROWS * COLUMNS };

typedef peft_tensor *penalty_function(peft_graph *g, peft_tensor *M, peft_gram gram);

static void fill(float *M)
{
    for (uint64_t k = 0; k < COUNT; k++) M[k] = (float)op_noise(k);
}

/* The penalty of M [rows, columns] and, unless NULL, its gradient, which is added to `gradient`. */
static double penalty_of(penalty_function *penalty, float *M, int64_t rows, int64_t columns, peft_gram gram,
                         float *gradient)
{
    peft_graph *g;
    peft_context *ctx;
    peft_error error = {0};
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    peft_tensor *leaf = peft_parameter(g, PEFT_F32, peft_shape_2(rows, columns), M, gradient, "M");
    peft_tensor *loss = peft_graph_keep(g, penalty(g, leaf, gram));
    if (gradient) ck_assert_msg(!peft_graph_differentiate(g, loss, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    double value = (double)*(const float *)read_values(g, loss);
    peft_graph_free(g);
    peft_context_close(ctx);
    return value;
}

static peft_tensor *beyond_rounding(peft_graph *g, peft_tensor *M, peft_gram gram)
{
    return peft_orthogonality_beyond(g, M, gram, 1e-6);
}

/* M M^T = [[5, 8], [8, 20]], so S = [[4, 8], [8, 19]]; M^T M = [[20, 8, 1], [8, 4, 0], [1, 0, 1]], and so on. */
START_TEST(it_is_the_square_of_the_distance_to_the_identity)
{
    float M[] = {2, 0, 1, 4, 2, 0};
    const double of_rows = 16 + 64 + 64 + 361, of_columns = 361 + 9 + 0 + 2 * (64 + 4 + 0);
    ck_assert_double_eq(penalty_of(peft_orthogonality, M, 2, 3, PEFT_GRAM_ROWS, NULL), of_rows);
    ck_assert_double_eq(penalty_of(peft_orthogonality, M, 2, 3, PEFT_GRAM_COLUMNS, NULL), of_columns);
    ck_assert_double_eq_tol(penalty_of(peft_orthogonality_norm, M, 2, 3, PEFT_GRAM_ROWS, NULL), sqrt(of_rows), 1e-5);
}
END_TEST

START_TEST(what_rounding_leaves_has_neither_penalty_nor_gradient)
{
    float M[] = {0, 1, 3e-7F, 1e-7F, 2e-7F, -1.0000002F}, gradient[6] = {0};
    ck_assert_double_gt(penalty_of(peft_orthogonality, M, 2, 3, PEFT_GRAM_ROWS, NULL), 0);
    ck_assert_double_eq(penalty_of(beyond_rounding, M, 2, 3, PEFT_GRAM_ROWS, gradient), 0);
    ck_assert_double_eq(penalty_of(beyond_rounding, M, 2, 3, PEFT_GRAM_COLUMNS, gradient), 1);
    for (int k = 0; k < 6; k++) ck_assert(gradient[k] == 0);
    M[4] = 0.5F; /* S is [[0, 0.5], [0.5, 0.25]] */
    ck_assert_double_eq_tol(penalty_of(beyond_rounding, M, 2, 3, PEFT_GRAM_ROWS, NULL), 0.5625, 1e-5);
}
END_TEST

START_TEST(orthonormal_rows_have_neither_penalty_nor_gradient)
{
    float M[] = {0, 1, 0, 0, 0, -1}, gradient[6] = {0};
    penalty_function *const forms[] = {peft_orthogonality, peft_orthogonality_norm};
    for (int form = 0; form < 2; form++) {
        ck_assert_double_eq(penalty_of(forms[form], M, 2, 3, PEFT_GRAM_ROWS, gradient), 0);
        for (int k = 0; k < 6; k++) ck_assert(gradient[k] == 0);
    }
}
END_TEST

START_TEST(orthonormalized_matrices_have_no_penalty)
{
    float M[COUNT];
    fill(M);
    peft_orthonormalize(M, ROWS, COLUMNS);
    ck_assert_double_le(penalty_of(peft_orthogonality_norm, M, ROWS, COLUMNS, PEFT_GRAM_ROWS, NULL), 1e-6);
    fill(M);
    peft_orthonormalize(M, COLUMNS, ROWS);
    ck_assert_double_le(penalty_of(peft_orthogonality_norm, M, COLUMNS, ROWS, PEFT_GRAM_COLUMNS, NULL), 1e-6);
}
END_TEST

/* 4 rows of 7 can be orthonormal; 7 columns of 4 numbers cannot: at best 4 of them are, and 3 are missing. */
START_TEST(training_on_the_penalty_alone_leads_to_its_least_value)
{
    static const struct {
        peft_gram gram;
        double least;
    } ends[] = {{PEFT_GRAM_ROWS, 0}, {PEFT_GRAM_COLUMNS, COLUMNS - ROWS}};
    enum { STEPS = 2000 };
    const double first_rate = 0.02;
    float M[COUNT], gradient[COUNT];
    double penalty = 0;
    fill(M);
    peft_optimizer *optimizer;
    const peft_optimizer_parameter parameter = {M, gradient, COUNT, 1, 0};
    ck_assert(!peft_optimizer_create(&optimizer, NULL, &parameter, 1, NULL));
    for (int step = 0; step < STEPS; step++) {
        memset(gradient, 0, sizeof gradient);
        penalty = penalty_of(peft_orthogonality, M, ROWS, COLUMNS, ends[_i].gram, gradient);
        ck_assert(!peft_optimizer_step(optimizer, first_rate * (1 - (double)step / STEPS), NULL));
    }
    ck_assert_double_eq_tol(penalty, ends[_i].least, 1e-4);
    peft_optimizer_free(optimizer);
}
END_TEST

TEST_MAIN("orthogonality", tcase_add_test(tc, it_is_the_square_of_the_distance_to_the_identity);
          tcase_add_test(tc, what_rounding_leaves_has_neither_penalty_nor_gradient);
          tcase_add_test(tc, orthonormal_rows_have_neither_penalty_nor_gradient);
          tcase_add_test(tc, orthonormalized_matrices_have_no_penalty);
          tcase_add_loop_test(tc, training_on_the_penalty_alone_leads_to_its_least_value, 0, 2))
