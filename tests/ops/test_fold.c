#include "tests/support/main.h"
#include "tests/support/op_apply.h"
#include "tests/support/op_check.h"

enum { COLUMNS = 7 };

static peft_tensor *wrapped(peft_graph *g, peft_tensor *const *in)
{
    return peft_fold(g, in[0], COLUMNS, PEFT_FOLD_WRAPPED);
}

static peft_tensor *grouped(peft_graph *g, peft_tensor *const *in)
{
    return peft_fold(g, in[0], COLUMNS, PEFT_FOLD_GROUPED);
}

/* Between neighbours that work row by row, so that the rows come in tiles; and there and back again. */
static peft_tensor *in_a_chain(peft_graph *g, peft_tensor *const *in)
{
    peft_tensor *x = peft_activation(g, in[0], PEFT_ACTIVATION_gelu);
    peft_tensor *few = peft_fold(g, peft_fold(g, x, COLUMNS, PEFT_FOLD_WRAPPED), 3, PEFT_FOLD_GROUPED);
    peft_tensor *many = peft_fold(g, peft_fold(g, few, 8, PEFT_FOLD_GROUPED), 50, PEFT_FOLD_WRAPPED);
    return peft_activation(g, peft_add(g, many, x), PEFT_ACTIVATION_tanh);
}

static const op_case cases[] = {
    {"wrapped: one column", wrapped, {SHAPE2(3, 1)}, 0},
    {"wrapped: repeated and cut off", wrapped, {SHAPE2(5, 3)}, 0},
    {"wrapped: one turn and a part", wrapped, {SHAPE2(5, 9)}, 0},
    {"wrapped: whole turns", wrapped, {SHAPE2(5, 21)}, 0},
    {"wrapped: no rows", wrapped, {SHAPE2(0, 9)}, 0},
    {"wrapped: a vector", wrapped, {SHAPE1(40)}, 0},
    {"wrapped: several pieces", wrapped, {SHAPE3(9, 101, 65)}, 0},
    {"grouped: one column", grouped, {SHAPE2(3, 1)}, 0},
    {"grouped: repeated", grouped, {SHAPE2(5, 3)}, 0},
    {"grouped: groups of two sizes", grouped, {SHAPE2(5, 17)}, 0},
    {"grouped: groups of one size", grouped, {SHAPE2(5, 21)}, 0},
    {"grouped: several pieces", grouped, {SHAPE3(9, 101, 65)}, 0},
    {"in a chain", in_a_chain, {SHAPE2(301, 50)}, 0},
};

START_TEST(fold_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

typedef struct fold_options {
    int64_t columns;
    peft_fold_layout layout;
} fold_options;

static peft_tensor *apply_fold(peft_graph *g, peft_tensor *x, const void *options)
{
    const fold_options *o = options;
    return peft_fold(g, x, o->columns, o->layout);
}

/* By hand, from the definition. */
static const struct {
    fold_options options;
    float y[8];
} examples[] = {
    {{3, PEFT_FOLD_WRAPPED}, {1 + 4, 2 + 5, 3 + 1}},    /* the second turn ends with the first column again */
    {{2, PEFT_FOLD_WRAPPED}, {1 + 3 + 5, 2 + 4 + 1}},   /* so does the third */
    {{8, PEFT_FOLD_WRAPPED}, {1, 2, 3, 4, 5, 1, 2, 3}}, /* repeated as far as there is room */
    {{2, PEFT_FOLD_GROUPED}, {1 + 2 + 3, 4 + 5}},       /* the first group is the larger one */
    {{3, PEFT_FOLD_GROUPED}, {1 + 2, 3 + 4, 5}},        {{8, PEFT_FOLD_GROUPED}, {1, 1, 2, 2, 3, 3, 4, 5}},
};

START_TEST(columns_fall_where_the_layout_says)
{
    const float x[] = {1, 2, 3, 4, 5};
    float y[8];
    op_run run = {.build = apply_fold, .options = &examples[_i].options};
    op_apply(&run, peft_shape_1(5), x, y, NULL);
    ck_assert_mem_eq(y, examples[_i].y, (size_t)examples[_i].options.columns * sizeof *y);
}
END_TEST

static peft_tensor *into_none(peft_graph *g, peft_tensor *const *in)
{
    return peft_fold(g, in[0], 0, PEFT_FOLD_WRAPPED);
}

START_TEST(no_columns_are_refused)
{
    static const op_case none[] = {{"into none", into_none, {SHAPE2(2, 3)}, 0},
                                   {"of none", wrapped, {SHAPE2(2, 0)}, 0}};
    op_check_refused(&none[_i], PEFT_ERR_ARGUMENT, "fold: expected columns");
}
END_TEST

TEST_MAIN("fold", tcase_add_loop_test(tc, fold_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_loop_test(tc, columns_fall_where_the_layout_says, 0, sizeof examples / sizeof *examples);
          tcase_add_loop_test(tc, no_columns_are_refused, 0, 2))
