/* Calls, seconds and work of each op, against what the shapes say. */
#include "ops/engine/context_internal.h"
#include "ops/ops.h"
#include "ops/weight.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"

enum { TOKENS = 6, IN = 8, OUT = 4, RANK = 2, HEADS = 2 };

/* A clock that goes on by a second each time it is asked: every call takes one. */
static double asked;

static double ticking(void)
{
    return asked++;
}

typedef struct fixture {
    peft_context *ctx;
    peft_graph *g;
    peft_profile profile;
    float zeros[TOKENS * IN];
    float gradient[TOKENS * IN];
} fixture;

static fixture open_fixture(void)
{
    fixture f = {.profile = {.clock = ticking}};
    const peft_context_options options = {.threads = 1};
    ck_assert(!peft_context_open(&f.ctx, &options, NULL) && !peft_graph_create(&f.g, NULL));
    return f;
}

static void close_fixture(fixture *f)
{
    peft_graph_free(f->g);
    peft_context_close(f->ctx);
}

static void run(fixture *f, peft_tensor *y)
{
    peft_error error = {0};
    ck_assert_msg(!peft_graph_differentiate_from(f->g, y, f->zeros, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(f->g, f->ctx, &error), "%s", error.message);
}

static const peft_profile_line *line_of(const fixture *f, peft_op_id op, bool backward)
{
    return &f->profile.lines[op][backward];
}

static void is_line(const fixture *f, peft_op_id op, bool backward, int64_t calls, double flops, double bytes)
{
    const peft_profile_line *line = line_of(f, op, backward);
    ck_assert_int_eq(line->calls, calls);
    ck_assert_double_eq(line->seconds, (double)calls);
    ck_assert_double_eq(line->cost.flops, flops);
    ck_assert_double_eq(line->cost.bytes, bytes);
}

static peft_tensor *matrix(fixture *f, int64_t rows, int64_t columns)
{
    return peft_constant(f->g, PEFT_F32, peft_shape_2(rows, columns), f->zeros, NULL);
}

static peft_tensor *variable(fixture *f, int64_t rows, int64_t columns)
{
    return peft_variable(f->g, PEFT_F32, peft_shape_2(rows, columns), f->zeros, NULL);
}

static peft_tensor *parameter(fixture *f, int64_t rows, int64_t columns)
{
    return peft_parameter(f->g, PEFT_F32, peft_shape_2(rows, columns), f->zeros, f->gradient, NULL);
}

START_TEST(off_unless_switched_on)
{
    fixture f = open_fixture();
    asked = 0;
    run(&f, peft_linear(f.g, variable(&f, TOKENS, IN), matrix(&f, OUT, IN), NULL));
    ck_assert_double_eq(asked, 0);
    peft_context_profile(f.ctx, &f.profile);
    ck_assert(!peft_graph_run(f.g, f.ctx, NULL));
    ck_assert_double_eq(asked, 4); /* before and after a call forward and one backward */
    peft_context_profile(f.ctx, NULL);
    ck_assert(!peft_graph_run(f.g, f.ctx, NULL));
    ck_assert_double_eq(asked, 4);
    ck_assert_int_eq(line_of(&f, PEFT_OP_linear, false)->calls, 1);
    close_fixture(&f);
}
END_TEST

/* A frozen weight costs one product forward and one backward, a trained one two backward. */
START_TEST(a_linear_layer)
{
    const double product = 2.0 * TOKENS * IN * OUT, x = 4.0 * TOKENS * IN, W = 4.0 * IN * OUT, y = 4.0 * TOKENS * OUT;
    fixture f = open_fixture();
    peft_context_profile(f.ctx, &f.profile);
    run(&f, peft_linear(f.g, variable(&f, TOKENS, IN), matrix(&f, OUT, IN), NULL));
    is_line(&f, PEFT_OP_linear, false, 1, product, x + W + y);
    is_line(&f, PEFT_OP_linear, true, 1, product, y + W + x);

    f.profile = (peft_profile){.clock = ticking};
    peft_graph_reset(f.g);
    run(&f, peft_linear(f.g, variable(&f, TOKENS, IN), parameter(&f, OUT, IN), NULL));
    is_line(&f, PEFT_OP_linear, false, 1, product, x + W + y);
    is_line(&f, PEFT_OP_linear, true, 1, 2 * product, y + W + x + x + 2 * W); /* dW is added to */
    close_fixture(&f);
}
END_TEST

START_TEST(weights_that_were_packed_have_the_bytes_of_their_type)
{
    if (!peft_dtype_available(PEFT_BF16)) return;
    fixture f = open_fixture();
    peft_context_close(f.ctx);
    const peft_context_options options = {.threads = 1, .dtype = PEFT_BF16};
    ck_assert(!peft_context_open(&f.ctx, &options, NULL));
    peft_context_profile(f.ctx, &f.profile);
    peft_weight weight = {.name = "W", .shape = peft_shape_2(OUT, IN), .stored.data = f.zeros};
    ck_assert(!peft_weight_pack(&weight, f.ctx, PEFT_PACK_BOTH, NULL));
    run(&f, peft_linear(f.g, variable(&f, TOKENS, IN), peft_weight_leaf(f.g, &weight), NULL));
    is_line(&f, PEFT_OP_linear, false, 1, 2.0 * TOKENS * IN * OUT, 4.0 * TOKENS * (IN + OUT) + 2.0 * IN * OUT);
    peft_graph_reset(f.g);
    peft_weight_unpack(&weight);
    close_fixture(&f);
}
END_TEST

/* h = A x and B h; backward B^T dy, dx, dA and dB. */
START_TEST(a_low_rank_update)
{
    const double down = 2.0 * TOKENS * RANK * IN, up = 2.0 * TOKENS * RANK * OUT;
    fixture f = open_fixture();
    peft_context_profile(f.ctx, &f.profile);
    run(&f, peft_low_rank(f.g, NULL, variable(&f, TOKENS, IN), parameter(&f, RANK, IN), parameter(&f, OUT, RANK), NULL,
                          NULL, 1));
    ck_assert_double_eq(line_of(&f, PEFT_OP_low_rank, false)->cost.flops, down + up);
    ck_assert_double_eq(line_of(&f, PEFT_OP_low_rank, true)->cost.flops, up + 2 * down + up);
    close_fixture(&f);
}
END_TEST

/* Two sequences of 2 and 4 tokens: 4 + 16 scores of each head; under a causal mask 3 + 10. */
START_TEST(attention_sees_its_own_sequence)
{
    static const int32_t starts[] = {0, 2, 6};
    static const struct {
        peft_mask mask;
        double scores;
    } cases[] = {{PEFT_MASK_NONE, 20}, {PEFT_MASK_CAUSAL, 13}, {PEFT_MASK_WINDOW, 3 + 7}};
    for (int k = 0; k < 3; k++) {
        fixture f = open_fixture();
        peft_context_profile(f.ctx, &f.profile);
        peft_tensor *x = variable(&f, TOKENS, IN);
        peft_tensor *s = peft_constant(f.g, PEFT_I32, peft_shape_1(3), starts, NULL);
        const peft_attention_options o = {.num_heads = HEADS, .mask = cases[k].mask, .window = 2};
        run(&f, peft_attention(f.g, x, x, x, s, NULL, &o));
        const double head_size = (double)IN / HEADS;
        ck_assert_double_eq(line_of(&f, PEFT_OP_attention, false)->cost.flops,
                            cases[k].scores * HEADS * (4 * head_size + 5));
        ck_assert_double_eq(line_of(&f, PEFT_OP_attention, true)->cost.flops,
                            cases[k].scores * HEADS * (10 * head_size + 6));
        close_fixture(&f);
    }
}
END_TEST

/* Of a table with many rows only those that are looked up are read. */
START_TEST(an_embedding_reads_its_rows)
{
    static const int32_t ids[] = {3, 1, 1};
    fixture f = open_fixture();
    peft_context_profile(f.ctx, &f.profile);
    peft_tensor *rows =
        peft_embedding(f.g, matrix(&f, TOKENS, IN), peft_constant(f.g, PEFT_I32, peft_shape_1(3), ids, NULL));
    run(&f, peft_mul(f.g, rows, variable(&f, 3, IN)));
    is_line(&f, PEFT_OP_embedding, false, 1, 0, 4.0 * (3 + 2 * 3 * IN));
    close_fixture(&f);
}
END_TEST

START_TEST(what_is_computed_again_counts_again)
{
    fixture f = open_fixture();
    peft_context_profile(f.ctx, &f.profile);
    peft_tensor *x = variable(&f, TOKENS, IN);
    peft_graph_checkpoint_begin(f.g);
    x = peft_activation(f.g, peft_linear(f.g, x, matrix(&f, IN, IN), NULL), PEFT_ACTIVATION_tanh);
    peft_graph_checkpoint_end(f.g);
    run(&f, peft_scale(f.g, x, 2));
    ck_assert_int_eq(line_of(&f, PEFT_OP_linear, false)->calls, 2);
    ck_assert_double_eq(line_of(&f, PEFT_OP_linear, false)->cost.flops, 2 * 2.0 * TOKENS * IN * IN);
    ck_assert_int_eq(line_of(&f, PEFT_OP_linear, true)->calls, 1);
    close_fixture(&f);
}
END_TEST

TEST_MAIN("profile", tcase_add_test(tc, off_unless_switched_on); tcase_add_test(tc, a_linear_layer);
          tcase_add_test(tc, weights_that_were_packed_have_the_bytes_of_their_type);
          tcase_add_test(tc, a_low_rank_update); tcase_add_test(tc, attention_sees_its_own_sequence);
          tcase_add_test(tc, an_embedding_reads_its_rows); tcase_add_test(tc, what_is_computed_again_counts_again))
