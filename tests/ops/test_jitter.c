#include <math.h>

#include "ops/rng.h"
#include "tests/support/main.h"
#include "tests/support/op_apply.h"
#include "tests/support/op_check.h"

enum { ROWS = 60, COLUMNS = 300 }; /* of the factors looked at: two blocks and a part */
static const double SPREAD = 0.25;

static peft_tensor *jitter(peft_graph *g, peft_tensor *const *in)
{
    return peft_jitter(g, in[0], 0.3, 5, 1000);
}

static peft_tensor *between(peft_graph *g, peft_tensor *const *in)
{
    return peft_scale(g, peft_jitter(g, peft_scale(g, in[0], 1.5), 0.5, 5, 0), -2);
}

static const op_case cases[] = {{"one element", jitter, {SHAPE1(1)}, 0},
                                {"no rows", jitter, {SHAPE2(0, 3)}, 0},
                                {"odd sizes", jitter, {SHAPE3(2, 3, 37)}, 0},
                                {"in place", between, {SHAPE2(9, 33)}, 0},
                                {"several pieces", jitter, {SHAPE2(301, 130)}, 0}};

START_TEST(jitter_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

static peft_tensor *from_row(peft_graph *g, peft_tensor *x, const void *first_row)
{
    return peft_jitter(g, x, SPREAD, 3, *(const int64_t *)first_row);
}

typedef struct factors {
    float values[ROWS * COLUMNS];
} factors;

/* The factors themselves: of ones. */
static factors factors_of(int64_t step, int64_t first_row)
{
    factors ones, f, df;
    for (int k = 0; k < ROWS * COLUMNS; k++) ones.values[k] = 1;
    op_run run = {.seed = 1, .step = step, .build = from_row, .options = &first_row};
    op_apply(&run, peft_shape_2(ROWS, COLUMNS), ones.values, f.values, df.values);
    ck_assert_mem_eq(&f, &df, sizeof f); /* backward has the same */
    return f;
}

/* A uniform distribution in 1 - d ... 1 + d has mean 1 and variance d^2 / 3. */
START_TEST(factors_are_uniform_around_one)
{
    factors f = factors_of(2, 0);
    double sum = 0, squares = 0, count = ROWS * COLUMNS, variance = SPREAD * SPREAD / 3;
    for (int k = 0; k < ROWS * COLUMNS; k++) {
        double off = (double)f.values[k] - 1;
        ck_assert_double_le(fabs(off), SPREAD);
        sum += off;
        squares += off * off;
    }
    ck_assert_double_eq_tol(sum / count, 0, 4 * sqrt(variance / count));
    ck_assert_double_eq_tol(squares / count / variance, 1, 0.05);
}
END_TEST

/* The bits of ops/cpu/kernels/mask.h, by peft_philox. */
START_TEST(a_factor_is_the_documented_function)
{
    factors f = factors_of(2, 7);
    uint64_t key = peft_random_u64(1, 3, 2);
    for (uint32_t row = 0; row < ROWS; row++)
        for (uint32_t column = 0; column < COLUMNS; column++) {
            uint32_t at = column % 64, words[4] = {column / 64 * 8 + at % 32 / 4, 0, 7 + row, 0};
            peft_philox(key, words, words);
            uint32_t bits = words[at / 32 * 2 + at % 4 / 2] >> (16 * (at % 2)) & 0xffff;
            double expected = 1 + SPREAD * (2 * (bits + 0.5) / 65536 - 1);
            ck_assert_double_eq_tol((double)f.values[row * COLUMNS + column], expected, 1e-6);
        }
}
END_TEST

START_TEST(a_batch_may_be_cut_anywhere)
{
    enum { CUT = 37 };
    factors whole = factors_of(2, 0), rest = factors_of(2, CUT), other = factors_of(3, 0);
    ck_assert_mem_eq(rest.values, whole.values + CUT * COLUMNS, (ROWS - CUT) * COLUMNS * sizeof(float));
    ck_assert_mem_ne(other.values, whole.values, sizeof other);
}
END_TEST

static peft_tensor *none(peft_graph *g, peft_tensor *const *in)
{
    return peft_jitter(g, in[0], 0, 5, 0);
}

static peft_tensor *all(peft_graph *g, peft_tensor *const *in)
{
    return peft_jitter(g, in[0], 1, 5, 0);
}

START_TEST(no_spread_is_no_op_and_too_much_is_refused)
{
    op_case nothing = {"none", none, {SHAPE1(3)}, 0}, much = {"all", all, {SHAPE1(3)}, 0};
    peft_graph *g;
    const float one[] = {1};
    ck_assert(!peft_graph_create(&g, NULL));
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_1(1), one, "x");
    ck_assert_ptr_eq(nothing.build(g, &x), x);
    peft_graph_free(g);
    op_check_refused(&much, PEFT_ERR_ARGUMENT, "jitter: spread: expected 0 <= spread < 1, found 1");
}
END_TEST

TEST_MAIN("jitter", tcase_add_loop_test(tc, jitter_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, factors_are_uniform_around_one); tcase_add_test(tc, a_factor_is_the_documented_function);
          tcase_add_test(tc, a_batch_may_be_cut_anywhere);
          tcase_add_test(tc, no_spread_is_no_op_and_too_much_is_refused))
