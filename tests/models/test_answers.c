/* Similarity to answers: the same for all sequences, or those of each. */
#include "models/answers.h"

#include <math.h>

#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

enum { SEQUENCES = 3, ANSWERS = 4, SIZE = 5 };

static peft_tensor *logits(peft_graph *g, peft_tensor *const *in)
{
    return peft_answer_logits(g, in[0], in[1]);
}

START_TEST(gradients_are_right)
{
    const op_case same = {"answers", logits, {SHAPE2(SEQUENCES, SIZE), SHAPE2(ANSWERS, SIZE)}, 0};
    const op_case own = {"own answers", logits, {SHAPE2(SEQUENCES, SIZE), SHAPE3(SEQUENCES, ANSWERS, SIZE)}, 0};
    op_check(&same);
    op_check(&own);
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    const op_case width = {"width", logits, {SHAPE2(SEQUENCES, SIZE), SHAPE2(ANSWERS, SIZE + 1)}, 0};
    const op_case count = {"count", logits, {SHAPE2(SEQUENCES, SIZE), SHAPE3(SEQUENCES + 1, ANSWERS, SIZE)}, 0};
    op_check_refused(&width, PEFT_ERR_SHAPE, "linear");
    op_check_refused(&count, PEFT_ERR_SHAPE, "reshape");
}
END_TEST

/* Row s of the result is vector s times its own answers. */
START_TEST(each_sequence_has_its_own)
{
    double v[SEQUENCES * SIZE], own[SEQUENCES * ANSWERS * SIZE];
    peft_graph *g;
    peft_context *ctx;
    peft_error error;
    for (int k = 0; k < SEQUENCES * SIZE; k++) v[k] = op_noise((uint64_t)k);
    for (int k = 0; k < SEQUENCES * ANSWERS * SIZE; k++) own[k] = op_noise(1000 + (uint64_t)k);
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    peft_tensor *x = peft_constant(g, PEFT_F64, peft_shape_2(SEQUENCES, SIZE), v, "v");
    peft_tensor *W = peft_constant(g, PEFT_F64, peft_shape_3(SEQUENCES, ANSWERS, SIZE), own, "answers");
    const peft_tensor *y = peft_graph_keep(g, peft_answer_logits(g, x, W));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    for (int s = 0; s < SEQUENCES; s++)
        for (int a = 0; a < ANSWERS; a++) {
            double expected = 0;
            for (int i = 0; i < SIZE; i++) expected += v[s * SIZE + i] * own[(s * ANSWERS + a) * SIZE + i];
            ck_assert_double_eq_tol(((const double *)read_values(g, y))[s * ANSWERS + a], expected, 1e-14);
        }
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

TEST_MAIN("answers", tcase_add_test(tc, gradients_are_right); tcase_add_test(tc, what_does_not_fit_is_refused);
          tcase_add_test(tc, each_sequence_has_its_own))
