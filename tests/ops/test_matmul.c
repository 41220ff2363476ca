#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

static peft_tensor *plain(peft_graph *g, peft_tensor *const *in)
{
    return peft_matmul(g, in[0], false, in[1], false);
}

static peft_tensor *transposed_a(peft_graph *g, peft_tensor *const *in)
{
    return peft_matmul(g, in[0], true, in[1], false);
}

static peft_tensor *transposed_b(peft_graph *g, peft_tensor *const *in)
{
    return peft_matmul(g, in[0], false, in[1], true);
}

static peft_tensor *transposed_both(peft_graph *g, peft_tensor *const *in)
{
    return peft_matmul(g, in[0], true, in[1], true);
}

static peft_tensor *gram(peft_graph *g, peft_tensor *const *in)
{
    return peft_matmul(g, in[0], true, in[0], false);
}

/* The linear op computes x W^T too, through other code. */
static peft_tensor *minus_linear(peft_graph *g, peft_tensor *const *in)
{
    return peft_mse(g, peft_matmul(g, in[0], false, in[1], true), peft_linear(g, in[0], in[1], NULL), 0);
}

static const op_case cases[] = {
    {"A B", plain, {SHAPE2(5, 7), SHAPE2(7, 3)}, 0},
    {"A^T B", transposed_a, {SHAPE2(7, 5), SHAPE2(7, 3)}, 0},
    {"A B^T", transposed_b, {SHAPE2(5, 7), SHAPE2(3, 7)}, 0},
    {"A^T B^T", transposed_both, {SHAPE2(7, 5), SHAPE2(3, 7)}, 0},
    {"A^T A", gram, {SHAPE2(7, 5)}, 0},
    {"several tiles", transposed_a, {SHAPE2(203, 401), SHAPE2(203, 33)}, 0},
    {"A B, three each", plain, {SHAPE3(3, 5, 7), SHAPE3(3, 7, 2)}, 0},
    {"A^T B, three each", transposed_a, {SHAPE3(3, 7, 5), SHAPE3(3, 7, 2)}, 0},
    {"A B^T, three each", transposed_b, {SHAPE3(3, 5, 7), SHAPE3(3, 2, 7)}, 0},
    {"A^T B^T, three each", transposed_both, {SHAPE3(3, 7, 5), SHAPE3(3, 2, 7)}, 0},
    {"A A^T, one", gram, {SHAPE3(1, 7, 5)}, 0},
    {"many small ones", plain, {SHAPE3(301, 1, 4), SHAPE3(301, 4, 8)}, 0},
    {"many small ones, A^T B^T", transposed_both, {SHAPE3(301, 4, 1), SHAPE3(301, 8, 4)}, 0},
    {"nothing", plain, {SHAPE3(3, 2, 0), SHAPE3(3, 0, 4)}, 0},
    {"tiles across sequences", plain, {SHAPE3(5, 130, 9), SHAPE3(5, 9, 11)}, 0},
};

START_TEST(matmul_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

START_TEST(matmul_agrees_with_linear)
{
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    float x[5 * 7], w[3 * 7];
    for (uint64_t k = 0; k < 5 * 7; k++) x[k] = (float)op_noise(k);
    for (uint64_t k = 0; k < 3 * 7; k++) w[k] = (float)op_noise(100 + k);
    ck_assert(!peft_context_open(&ctx, NULL, &error));
    ck_assert(!peft_graph_create(&g, &error));
    peft_tensor *in[] = {peft_constant(g, PEFT_F32, peft_shape_2(5, 7), x, "x"),
                         peft_constant(g, PEFT_F32, peft_shape_2(3, 7), w, "w")};
    peft_tensor *difference = peft_graph_keep(g, minus_linear(g, in));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    ck_assert_double_le((double)*(const float *)read_values(g, difference), 1e-12);
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

static peft_tensor *times_identity(peft_graph *g, peft_tensor *const *in)
{
    return peft_matmul(g, in[0], false, peft_identity(g, in[0]->dtype, 7), false);
}

START_TEST(constants_are_what_they_say)
{
    peft_error error = {0};
    peft_graph *g;
    ck_assert(!peft_graph_create(&g, &error));
    const double *ones = peft_ones(g, PEFT_F64, 2, 3)->host;
    for (int k = 0; k < 6; k++) ck_assert_double_eq(ones[k], 1);
    const int32_t *numbers = peft_arange(g, 4, 12)->host;
    for (int k = 0; k < 4; k++) ck_assert_int_eq(numbers[k], 12 * k);
    ck_assert_int_eq(peft_arange(g, 0, 1)->shape.size[0], 0);
    ck_assert_ptr_null(peft_arange(g, 1 << 20, 1 << 11));
    ck_assert_int_eq(peft_graph_status(g, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "arange: expected numbers of 32 bits, found 1048576 steps of 2048");
    ck_assert_ptr_null(peft_ones(g, PEFT_F32, 1, 1)); /* a graph that has failed stays so */
    peft_graph_free(g);
}
END_TEST

START_TEST(the_identity_changes_no_bit)
{
    static const op_case times = {"A I", times_identity, {SHAPE2(5, 7)}, 0};
    op_check(&times);
    peft_error error = {0};
    peft_graph *g;
    ck_assert(!peft_graph_create(&g, &error));
    const float *one = peft_identity(g, PEFT_F32, 3)->host;
    for (int k = 0; k < 9; k++) ck_assert(one[k] == (k % 4 == 0 ? 1.0F : 0.0F));
    ck_assert_int_eq(peft_identity(g, PEFT_F64, 0)->shape.size[0], 0);
    ck_assert_ptr_null(peft_identity(g, PEFT_I32, 3));
    ck_assert_int_eq(peft_graph_status(g, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "identity: expected a real type and sizes, found I32, 3 and 3");
    peft_graph_free(g);
}
END_TEST

START_TEST(wrong_shapes_are_refused)
{
    op_case wrong = {"b", transposed_b, {SHAPE2(5, 7), SHAPE2(7, 3)}, 0};
    op_check_refused(&wrong, PEFT_ERR_SHAPE, "matmul: b: expected [any, 7], found [7, 3]");
    op_case wrong_a = {"b", transposed_a, {SHAPE2(5, 7), SHAPE2(7, 3)}, 0};
    op_check_refused(&wrong_a, PEFT_ERR_SHAPE, "matmul: b: expected [5, any], found [7, 3]");
    op_case wrong_count = {"b", plain, {SHAPE3(2, 5, 7), SHAPE3(3, 7, 4)}, 0};
    op_check_refused(&wrong_count, PEFT_ERR_SHAPE, "matmul: b: expected [2, 7, any], found [3, 7, 4]");
    op_case wrong_vector = {"a", plain, {SHAPE1(5), SHAPE2(5, 7)}, 0};
    op_check_refused(&wrong_vector, PEFT_ERR_SHAPE, "matmul: a: expected [any, any], found [5]");
}
END_TEST

TEST_MAIN("matmul", tcase_add_loop_test(tc, matmul_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, constants_are_what_they_say); tcase_add_test(tc, the_identity_changes_no_bit);
          tcase_add_test(tc, matmul_agrees_with_linear); tcase_add_test(tc, wrong_shapes_are_refused))
