/* Training and sampling: adapters are learnt, the condition chooses which, padding does not count, and bits are the
 * same for any number of threads and after a new start. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generators/oral/batch.h"
#include "generators/oral/sample.h"
#include "ops/ops.h"
#include "ops/optimizer.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

enum { MEMBERS = 2, D = 16, WIDTH = 16, CONDITION = 4, MOST_VALUES = 256, MOST_NUMBERS = 512, MOST_VALUE_COUNT = 128 };

static const peft_token_tensor tensors[] = {{.name = "0.A", .shape = {2, {2, 13}}},
                                            {.name = "0.B", .shape = {2, {9, 2}}},
                                            {.name = "1.A", .shape = {2, {2, 13}}},
                                            {.name = "1.B", .shape = {2, {9, 2}}}};

typedef struct toy {
    peft_token_layout layout;
    peft_oral oral;
    peft_diffusion diffusion;
    peft_oral_library library;
    peft_oral_training training;
    peft_oral_batch batch;
    peft_optimizer *optimizer;
    float values[MEMBERS * MOST_VALUES], tokens[MEMBERS * MOST_NUMBERS], mask[MOST_NUMBERS], address[MOST_NUMBERS];
    float conditions[MEMBERS * CONDITION];
    peft_context *ctx;
    peft_graph *g;
    peft_tensor *loss;
} toy;

static void open_library(toy *t)
{
    peft_error error = {0};
    ck_assert(!peft_token_layout_create(&t->layout, tensors, 4, D, 1, &error));
    for (int k = 0; k < MEMBERS * t->layout.num_values; k++) t->values[k] = 0.05F * (float)op_noise((uint64_t)k);
    ck_assert(!peft_token_layout_measure(&t->layout, t->values, MEMBERS, &error));
    const int64_t numbers = t->layout.num_tokens * D;
    ck_assert_int_le(numbers, MOST_NUMBERS);
    for (int m = 0; m < MEMBERS; m++)
        ck_assert(!peft_tokens_make(&t->layout, t->values + m * t->layout.num_values, t->tokens + m * numbers, &error));
    peft_tokens_mask(&t->layout, t->mask);
    peft_token_address(&t->layout, WIDTH, true, t->address);
    for (int m = 0; m < MEMBERS; m++)
        for (int c = 0; c < CONDITION; c++) t->conditions[m * CONDITION + c] = c % MEMBERS == m ? 1 : -1;
    t->library = (peft_oral_library){&t->layout, MEMBERS, t->tokens, t->mask, t->conditions, t->address};
}

static void open_net(toy *t, int64_t drawn, bool predicts_numbers)
{
    peft_error error = {0};
    peft_oral_sizes sizes = peft_oral_default_sizes(t->layout.num_tokens, D, CONDITION);
    sizes.mamba = (peft_mamba){.version = 2, .width = WIDTH, .state = 8, .taps = 4, .expand = 2, .head = 8, .chunk = 4};
    memcpy(sizes.denoiser.channels, (int64_t[]){1, 8, 16, 16, 16, 8, 1}, sizeof sizes.denoiser.channels);
    ck_assert_msg(!peft_oral_create(&t->oral, &sizes, 5, &error), "%s", error.message);
    ck_assert(!peft_diffusion_create(&t->diffusion, 100, 1e-3, 0.1, &error));
    t->training = (peft_oral_training){drawn, predicts_numbers, 0.1, 9};
    ck_assert(!peft_oral_batch_create(&t->batch, &t->oral, &t->training, MEMBERS, &error));
    peft_optimizer_parameter list[MOST_VALUE_COUNT];
    size_t count = 0;
    for (int64_t k = 0; k < t->oral.set.count; k++) {
        const peft_value *value = t->oral.set.items[k].value;
        if (value->gradient)
            list[count++] = (peft_optimizer_parameter){value->data, value->gradient, peft_value_count(value), 1, 0};
    }
    ck_assert(!peft_optimizer_create(&t->optimizer, NULL, list, count, &error));
}

static void describe(toy *t, int threads)
{
    peft_error error = {0};
    const peft_context_options options = {.threads = threads};
    ck_assert(!peft_context_open(&t->ctx, &options, &error) && !peft_graph_create(&t->g, &error));
    const uint32_t all[MEMBERS] = {0, 1};
    ck_assert(!peft_oral_batch_draw(&t->batch, &t->oral, &t->library, &t->diffusion, &t->training, all, 0, &error));
    const peft_net net = {t->g, &t->oral.set, true};
    t->loss = peft_graph_keep(t->g, peft_oral_batch_loss(&net, &t->oral, &t->library, &t->batch, NULL));
    ck_assert_msg(!peft_graph_status(t->g, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_differentiate(t->g, t->loss, &error), "%s", error.message);
}

static void open_toy(toy *t, int64_t drawn, bool predicts_numbers, int threads)
{
    *t = (toy){0};
    open_library(t);
    open_net(t, drawn, predicts_numbers);
    describe(t, threads);
}

static void close_toy(toy *t)
{
    peft_graph_free(t->g);
    peft_context_close(t->ctx);
    peft_optimizer_free(t->optimizer);
    peft_oral_batch_free(&t->batch);
    peft_diffusion_free(&t->diffusion);
    peft_oral_free(&t->oral);
    peft_token_layout_free(&t->layout);
}

static double gradients_at(toy *t, int64_t step)
{
    const uint32_t all[MEMBERS] = {0, 1};
    peft_error error = {0};
    ck_assert(!peft_oral_batch_draw(&t->batch, &t->oral, &t->library, &t->diffusion, &t->training, all, step, &error));
    peft_value_set_zero_gradients(&t->oral.set);
    ck_assert_msg(!peft_graph_run(t->g, t->ctx, &error), "%s", error.message);
    return (double)*(const float *)read_values(t->g, t->loss);
}

/* Steps first ... last - 1 of AdamW. */
static void train(toy *t, int64_t first, int64_t last, int64_t all)
{
    peft_error error = {0};
    double norm;
    for (int64_t step = first; step < last; step++) {
        gradients_at(t, step);
        const double rate = 4e-3 * peft_schedule_factor(PEFT_SCHEDULE_COSINE, step, all / 20, all);
        ck_assert(!peft_optimizer_clip(t->optimizer, 1, &norm, &error));
        ck_assert(!peft_optimizer_step(t->optimizer, rate, &error));
    }
}

/* ---- what is learnt ---- */

static double cosine(const float *a, const float *b, int64_t count)
{
    double ab = 0, aa = 0, bb = 0;
    for (int64_t k = 0; k < count; k++) {
        ab += (double)a[k] * (double)b[k];
        aa += (double)a[k] * (double)a[k];
        bb += (double)b[k] * (double)b[k];
    }
    return ab / sqrt(aa * bb);
}

/* A sample for the condition of a member, as values. */
static void sample(toy *t, const float *condition, peft_oral_sampling how, float *values)
{
    peft_error error = {0};
    float tokens[MOST_NUMBERS];
    peft_status status =
        peft_oral_sample(&t->oral, &t->diffusion, &how, t->ctx, condition, t->address, -1, 1, tokens, &error);
    ck_assert_msg(status == PEFT_OK, "%s", error.message);
    ck_assert(!peft_tokens_restore(&t->layout, tokens, values, &error));
}

static const struct {
    bool predicts_numbers;
    int64_t steps; /* of training */
    peft_oral_sampling how;
} ways[] = {{false, 6000, {.steps = 20, .guidance = 1}},
            {true, 2000, {.steps = 20, .guidance = 1, .predicts_numbers = true}}};

/* Each member is generated from its own condition, also with guidance and by all steps of DDPM, and from the other
 * one's condition the other one is. */
START_TEST(adapters_are_learnt_and_conditions_choose)
{
    toy t;
    open_toy(&t, 1000, ways[_i].predicts_numbers, 2);
    train(&t, 0, ways[_i].steps, ways[_i].steps);
    float values[MOST_VALUES];
    const int64_t count = t.layout.num_values;
    for (int m = 0; m < MEMBERS; m++)
        for (int kind = 0; kind < 3; kind++) {
            peft_oral_sampling how = ways[_i].how;
            if (kind == 1) how.guidance = 1.2;
            if (kind == 2) how.steps = 0;
            sample(&t, t.conditions + m * CONDITION, how, values);
            const double own = cosine(values, t.values + m * count, count);
            const double other = cosine(values, t.values + (1 - m) * count, count);
            ck_assert_msg(own > 0.99, "member %d, way %d: cosine %g", m, kind, own);
            ck_assert_double_lt(other, 0.5);
        }
    close_toy(&t);
}
END_TEST

/* ---- what does not matter ---- */

START_TEST(padding_does_not_reach_the_loss)
{
    toy t;
    open_toy(&t, 1000, _i > 0, 1);
    const double before = gradients_at(&t, 3);
    float *gradients = malloc((size_t)t.oral.set.num_trained * sizeof *gradients);
    memcpy(gradients, t.oral.set.gradients, (size_t)t.oral.set.num_trained * sizeof *gradients);
    /* Other targets where nothing is shown; what is noised there stays what it was. */
    for (int64_t k = 0; k < t.batch.rows * D; k++)
        if (t.batch.mask[k] == 0) t.batch.target[k] = 1e6F;
    peft_error error = {0};
    peft_value_set_zero_gradients(&t.oral.set);
    ck_assert(!peft_graph_run(t.g, t.ctx, &error));
    ck_assert_double_eq((double)*(const float *)read_values(t.g, t.loss), before);
    ck_assert_mem_eq(gradients, t.oral.set.gradients, (size_t)t.oral.set.num_trained * sizeof *gradients);
    free(gradients);
    close_toy(&t);
}
END_TEST

/* Half of the tokens at a time: drawn anew in each step, the same in each run. */
START_TEST(threads_and_new_starts_do_not_show)
{
    enum { STEPS = 20, HALF = 10 };
    char path[] = "oral_training_XXXXXX";
    ck_assert_int_ge(mkstemp(path), 0);
    toy one, two;
    peft_error error = {0};
    float first[MOST_VALUES], second[MOST_VALUES];
    open_toy(&one, 4, false, 1);
    open_toy(&two, 4, false, 3);
    train(&one, 0, STEPS, STEPS);
    train(&two, 0, HALF, STEPS);
    /* What is trained comes from a file; the optimiser's state stays. */
    ck_assert_msg(!peft_value_set_save(&two.oral.set, path, &error), "%s", error.message);
    memset(two.oral.set.memory, 0, (size_t)two.oral.set.num_trained * sizeof(float));
    ck_assert_msg(!peft_value_set_load(&two.oral.set, path, &error), "%s", error.message);
    train(&two, HALF, STEPS, STEPS);
    remove(path);
    ck_assert_mem_eq(one.oral.set.memory, two.oral.set.memory, (size_t)one.oral.set.num_trained * sizeof(float));

    peft_oral_sampling how = {.steps = 5, .eta = 0.5, .guidance = 2, .seed = 3};
    sample(&one, one.conditions, how, first);
    sample(&two, one.conditions, how, second);
    ck_assert_mem_eq(first, second, (size_t)one.layout.num_values * sizeof *first);
    how.first_sample = 1;
    sample(&two, one.conditions, how, second);
    ck_assert_int_ne(memcmp(first, second, (size_t)one.layout.num_values * sizeof *first), 0);
    close_toy(&one);
    close_toy(&two);
}
END_TEST

/* A batch of both adapters draws what two batches of one each draw. */
START_TEST(cuts_of_a_step_draw_the_same)
{
    toy t;
    peft_error error = {0};
    peft_oral_batch one;
    open_toy(&t, 4, false, 1);
    const uint32_t all[MEMBERS] = {0, 1};
    ck_assert(!peft_oral_batch_draw(&t.batch, &t.oral, &t.library, &t.diffusion, &t.training, all, 7, &error));
    ck_assert(!peft_oral_batch_create(&one, &t.oral, &t.training, 1, &error));
    for (int m = 0; m < MEMBERS; m++) {
        ck_assert(!peft_oral_batch_draw(&one, &t.oral, &t.library, &t.diffusion, &t.training, all + m, 7, &error));
        const size_t bytes = (size_t)(one.rows * D) * sizeof(float);
        ck_assert_mem_eq(one.noisy, t.batch.noisy + m * one.rows * D, bytes);
        ck_assert_mem_eq(one.target, t.batch.target + m * one.rows * D, bytes);
        ck_assert_mem_eq(one.mask, t.batch.mask + m * one.rows * D, bytes);
    }
    peft_oral_batch_free(&one);
    close_toy(&t);
}
END_TEST

/* With eta 0 only the first noise counts, and every sample has its own. */
START_TEST(ddim_without_eta_is_deterministic)
{
    toy t;
    float first[MOST_VALUES], second[MOST_VALUES];
    open_toy(&t, 4, false, 2);
    const peft_oral_sampling how = {.steps = 7, .guidance = 1};
    sample(&t, t.conditions, how, first);
    sample(&t, t.conditions, how, second);
    ck_assert_mem_eq(first, second, (size_t)t.layout.num_values * sizeof *first);
    close_toy(&t);
}
END_TEST

START_TEST(sizes_that_do_not_fit_are_refused)
{
    peft_error error = {0};
    peft_oral oral;
    peft_oral_sizes sizes = peft_oral_default_sizes(3, 16, 4);
    sizes.mamba.head = 5;
    ck_assert_int_eq(peft_oral_create(&oral, &sizes, 1, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "heads of 5 channels: expected a divisor of 32"));
    sizes = peft_oral_default_sizes(3, 16, 4);
    sizes.mamba.version = 3;
    ck_assert_int_eq(peft_oral_create(&oral, &sizes, 1, &error), PEFT_ERR_ARGUMENT);
    sizes = peft_oral_default_sizes(3, 16, 4);
    sizes.denoiser.channels[5] = 7;
    ck_assert_int_eq(peft_oral_create(&oral, &sizes, 1, &error), PEFT_ERR_ARGUMENT);
    sizes = peft_oral_default_sizes(3, 16, 4);
    sizes.denoiser.taps = 4;
    ck_assert_int_eq(peft_oral_create(&oral, &sizes, 1, &error), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(peft_oral_create(&oral, &(peft_oral_sizes){0}, 1, &error), PEFT_ERR_ARGUMENT);
}
END_TEST

/* Trained addresses, a state for each member of the library, Mamba, and batch norm whose averages run. */
START_TEST(every_option_trains)
{
    toy t = {0};
    peft_error error = {0};
    open_library(&t);
    peft_oral_sizes sizes = peft_oral_default_sizes(t.layout.num_tokens, D, CONDITION);
    sizes.mamba = (peft_mamba){.version = 1, .width = WIDTH, .state = 4, .taps = 4, .expand = 2};
    memcpy(sizes.denoiser.channels, (int64_t[]){1, 4, 8, 8, 8, 4, 1}, sizeof sizes.denoiser.channels);
    sizes.address = PEFT_ORAL_TRAINED;
    sizes.members = MEMBERS;
    sizes.denoiser.norm = PEFT_DENOISER_BATCH;
    ck_assert_msg(!peft_oral_create(&t.oral, &sizes, 5, &error), "%s", error.message);
    ck_assert(!peft_diffusion_create(&t.diffusion, 100, 1e-3, 0.1, &error));
    t.library.addresses = NULL;
    t.training = (peft_oral_training){4, false, 0.1, 9};
    const uint32_t all[MEMBERS] = {0, 1};
    const peft_context_options options = {.threads = 1};
    peft_denoiser_moments moments;
    ck_assert(!peft_oral_batch_create(&t.batch, &t.oral, &t.training, MEMBERS, &error));
    ck_assert(!peft_oral_batch_draw(&t.batch, &t.oral, &t.library, &t.diffusion, &t.training, all, 0, &error));
    ck_assert(!peft_context_open(&t.ctx, &options, &error) && !peft_graph_create(&t.g, &error));
    const peft_net net = {t.g, &t.oral.set, true};
    t.loss = peft_graph_keep(t.g, peft_oral_batch_loss(&net, &t.oral, &t.library, &t.batch, &moments));
    ck_assert_msg(!peft_graph_differentiate(t.g, t.loss, &error), "%s", error.message);
    gradients_at(&t, 0);
    for (int64_t k = 0; k < t.oral.set.count; k++) { /* all of it is reached */
        const peft_value *value = t.oral.set.items[k].value;
        double sum = 0;
        for (int64_t i = 0; value->gradient && i < peft_value_count(value); i++)
            sum += fabs((double)value->gradient[i]);
        ck_assert_msg(!value->gradient || sum > 0, "%s", t.oral.set.items[k].name);
    }
    const peft_value *mean = peft_net_value(&t.oral.set, "criteria.net.encoder_list.1.1.0.running_mean");
    ck_assert(!peft_denoiser_average(&t.oral.sizes.denoiser, &t.oral.set, "criteria.net", t.g, &moments, t.batch.rows,
                                     &error));
    const float *seen = read_values(t.g, moments.layers[1].mean);
    ck_assert_double_eq_tol((double)mean->data[0], 0.1 * (double)seen[0], 1e-7);
    close_toy(&t);
}
END_TEST

TEST_MAIN("oral_training",
          tcase_add_loop_test(tc, adapters_are_learnt_and_conditions_choose, 0, sizeof ways / sizeof *ways);
          tcase_add_loop_test(tc, padding_does_not_reach_the_loss, 0, 2);
          tcase_add_test(tc, threads_and_new_starts_do_not_show); tcase_add_test(tc, cuts_of_a_step_draw_the_same);
          tcase_add_test(tc, ddim_without_eta_is_deterministic); tcase_add_test(tc, sizes_that_do_not_fit_are_refused);
          tcase_add_test(tc, every_option_trains))
