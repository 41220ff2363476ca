/* Any value set and any objective: trained, saved, resumed to the same bits; graphs that are used again. */
#include <string.h>

#include "ops/ops.h"
#include "ops/rng.h"
#include "peft/checkpoint.h"
#include "peft/trainer.h"
#include "tests/io/scratch.h"
#include "tests/support/main.h"

enum { EXAMPLES = 10, IN = 4, OUT = 3, BATCH = 4, STEPS = 6 };

static peft_error error;
static const char settings[] = "{\"layers\": 1}";

/* A linear layer whose example k counts 1 + k % 2 times, and a state that its owner keeps: how many steps were done. */
typedef struct net {
    peft_value_set set;
    peft_context *ctx;
    peft_train_options options;
    peft_objective objective;
    peft_trainer trainer;
    float x[BATCH * IN], y[BATCH * OUT]; /* of the batch */
    int64_t count;                       /* of its examples */
    int described;
} net;

static peft_status count_step(void *owner, const peft_training_step *step, peft_error *e)
{
    (void)e;
    peft_value_set_find(&((net *)owner)->set, "net.steps")->data[0] += (float)step->step;
    return PEFT_OK;
}

static double counts(const void *argument, uint32_t example)
{
    (void)argument;
    return 1 + example % 2;
}

/* sqrt of the weight, for a squared error */
static float root_of(uint32_t example)
{
    return example % 2 ? 1.41421356F : 1;
}

static bool fill(void *argument, const peft_examples *batch)
{
    net *n = argument;
    bool same = batch->count == n->count;
    n->count = batch->count;
    for (int64_t s = 0; s < batch->count; s++) {
        peft_random_normal(n->x + s * IN, IN, 0, 1, batch->rows[s], peft_stream("x"));
        peft_random_normal(n->y + s * OUT, OUT, 0, 1, batch->rows[s], peft_stream("y"));
        for (int i = 0; i < IN; i++) n->x[s * IN + i] *= root_of(batch->rows[s]);
        for (int o = 0; o < OUT; o++) n->y[s * OUT + o] *= root_of(batch->rows[s]);
    }
    return same;
}

static peft_status describe(void *argument, peft_graph *g, const peft_examples *batch, peft_tensor **loss,
                            peft_error *e)
{
    net *n = argument;
    (void)e;
    fill(n, batch);
    n->described++;
    peft_tensor *W = peft_value_tensor(g, peft_value_set_find(&n->set, "net.weight"), true);
    peft_tensor *s = peft_value_tensor(g, peft_value_set_find(&n->set, "net.scale"), true);
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_2(batch->count, IN), n->x, "x");
    peft_tensor *y = peft_constant(g, PEFT_F32, peft_shape_2(batch->count, OUT), n->y, "y");
    *loss = peft_mse(g, peft_mul(g, peft_linear(g, x, W, NULL), s), y, batch->normaliser);
    return PEFT_OK;
}

static void open_net(net *n, bool refills)
{
    static const peft_value_spec specs[] = {
        {.name = "weight", .shape = {2, {OUT, IN}}, .start = PEFT_START_NORMAL, .spread = 0.5, .role = PEFT_ROLE_OTHER},
        {.name = "scale",
         .shape = {1, {OUT}},
         .kind = PEFT_VALUE_FROZEN,
         .start = PEFT_START_CONSTANT,
         .spread = 1.5,
         .role = PEFT_ROLE_OTHER},
        {.name = "steps", .shape = {1, {1}}, .kind = PEFT_VALUE_STATE}};
    memset(n, 0, sizeof *n);
    ck_assert_msg(!peft_value_set_create(&n->set, "net", specs, 3, 5, &error), "%s", error.message);
    n->set.after_step = count_step;
    n->set.owner = n;
    ck_assert(!peft_context_open(&n->ctx, NULL, &error));
    ck_assert(!peft_options_init(peft_train_option_table, &n->options, &error));
    n->options.batch_size = BATCH;
    n->options.steps = STEPS;
    n->objective = (peft_objective){.num_examples = EXAMPLES, .describe = describe, .counts = counts, .argument = n};
    if (refills) n->objective.refill = fill;
    const peft_value_set *sets[] = {&n->set};
    ck_assert_msg(!peft_trainer_open(&n->trainer, &n->options, n->ctx, sets, 1, &n->objective, &error), "%s",
                  error.message);
}

static void close_net(net *n)
{
    peft_trainer_close(&n->trainer);
    peft_value_set_free(&n->set);
    peft_context_close(n->ctx);
    peft_options_free(peft_train_option_table, &n->options);
}

static double go_to(net *n, int64_t step)
{
    peft_step_record record = {0};
    while (n->trainer.step < step) ck_assert_msg(!peft_trainer_step(&n->trainer, &record, &error), "%s", error.message);
    return record.loss;
}

static void check_same(const net *a, const net *b)
{
    for (int64_t k = 0; k < a->set.count; k++)
        ck_assert_mem_eq(a->set.items[k].value->data, b->set.items[k].value->data,
                         (size_t)peft_value_count(a->set.items[k].value) * sizeof(float));
}

START_TEST(a_graph_that_is_filled_again_gives_the_same_bits)
{
    static net anew, again;
    open_net(&anew, false);
    open_net(&again, true);
    ck_assert_double_lt(go_to(&anew, STEPS), 1e3);
    go_to(&again, STEPS);
    check_same(&anew, &again);
    ck_assert_int_eq(anew.described, STEPS);
    ck_assert_int_lt(again.described, STEPS); /* ten examples: two batches of four, one of two, and so on */
    ck_assert(peft_value_set_find(&anew.set, "net.steps")->data[0] >= 21);
    ck_assert(peft_value_set_find(&anew.set, "net.scale")->data[0] <= 1.5F);
    close_net(&anew);
    close_net(&again);
}
END_TEST

START_TEST(a_step_divides_by_what_its_examples_count)
{
    static net whole, halves;
    open_net(&whole, false);
    open_net(&halves, false);
    halves.options.batch_size = BATCH / 2;
    halves.options.gradient_accumulation = 2;
    double expected = go_to(&whole, 1);
    ck_assert_double_eq_tol(go_to(&halves, 1), expected, 1e-6 * expected);
    ck_assert_int_eq(halves.described, 2);
    close_net(&whole);
    close_net(&halves);
}
END_TEST

/* The frozen value is the caller's to save: the others go on, the owner's state among them. */
START_TEST(a_run_that_was_stopped_goes_on_to_the_same_bits)
{
    static net whole, first, second;
    const char *path = scratch("net.checkpoint");
    peft_progress_state state = {.seconds = 2.5};
    open_net(&whole, true);
    open_net(&first, true);
    open_net(&second, _i);
    go_to(&whole, STEPS);
    go_to(&first, STEPS / 2);
    ck_assert_msg(!peft_checkpoint_save(path, &first.trainer, &state, settings, &error), "%s", error.message);
    memset(peft_value_set_find(&second.set, "net.weight")->data, 0, OUT * IN * sizeof(float));
    state = (peft_progress_state){0};
    ck_assert_msg(!peft_checkpoint_load(path, &second.trainer, &state, settings, &error), "%s", error.message);
    ck_assert_int_eq(second.trainer.step, STEPS / 2);
    ck_assert_double_eq(state.seconds, 2.5);
    check_same(&first, &second);
    go_to(&second, STEPS);
    check_same(&whole, &second);
    close_net(&whole);
    close_net(&first);
    close_net(&second);
}
END_TEST

START_TEST(another_run_s_checkpoint_is_refused)
{
    static net made, other;
    const char *path = scratch("net.checkpoint");
    peft_progress_state state = {0};
    open_net(&made, false);
    open_net(&other, false);
    go_to(&made, 2);
    ck_assert(!peft_checkpoint_save(path, &made.trainer, &state, settings, &error));
    ck_assert_int_eq(peft_checkpoint_load(path, &other.trainer, &state, "{\"layers\": 2}", &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "layers was 1 and is 2 now"));
    other.set.items[0].name[0] = 'N'; /* another value's name */
    ck_assert_int_eq(peft_checkpoint_load(path, &other.trainer, &state, settings, &error), PEFT_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "parameter.Net.weight"));
    ck_assert_int_eq(other.trainer.step, 0);
    close_net(&made);
    close_net(&other);
}
END_TEST

START_TEST(what_cannot_be_trained_is_refused)
{
    static net n;
    peft_trainer t;
    open_net(&n, false);
    const peft_value_set *twice[] = {&n.set, &n.set};
    const peft_objective none = {.describe = describe};
    ck_assert_int_eq(peft_trainer_open(&t, &n.options, n.ctx, twice, 2, &n.objective, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "two trained values have this name"));
    ck_assert_int_eq(peft_trainer_open(&t, &n.options, n.ctx, twice, 1, &none, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "there are no examples"));
    ck_assert_int_eq(peft_trainer_open(&t, &n.options, n.ctx, twice, 0, &n.objective, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "there is no value to train"));
    close_net(&n);
}
END_TEST

TEST_MAIN("value_sets", tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
          tcase_add_test(tc, a_graph_that_is_filled_again_gives_the_same_bits);
          tcase_add_test(tc, a_step_divides_by_what_its_examples_count);
          tcase_add_loop_test(tc, a_run_that_was_stopped_goes_on_to_the_same_bits, 0, 2);
          tcase_add_test(tc, another_run_s_checkpoint_is_refused);
          tcase_add_test(tc, what_cannot_be_trained_is_refused))
