/* What lives across runs, and leaves that a plan relied on. */
#include "ops/state.h"

#include "ops/ops.h"
#include "ops/rng.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/read.h"

#include <math.h>
#include <string.h>

enum { COUNT = 40000 }; /* several pieces */

static peft_error error;

static peft_context *open_context(const char *backend, int threads)
{
    peft_context *ctx;
    const peft_context_options options = {.threads = threads, .backend = backend};
    ck_assert_msg(!peft_context_open(&ctx, &options, &error), "%s", error.message);
    return ctx;
}

/* s += (x - s) / 4 in each of three runs, the second of which computes nothing else either. */
static void average(const char *backend, int threads, float *last)
{
    static float x[COUNT], expected[COUNT], found[COUNT];
    peft_context *ctx = open_context(backend, threads);
    peft_state *state;
    peft_graph *g;
    for (int k = 0; k < COUNT; k++) expected[k] = (float)(k % 11);
    ck_assert(!peft_state_open(&state, ctx, "mean", PEFT_F32, peft_shape_1(COUNT), expected, &error));
    ck_assert(!peft_graph_create(&g, &error));
    for (int run = 0; run < 3; run++) {
        peft_random_normal(x, COUNT, 0, 1, (uint64_t)run, peft_stream("x"));
        peft_graph_reset(g);
        peft_tensor *before = peft_graph_keep(g, peft_scale(g, peft_state_leaf(g, state), 2));
        peft_tensor *in = peft_constant(g, PEFT_F32, peft_shape_1(COUNT), x, "x");
        peft_tensor *y = peft_graph_keep(g, peft_running_average(g, peft_state_leaf(g, state), in, 0.25));
        ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
        memcpy(last, read_values(g, y), COUNT * sizeof *last);
        const float *twice = read_values(g, before);
        for (int k = 0; k < COUNT; k++) {
            ck_assert(twice[k] == 2 * expected[k]); /* described first, it found the state as it was */
            expected[k] += 0.25F * (x[k] - expected[k]);
            ck_assert_double_eq_tol((double)last[k], (double)expected[k], 1e-6);
            expected[k] = last[k];
        }
        peft_state_read(state, found);
        ck_assert_mem_eq(found, last, sizeof found);
    }
    memset(found, 0, sizeof found);
    peft_state_write(state, found);
    peft_graph_reset(g);
    peft_tensor *y = peft_graph_keep(g, peft_scale(g, peft_state_leaf(g, state), 1));
    ck_assert(!peft_graph_run(g, ctx, &error));
    ck_assert_mem_eq(read_values(g, y), found, sizeof found);
    peft_graph_free(g);
    peft_state_close(state);
    peft_context_close(ctx);
}

START_TEST(a_state_lives_across_runs)
{
    static float one[COUNT], more[COUNT];
    for (int k = 0; peft_backend_name(k); k++) {
        if (!peft_backend_available(peft_backend_name(k))) continue;
        average(peft_backend_name(k), 1, one);
        average(peft_backend_name(k), 3, more);
        ck_assert_mem_eq(one, more, sizeof one);
    }
}
END_TEST

/* x is averaged and passes its gradient on another way alone. */
START_TEST(a_state_has_no_gradient)
{
    const float start[2] = {1, 1}, x[2] = {3, 5}, dy[2] = {1, 2};
    float dx[2] = {0};
    peft_context *ctx = open_context(NULL, 1);
    peft_state *state;
    peft_graph *g;
    ck_assert(!peft_state_open(&state, ctx, "mean", PEFT_F32, peft_shape_1(2), start, &error));
    ck_assert(!peft_graph_create(&g, &error));
    peft_tensor *in = peft_parameter(g, PEFT_F32, peft_shape_1(2), (float *)(uintptr_t)x, dx, "x");
    peft_tensor *mean = peft_running_average(g, peft_state_leaf(g, state), in, 0.5);
    peft_tensor *y = peft_add(g, peft_scale(g, in, 3), mean);
    ck_assert_msg(!peft_graph_differentiate_from(g, y, dy, &error), "%s", error.message);
    ck_assert(!peft_graph_run(g, ctx, &error) && !peft_graph_wait(g, &error));
    ck_assert(dx[0] == 3 && dx[1] == 6);
    peft_graph_free(g);
    peft_state_close(state);
    peft_context_close(ctx);
}
END_TEST

START_TEST(wrong_states_are_refused)
{
    const float start[2] = {1, 1};
    peft_context *ctx = open_context(NULL, 1), *other = open_context(NULL, 1);
    peft_state *state;
    peft_graph *g;
    ck_assert(!peft_state_open(&state, ctx, "mean", PEFT_F32, peft_shape_1(2), start, &error));
    ck_assert(!peft_graph_create(&g, &error));
    static const char *const messages[] = {
        "running_average: state: expected a state's leaf", "running_average: share: expected 0 ... 1, found 2",
        ("running_average: in a checkpointed segment, which runs twice, a state would "
         "be written twice"),
        "running_average: state mean: expected [1], found [2]"};
    for (int k = 0; k < 4; k++) {
        peft_graph_reset(g);
        peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_1(k == 3 ? 1 : 2), start, "x");
        if (k == 2) peft_graph_checkpoint_begin(g);
        ck_assert_ptr_null(peft_running_average(g, k ? peft_state_leaf(g, state) : x, x, k == 1 ? 2 : 0.5));
        ck_assert(peft_graph_status(g, &error));
        ck_assert_str_eq(error.message, messages[k]);
    }
    peft_graph_reset(g);
    peft_graph_keep(g, peft_scale(g, peft_state_leaf(g, state), 2));
    ck_assert_int_eq(peft_graph_run(g, other, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "run: mean: is the state of another context");
    peft_graph_free(g);
    peft_state_close(state);
    peft_context_close(ctx);
    peft_context_close(other);
}
END_TEST

/* Scratch memory and places are planned for the lengths that were described. */
START_TEST(other_starts_than_were_described_are_refused)
{
    static const float x[6 * 4] = {1};
    int32_t starts[3] = {0, 3, 6};
    const peft_attention_options options = {.num_heads = 2};
    peft_context *ctx = open_context(NULL, 1);
    peft_graph *g;
    ck_assert(!peft_graph_create(&g, &error));
    peft_tensor *in = peft_constant(g, PEFT_F32, peft_shape_2(6, 4), x, "x");
    peft_tensor *at = peft_constant(g, PEFT_I32, peft_shape_1(3), starts, "starts");
    peft_tensor *y = peft_graph_keep(g, peft_attention(g, in, in, in, at, NULL, &options));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    ck_assert_ptr_nonnull(read_values(g, y));
    starts[1] = 1;
    ck_assert_int_eq(peft_graph_run(g, ctx, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "run: starts: has other values than when the graph was described; reset it and "
                                    "describe it again");
    starts[1] = 3;
    ck_assert(!peft_graph_run(g, ctx, &error));
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

START_TEST(only_what_is_there_can_be_read)
{
    static const float x[2] = {1, 2};
    peft_context *ctx = open_context(NULL, 1);
    peft_graph *g;
    const void *values;
    ck_assert(!peft_graph_create(&g, &error));
    peft_tensor *in = peft_constant(g, PEFT_F32, peft_shape_1(2), x, "x");
    peft_tensor *between = peft_scale(g, in, 2);
    peft_tensor *y = peft_graph_keep(g, peft_scale(g, between, 2));
    ck_assert_int_eq(peft_graph_read(g, y, &values, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "read: a tensor: the graph was not run");
    ck_assert(!peft_graph_run(g, ctx, &error));
    ck_assert(((const float *)read_values(g, y))[1] == 8 && ((const float *)read_values(g, in))[1] == 2);
    ck_assert_int_eq(peft_graph_read(g, between, &values, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "read: a tensor: was not kept; say so by peft_graph_keep");
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

START_TEST(no_memory_is_an_error)
{
    const float start[2] = {1, 1};
    peft_context *ctx = open_context(NULL, 1);
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_state *state;
        fail_allocation(call);
        peft_status status = peft_state_open(&state, ctx, "mean", PEFT_F32, peft_shape_1(2), start, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        peft_state_close(state);
    }
    peft_context_close(ctx);
}
END_TEST

TEST_MAIN("state", tcase_add_test(tc, a_state_lives_across_runs); tcase_add_test(tc, a_state_has_no_gradient);
          tcase_add_test(tc, wrong_states_are_refused);
          tcase_add_test(tc, other_starts_than_were_described_are_refused);
          tcase_add_test(tc, only_what_is_there_can_be_read); tcase_add_test(tc, no_memory_is_an_error))
