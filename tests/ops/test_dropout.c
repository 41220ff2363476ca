#include <math.h>

#include "ops/rng.h"
#include "tests/support/main.h"
#include "tests/support/op_apply.h"
#include "tests/support/op_check.h"

enum { ROWS = 100, COLUMNS = 300 }; /* of the masks looked at: some blocks and a part */
static const double P = 0.1;

static peft_tensor *dropout(peft_graph *g, peft_tensor *const *in)
{
    return peft_dropout(g, in[0], 0.3, 5, 1000);
}

static peft_tensor *between(peft_graph *g, peft_tensor *const *in)
{
    return peft_scale(g, peft_dropout(g, peft_scale(g, in[0], 1.5), 0.5, 5, 0), -2);
}

static peft_tensor *rows(peft_graph *g, peft_tensor *const *in)
{
    return peft_dropout_units(g, in[0], PEFT_DROP_ROWS, 0.3, 5, 1000);
}

static peft_tensor *columns(peft_graph *g, peft_tensor *const *in)
{
    return peft_dropout_units(g, in[0], PEFT_DROP_COLUMNS, 0.3, 5, 1000);
}

static const op_case cases[] = {
    {"one element", dropout, {SHAPE1(1)}, 0},          {"no rows", dropout, {SHAPE2(0, 3)}, 0},
    {"odd sizes", dropout, {SHAPE3(2, 3, 37)}, 0},     {"rows", rows, {SHAPE2(9, 133)}, 0},
    {"columns", columns, {SHAPE2(301, 133)}, 0},       {"in place", between, {SHAPE2(9, 33)}, 0},
    {"several pieces", dropout, {SHAPE2(301, 130)}, 0}};

START_TEST(dropout_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

typedef struct settings {
    double p;
    uint64_t stream;
    int64_t first_row;
    peft_dropout_unit unit;
} settings;

static peft_tensor *apply_dropout(peft_graph *g, peft_tensor *x, const void *options)
{
    const settings *s = options;
    return peft_dropout_units(g, x, s->unit, s->p, s->stream, s->first_row);
}

typedef struct mask {
    float values[ROWS * COLUMNS];
} mask;

static const settings usual = {0.1, 3, 0, PEFT_DROP_ELEMENTS};

/* The mask itself: dropout of ones. */
static mask mask_of(uint64_t seed, int64_t step, const settings *s, const char *backend)
{
    mask ones, m, dm;
    for (int k = 0; k < ROWS * COLUMNS; k++) ones.values[k] = 1;
    op_run run = {.backend = backend, .seed = seed, .step = step, .build = apply_dropout, .options = s};
    op_apply(&run, peft_shape_2(ROWS, COLUMNS), ones.values, m.values, dm.values);
    ck_assert_mem_eq(&m, &dm, sizeof m); /* backward has the same mask */
    return m;
}

START_TEST(the_fraction_that_is_kept_is_right)
{
    mask m = mask_of(1, 2, &usual, NULL);
    int kept = 0;
    double scale = 65536.0 / (65536 - 6554);
    for (int k = 0; k < ROWS * COLUMNS; k++) {
        ck_assert(m.values[k] == 0 || m.values[k] == (float)scale);
        kept += m.values[k] != 0;
    }
    double sd = sqrt(ROWS * COLUMNS * P * (1 - P));
    ck_assert_double_eq_tol(kept, ROWS * COLUMNS * (1 - P), 4 * sd);
}
END_TEST

/* What ops/rng.h and ops/cpu/kernels/mask.h say, with peft_philox. */
START_TEST(the_mask_is_the_documented_function)
{
    const settings s = {0.1, 3, 1LL << 33, PEFT_DROP_ELEMENTS};
    mask m = mask_of(1, 2, &s, NULL);
    uint64_t key = peft_random_u64(1, 3, 2);
    for (uint64_t row = 0; row < ROWS; row++)
        for (uint32_t column = 0; column < COLUMNS; column++) {
            uint32_t at = column % 64, counter = column / 64 * 8 + at % 32 / 4;
            uint64_t global = (1ULL << 33) + row;
            uint32_t words[4] = {counter, 0, (uint32_t)global, (uint32_t)(global >> 32)};
            peft_philox(key, words, words);
            uint32_t bits = words[at / 32 * 2 + at % 4 / 2] >> (16 * (at % 2)) & 0xffff;
            ck_assert_int_eq(m.values[row * COLUMNS + column] != 0, bits >= 6554);
        }
}
END_TEST

START_TEST(every_backend_and_double_have_the_same_mask)
{
    mask first = mask_of(1, 2, &usual, "portable");
    for (int k = 0; peft_backend_name(k); k++) {
        if (!peft_backend_available(peft_backend_name(k))) continue;
        mask m = mask_of(1, 2, &usual, peft_backend_name(k));
        ck_assert_mem_eq(&m, &first, sizeof m);
    }
    static double ones[ROWS * COLUMNS], wide[ROWS * COLUMNS];
    for (int k = 0; k < ROWS * COLUMNS; k++) ones[k] = 1;
    op_run run = {.dtype = PEFT_F64, .seed = 1, .step = 2, .build = apply_dropout, .options = &usual};
    op_apply(&run, peft_shape_2(ROWS, COLUMNS), ones, wide, NULL);
    for (int k = 0; k < ROWS * COLUMNS; k++) ck_assert((float)wide[k] == first.values[k]);
}
END_TEST

START_TEST(a_batch_may_be_cut_anywhere)
{
    enum { CUT = 37 };
    mask whole = mask_of(1, 2, &usual, NULL);
    settings later = usual;
    later.first_row = CUT;
    mask rest = mask_of(1, 2, &later, NULL);
    ck_assert_mem_eq(rest.values, whole.values + CUT * COLUMNS, (ROWS - CUT) * COLUMNS * sizeof(float));
}
END_TEST

/* Two independent masks agree where both keep or both drop: a fraction of 0.82. */
START_TEST(other_keys_give_other_masks)
{
    mask first = mask_of(1, 2, &usual, NULL);
    const settings other_stream = {0.1, 4, 0, PEFT_DROP_ELEMENTS};
    const settings other_rows = {0.1, 3, 1 << 20, PEFT_DROP_ELEMENTS};
    const mask others[] = {mask_of(2, 2, &usual, NULL), mask_of(1, 3, &usual, NULL), mask_of(1, 2, &other_stream, NULL),
                           mask_of(1, 2, &other_rows, NULL)};
    double expected = P * P + (1 - P) * (1 - P), sd = sqrt(expected * (1 - expected) / (ROWS * COLUMNS));
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        int same = 0;
        for (int j = 0; j < ROWS * COLUMNS; j++) same += others[k].values[j] == first.values[j];
        ck_assert_double_eq_tol((double)same / (ROWS * COLUMNS), expected, 4 * sd);
    }
}
END_TEST

/* Whole rows have the draw of their first column, whole columns that of the first row. */
START_TEST(rows_columns_and_all_are_dropped_together)
{
    mask elements = mask_of(1, 2, &usual, NULL);
    for (int unit = PEFT_DROP_ROWS; unit <= PEFT_DROP_ALL; unit++) {
        const settings s = {0.1, 3, 0, (peft_dropout_unit)unit};
        mask m = mask_of(1, 2, &s, NULL);
        for (int row = 0; row < ROWS; row++)
            for (int column = 0; column < COLUMNS; column++) {
                int from = (unit & PEFT_DROP_COLUMNS ? 0 : row) * COLUMNS + (unit & PEFT_DROP_ROWS ? 0 : column);
                ck_assert(m.values[row * COLUMNS + column] == elements.values[from]);
            }
    }
}
END_TEST

START_TEST(probabilities_at_the_ends)
{
    const float x[] = {1, 2, 3};
    float y[3];
    settings s = {0, 3, 0, PEFT_DROP_ELEMENTS};
    op_run run = {.build = apply_dropout, .options = &s};
    op_apply(&run, peft_shape_1(3), x, y, NULL);
    ck_assert_mem_eq(x, y, sizeof x);
    s.p = 0.99999999; /* no 1 / 0 */
    mask m = mask_of(1, 2, &s, NULL);
    for (int k = 0; k < ROWS * COLUMNS; k++) ck_assert(m.values[k] == 0 || m.values[k] == 65536);
}
END_TEST

static double refused_p;

static peft_tensor *refused(peft_graph *g, peft_tensor *const *in)
{
    return peft_dropout(g, in[0], refused_p, 0, 0);
}

START_TEST(probabilities_outside_are_refused)
{
    const double outside[] = {-0.1, 1, 1.5, (double)NAN};
    op_case c = {"p", refused, {SHAPE1(3)}, 0};
    for (size_t k = 0; k < sizeof outside / sizeof *outside; k++) {
        refused_p = outside[k];
        op_check_refused(&c, PEFT_ERR_ARGUMENT, "dropout: p: expected 0 <= p < 1");
    }
}
END_TEST

TEST_MAIN("dropout", tcase_add_loop_test(tc, dropout_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, the_fraction_that_is_kept_is_right);
          tcase_add_test(tc, the_mask_is_the_documented_function);
          tcase_add_test(tc, every_backend_and_double_have_the_same_mask);
          tcase_add_test(tc, a_batch_may_be_cut_anywhere); tcase_add_test(tc, other_keys_give_other_masks);
          tcase_add_test(tc, rows_columns_and_all_are_dropped_together); tcase_add_test(tc, probabilities_at_the_ends);
          tcase_add_test(tc, probabilities_outside_are_refused))
