/* Ops that move elements: reshape, permute, slice, concat; and stop_gradient. */
#include "tests/support/main.h"
#include "tests/support/op_apply.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

static struct {
    int32_t dim;
    int64_t begin, length;
} part; /* of the running test */

static peft_tensor *slice(peft_graph *g, peft_tensor *const *in)
{
    return peft_slice(g, in[0], part.dim, part.begin, part.length);
}

/* Two parts of one tensor: its gradient is added up. */
static peft_tensor *slices(peft_graph *g, peft_tensor *const *in)
{
    return peft_mul(g, peft_slice(g, in[0], 1, 0, 4), peft_slice(g, in[0], 1, 2, 4));
}

static peft_tensor *concat(peft_graph *g, peft_tensor *const *in)
{
    return peft_concat(g, part.dim, in, in[1] ? 3 : 1);
}

static peft_tensor *concat_same(peft_graph *g, peft_tensor *const *in)
{
    peft_tensor *parts[] = {in[0], in[1], in[0], in[0]};
    return peft_concat(g, part.dim, parts, 4);
}

static peft_tensor *permute(peft_graph *g, peft_tensor *const *in)
{
    static const int32_t orders[][4] = {{0}, {1, 0}, {2, 0, 1}, {0, 2, 1, 3}};
    return peft_permute(g, in[0], orders[in[0]->shape.ndim - 1]);
}

/* Its gradient is added to one that is there. */
static peft_tensor *permute_and_use(peft_graph *g, peft_tensor *const *in)
{
    static const int32_t swapped[] = {1, 0};
    return peft_matmul(g, in[0], false, peft_permute(g, in[0], swapped), false);
}

static peft_tensor *reshape(peft_graph *g, peft_tensor *const *in)
{
    return peft_reshape(g, in[0], peft_shape_2(5, 21));
}

/* A view of a view, used next to what it looks at. */
static peft_tensor *views(peft_graph *g, peft_tensor *const *in)
{
    peft_tensor *x = peft_scale(g, in[0], 2);
    peft_tensor *flat = peft_reshape(g, peft_reshape(g, x, peft_shape_2(5, 21)), peft_shape_1(105));
    peft_tensor *y = peft_mul(g, peft_activation(g, flat, PEFT_ACTIVATION_tanh), flat);
    return peft_add(g, peft_reshape(g, y, in[0]->shape), x);
}

static const struct {
    op_case c;
    int32_t dim;
    int64_t begin, length;
} cases[] = {
    {{"slice of the first dimension", slice, {SHAPE3(4, 5, 7)}, 0}, 0, 1, 2},
    {{"slice of the middle dimension", slice, {SHAPE3(4, 5, 7)}, 0}, 1, 2, 3},
    {{"slice of the last dimension", slice, {SHAPE3(4, 5, 7)}, 0}, 2, 6, 1},
    {{"slice of everything", slice, {SHAPE2(4, 5)}, 0}, 1, 0, 5},
    {{"slice of nothing", slice, {SHAPE2(4, 5)}, 0}, 1, 5, 0},
    {{"slice of several pieces", slice, {SHAPE2(301, 130)}, 0}, 1, 3, 101},
    {{"slices that overlap", slices, {SHAPE2(3, 7)}, 0}, 0, 0, 0},
    {{"concat of rows", concat, {SHAPE2(2, 5), SHAPE2(0, 5), SHAPE2(3, 5)}, 0}, 0, 0, 0},
    {{"concat of columns", concat, {SHAPE3(2, 3, 5), SHAPE3(2, 3, 1), SHAPE3(2, 3, 7)}, 0}, 2, 0, 0},
    {{"concat in the middle", concat, {SHAPE3(2, 3, 5), SHAPE3(2, 1, 5), SHAPE3(2, 4, 5)}, 0}, 1, 0, 0},
    {{"concat of one", concat, {SHAPE2(2, 5)}, 0}, 0, 0, 0},
    {{"concat of several pieces", concat, {SHAPE2(301, 130), SHAPE2(301, 1), SHAPE2(301, 7)}, 0}, 1, 0, 0},
    {{"concat of the same", concat_same, {SHAPE2(301, 130), SHAPE2(301, 3)}, 0}, 1, 0, 0},
    {{"permute a vector", permute, {SHAPE1(5)}, 0}, 0, 0, 0},
    {{"permute a matrix", permute, {SHAPE2(4, 5)}, 0}, 0, 0, 0},
    {{"permute of three", permute, {SHAPE3(4, 5, 7)}, 0}, 0, 0, 0},
    {{"permute of four", permute, {{.shape = {4, {2, 3, 4, 5}}}}, 0}, 0, 0, 0},
    {{"permute of none", permute, {SHAPE3(4, 0, 7)}, 0}, 0, 0, 0},
    {{"permute of several pieces", permute, {SHAPE2(301, 130)}, 0}, 0, 0, 0},
    {{"permute and use", permute_and_use, {SHAPE2(4, 5)}, 0}, 0, 0, 0},
    {{"reshape", reshape, {SHAPE3(3, 5, 7)}, 0}, 0, 0, 0},
    {{"views of views", views, {SHAPE3(3, 5, 7)}, 0}, 0, 0, 0},
};

START_TEST(elements_go_where_they_should)
{
    part.dim = cases[_i].dim;
    part.begin = cases[_i].begin;
    part.length = cases[_i].length;
    op_check(&cases[_i].c);
}
END_TEST

static void refuse_slice(int32_t dim, int64_t begin, int64_t length, const char *message)
{
    op_case c = {"slice", slice, {SHAPE2(4, 5)}, 0};
    part.dim = dim;
    part.begin = begin;
    part.length = length;
    op_check_refused(&c, PEFT_ERR_ARGUMENT, message);
}

static peft_tensor *x_times_constant_x(peft_graph *g, peft_tensor *x, const void *options)
{
    (void)options;
    peft_tensor *half = peft_scale(g, x, 0.5);
    return peft_mul(g, x, peft_add(g, peft_stop_gradient(g, half), peft_stop_gradient(g, half)));
}

/* d (x c) = c where c is x, but constant */
START_TEST(nothing_is_differentiated_through_stop_gradient)
{
    float x[] = {3, -2}, y[2], dx[2];
    op_run run = {.build = x_times_constant_x};
    op_apply(&run, peft_shape_1(2), x, y, dx);
    ck_assert(y[0] == 9 && y[1] == 4 && dx[0] == 3 && dx[1] == -2);
}
END_TEST

START_TEST(parts_outside_are_refused)
{
    refuse_slice(2, 0, 1, "slice: dimension: expected less than 2, found 2");
    refuse_slice(-1, 0, 1, "slice: dimension");
    refuse_slice(1, 3, 3, "slice: expected a part of 0 ... 5, found 3 from 3 on");
    refuse_slice(1, -1, 3, "slice: expected a part");
    refuse_slice(1, 1, -1, "slice: expected a part");
    refuse_slice(1, 2, INT64_MAX, "slice: expected a part");
}
END_TEST

static peft_tensor *permute_twice(peft_graph *g, peft_tensor *const *in)
{
    static const int32_t twice[] = {0, 2, 2};
    return peft_permute(g, in[0], twice);
}

/* y[c][a][b] = x[a][b][c] */
START_TEST(permuted_dimensions_have_their_new_places)
{
    static const float x[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    static const int32_t order[] = {2, 0, 1};
    peft_graph *g;
    peft_context *ctx;
    ck_assert(!peft_graph_create(&g, NULL) && !peft_context_open(&ctx, NULL, NULL));
    peft_tensor *t = peft_constant(g, PEFT_F32, peft_shape_3(1, 3, 4), x, "x");
    peft_tensor *y = peft_graph_keep(g, peft_permute(g, t, order));
    ck_assert(!peft_graph_run(g, ctx, NULL));
    ck_assert(y->shape.size[0] == 4 && y->shape.size[1] == 1 && y->shape.size[2] == 3);
    for (int c = 0; c < 4; c++)
        for (int b = 0; b < 3; b++) ck_assert(((const float *)read_values(g, y))[c * 3 + b] == x[b * 4 + c]);
    peft_graph_free(g);
    peft_context_close(ctx);
    op_case twice = {"permute", permute_twice, {SHAPE3(3, 5, 8)}, 0},
            few = {"permute", permute_twice, {SHAPE2(3, 5)}, 0};
    op_check_refused(&twice, PEFT_ERR_ARGUMENT, "permute: order: dimension 2 comes twice");
    op_check_refused(&few, PEFT_ERR_ARGUMENT, "permute: dimension: expected less than 2, found 2");
}
END_TEST

START_TEST(shapes_that_do_not_fit_are_refused)
{
    part.dim = 1;
    op_case columns = {"concat", concat, {SHAPE2(2, 5), SHAPE2(2, 5), SHAPE2(3, 5)}, 0};
    op_check_refused(&columns, PEFT_ERR_SHAPE, "concat: part: expected [2, any], found [3, 5]");
    op_case count = {"reshape", reshape, {SHAPE3(3, 5, 8)}, 0};
    op_check_refused(&count, PEFT_ERR_SHAPE, "reshape: x: [3, 5, 8] has not as many elements as [5, 21]");
}
END_TEST

TEST_MAIN("rearrange", tcase_add_loop_test(tc, elements_go_where_they_should, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, nothing_is_differentiated_through_stop_gradient);
          tcase_add_test(tc, parts_outside_are_refused); tcase_add_test(tc, permuted_dimensions_have_their_new_places);
          tcase_add_test(tc, shapes_that_do_not_fit_are_refused))
