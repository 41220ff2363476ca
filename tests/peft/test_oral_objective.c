/* A generator in the trainer: steps cut into batches, checkpoints, and the same bits for any threads. */
#include <stdlib.h>
#include <string.h>

#include "peft/checkpoint.h"
#include "peft/oral_objective.h"
#include "tests/io/scratch.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"

enum { MEMBERS = 4, D = 8, WIDTH = 8, CONDITION = 3, MOST = 512, STEPS = 8, HALF = 3 };

#define SETTINGS "{\"fingerprints\":{\"train\":\"abc\"}}"

static const peft_token_tensor tensors[] = {{.name = "A", .shape = {2, {2, 7}}}, {.name = "B", .shape = {2, {9, 2}}}};

typedef struct run {
    peft_token_layout layout;
    peft_oral oral;
    peft_diffusion diffusion;
    peft_oral_training training;
    peft_oral_library library;
    peft_oral_objective examples;
    peft_objective objective;
    peft_train_options options;
    peft_context *ctx;
    peft_trainer trainer;
    float tokens[MEMBERS * MOST], mask[MOST], address[MOST], conditions[MEMBERS * CONDITION];
} run;

static void open_library(run *r)
{
    peft_error error = {0};
    ck_assert(!peft_token_layout_create(&r->layout, tensors, 2, D, 1, &error));
    for (int k = 0; k < MEMBERS * MOST; k++) r->tokens[k] = (float)op_noise((uint64_t)k);
    for (int k = 0; k < MEMBERS * CONDITION; k++) r->conditions[k] = (float)op_noise((uint64_t)k + 77);
    peft_tokens_mask(&r->layout, r->mask);
    peft_token_address(&r->layout, WIDTH, true, r->address);
    r->library = (peft_oral_library){&r->layout, MEMBERS, r->tokens, r->mask, r->conditions, r->address};
}

static void open_run(run *r, int threads, int64_t batch_size, peft_denoiser_norm norm)
{
    peft_error error = {0};
    *r = (run){.training = {.drawn = 3, .condition_dropout = 0.1, .seed = 4}};
    open_library(r);
    peft_oral_sizes sizes = peft_oral_default_sizes(r->layout.num_tokens, D, CONDITION);
    sizes.mamba = (peft_mamba){.version = 2, .width = WIDTH, .state = 4, .taps = 4, .expand = 2, .head = 4, .chunk = 4};
    memcpy(sizes.denoiser.channels, (int64_t[]){1, 4, 6, 6, 6, 4, 1}, sizeof sizes.denoiser.channels);
    sizes.denoiser.norm = norm;
    ck_assert(!peft_oral_create(&r->oral, &sizes, 2, &error));
    ck_assert(!peft_diffusion_create(&r->diffusion, 50, 1e-3, 0.1, &error));
    ck_assert(!peft_options_init(peft_train_option_table, &r->options, &error));
    ck_assert(!peft_context_open(&r->ctx, &(peft_context_options){.threads = threads}, &error));
    r->options.steps = STEPS;
    r->options.batch_size = batch_size;
    r->options.gradient_accumulation = MEMBERS / batch_size;
    r->options.learning_rate = 1e-2;
    r->examples = (peft_oral_objective){&r->oral, &r->library, &r->diffusion, &r->training, &r->trainer.step, {0}, 0};
    r->objective = peft_oral_objective_of(&r->examples);
    const peft_value_set *sets[] = {&r->oral.set};
    ck_assert_msg(!peft_trainer_open(&r->trainer, &r->options, r->ctx, sets, 1, &r->objective, &error), "%s",
                  error.message);
}

static void train(run *r, int64_t until)
{
    peft_error error = {0};
    peft_step_record record;
    while (r->trainer.step < until)
        ck_assert_msg(!peft_trainer_step(&r->trainer, &record, &error), "%s", error.message);
}

static void close_run(run *r)
{
    peft_trainer_close(&r->trainer);
    peft_oral_objective_free(&r->examples);
    peft_context_close(r->ctx);
    peft_options_free(peft_train_option_table, &r->options);
    peft_diffusion_free(&r->diffusion);
    peft_oral_free(&r->oral);
    peft_token_layout_free(&r->layout);
}

static size_t bytes_of(const run *r)
{
    return (size_t)r->oral.set.num_trained * sizeof(float);
}

START_TEST(a_run_that_goes_on_has_the_same_bits)
{
    run whole, parts;
    peft_error error = {0};
    peft_progress_state state = {0};
    const char *path = scratch("oral.safetensors");
    open_run(&whole, 1, MEMBERS, PEFT_DENOISER_GROUP);
    train(&whole, STEPS);
    open_run(&parts, 3, MEMBERS, PEFT_DENOISER_GROUP);
    train(&parts, HALF);
    ck_assert_msg(!peft_checkpoint_save(path, &parts.trainer, &state, SETTINGS, &error), "%s", error.message);
    close_run(&parts);
    open_run(&parts, 2, MEMBERS, PEFT_DENOISER_GROUP);
    ck_assert_msg(!peft_checkpoint_load(path, &parts.trainer, &state, SETTINGS, &error), "%s", error.message);
    ck_assert_int_eq(parts.trainer.step, HALF);
    train(&parts, STEPS);
    ck_assert_mem_eq(whole.oral.set.memory, parts.oral.set.memory, bytes_of(&whole));
    close_run(&whole);
    close_run(&parts);
}
END_TEST

/* Each batch shows numbers of its own, so a mean of means is not the mean: close, but not to the bit. */
START_TEST(a_step_may_be_cut_into_batches)
{
    run whole, cut;
    open_run(&whole, 1, MEMBERS, PEFT_DENOISER_GROUP);
    open_run(&cut, 1, MEMBERS / 2, PEFT_DENOISER_GROUP);
    ck_assert_int_eq(whole.trainer.num_steps, cut.trainer.num_steps);
    train(&whole, 1);
    train(&cut, 1);
    const int64_t count = whole.oral.set.num_trained;
    double off = 0, moved = 0;
    for (int64_t k = 0; k < count; k++) {
        off += (double)((whole.oral.set.gradients[k] - cut.oral.set.gradients[k]) *
                        (whole.oral.set.gradients[k] - cut.oral.set.gradients[k]));
        moved += (double)(whole.oral.set.gradients[k] * whole.oral.set.gradients[k]);
    }
    ck_assert_double_gt(moved, 0);
    ck_assert_double_lt(off, 0.02 * moved);
    close_run(&whole);
    close_run(&cut);
}
END_TEST

START_TEST(batch_norm_is_refused)
{
    run r;
    peft_error error = {0};
    peft_step_record record;
    open_run(&r, 1, MEMBERS, PEFT_DENOISER_BATCH);
    ck_assert_int_eq(peft_trainer_step(&r.trainer, &record, &error), PEFT_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "take group norm"));
    close_run(&r);
}
END_TEST

TEST_MAIN("oral_objective", tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
          tcase_add_test(tc, a_run_that_goes_on_has_the_same_bits); tcase_add_test(tc, a_step_may_be_cut_into_batches);
          tcase_add_test(tc, batch_norm_is_refused))
