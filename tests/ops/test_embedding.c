#include "tests/support/main.h"
#include "tests/support/op_check.h"

static const int32_t ids[] = {4, 0, 4, 4, 2, 6, 0};

static peft_tensor *embedding(peft_graph *g, peft_tensor *const *in)
{
    return peft_embedding(g, in[0], in[1]);
}

#define INDICES(count, values)                                                                                         \
    {                                                                                                                  \
        .shape = {1, {count}}, .indices = values                                                                       \
    }

static const op_case cases[] = {
    {"ids that repeat", embedding, {SHAPE2(7, 5), INDICES(7, ids)}, 0},
    {"several pieces of columns", embedding, {SHAPE2(7, 150), INDICES(7, ids)}, 0},
};

START_TEST(embedding_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

static peft_status run(const int32_t *rows, peft_error *error)
{
    static const float table[7 * 2];
    peft_context *ctx;
    peft_graph *g;
    ck_assert(!peft_context_open(&ctx, NULL, error));
    ck_assert(!peft_graph_create(&g, error));
    peft_tensor *weight = peft_constant(g, PEFT_F32, peft_shape_2(7, 2), table, "word_embeddings");
    peft_embedding(g, weight, peft_constant(g, PEFT_I32, peft_shape_1(3), rows, "ids"));
    peft_status status = peft_graph_run(g, ctx, error);
    if (status == PEFT_OK) status = peft_graph_wait(g, error);
    peft_graph_free(g);
    peft_context_close(ctx);
    return status;
}

START_TEST(an_id_outside_of_the_table_fails_the_run)
{
    peft_error error = {0};
    const int32_t inside[] = {0, 6, 3}, above[] = {0, 6, 7}, below[] = {0, -1, 3};
    ck_assert_int_eq(run(inside, &error), PEFT_OK);
    ck_assert_int_eq(run(above, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "embedding: word_embeddings: ids[2]: expected 0 ... 6, the table's rows, found 7");
    ck_assert_int_eq(run(below, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "embedding: word_embeddings: ids[1]: expected 0 ... 6, the table's rows, found -1");
}
END_TEST

START_TEST(wrong_types_are_refused)
{
    op_case wrong = {"ids", embedding, {SHAPE2(7, 5), SHAPE2(7, 1)}, 0};
    op_check_refused(&wrong, PEFT_ERR_DTYPE, "embedding: ids: expected I32, found F64");
}
END_TEST

TEST_MAIN("embedding", tcase_add_loop_test(tc, embedding_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_test(tc, an_id_outside_of_the_table_fails_the_run); tcase_add_test(tc, wrong_types_are_refused))
