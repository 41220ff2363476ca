/* What is special to AdaLoRA: its budget, its masks, what files hold after pruning. */
#include <math.h>
#include <string.h>

#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/variants/adapted_layer.h"
#include "variants/budget.h"

enum { A, E, B, STATE };

static const peft_layer two_layers[] = {{"a.query", 3, 5}, {"b.query", 3, 5}};
static peft_adapters *all;
static peft_error error;

static void open_two(const char *text)
{
    ck_assert_msg(!adapters_open(&all, peft_variant_find("adalora"), two_layers, 2, text, &error), "%s", error.message);
}

static void teardown(void)
{
    peft_adapters_free(all);
    all = NULL;
}

static float *value_of(int layer, int value)
{
    return all->layers[layer].values[value].data;
}

static void fill_E(float with)
{
    for (int64_t l = 0; l < all->num_layers; l++)
        for (int64_t j = 0; j < all->layers[l].rank; j++) value_of((int)l, E)[j] = with;
}

static int64_t count_open(void)
{
    int64_t open = 0;
    for (int64_t l = 0; l < all->num_layers; l++)
        for (int64_t j = 0; j < all->layers[l].rank; j++) open += value_of((int)l, E)[j] != 0;
    return open;
}

static void step(int64_t number, int64_t num_steps)
{
    ck_assert_msg(!peft_adapters_after_step(all, &(peft_training_step){number, num_steps, 1e-3}, &error), "%s",
                  error.message);
}

/* ---- the budget ---- */

/* Worked out by hand from (3) of budget.h: 8 + 16 (1 - (t - 5) / 35)^3, rounded down. */
static const struct {
    int64_t step, budget;
} worked_out[] = {{1, 24}, {5, 24}, {6, 22}, {10, 18}, {20, 10}, {30, 8}, {40, 8}, {41, 8}, {50, 8}};

START_TEST(the_budget_is_met_exactly_after_every_step)
{
    const size_t last = sizeof worked_out / sizeof *worked_out - 1;
    open_two("rank=12;target_rank=4;tinit=5;tfinal=10");
    int64_t before = 24;
    for (int64_t t = 1, next = 0; t <= 50; t++) {
        fill_E(1); /* as if the optimiser had brought all of them back */
        step(t, 50);
        int64_t open = count_open();
        ck_assert_int_le(open, before);
        ck_assert_int_ge(open, 8);
        if (t == worked_out[next].step) ck_assert_int_eq(open, worked_out[next++].budget);
        ck_assert_int_le(next, (int64_t)last + 1);
        before = open;
    }
}
END_TEST

/* Gradients of zero give equal scores: the first directions go first, and exactly as many as must. */
START_TEST(of_equal_scores_the_first_go_first)
{
    open_two("rank=4;target_rank=3;tinit=0;tfinal=1;delta_t=1");
    fill_E(1);
    step(1, 3); /* 6 + 2 / 8, rounded down */
    ck_assert_int_eq(count_open(), 6);
    ck_assert(value_of(0, E)[0] == 0 && value_of(0, E)[1] == 0 && value_of(0, E)[2] == 1);
}
END_TEST

START_TEST(a_budget_of_all_prunes_none)
{
    open_two("rank=4;target_rank=4;tinit=0;tfinal=1");
    fill_E(1);
    for (int64_t t = 1; t <= 4; t++) step(t, 4);
    ck_assert_int_eq(count_open(), 8);
}
END_TEST

START_TEST(what_was_masked_may_come_back_until_the_last_phase)
{
    open_two("rank=2;target_rank=1;tinit=0;tfinal=2;delta_t=2");
    fill_E(1);
    step(2, 6); /* 2 + 2 / 8: two go */
    ck_assert_int_eq(count_open(), 2);
    fill_E(1);
    step(3, 6); /* not one of every two steps */
    ck_assert_int_eq(count_open(), 4);
    step(4, 6); /* now it is settled: the first layer's, by the rule for equal scores */
    for (int64_t t = 5; t <= 6; t++) {
        fill_E(1);
        step(t, 6);
        ck_assert(value_of(0, E)[0] == 0 && value_of(0, E)[1] == 0);
        ck_assert(value_of(1, E)[0] == 1 && value_of(1, E)[1] == 1);
    }
}
END_TEST

/* What the run decides is known after its first step, and stands in the options, which go into files. */
START_TEST(two_thirds_in_the_middle_of_the_run_are_the_default)
{
    open_two(NULL);
    const peft_budget_options *options = all->options;
    step(1, 100);
    ck_assert_int_eq(options->total_step, 100);
    ck_assert_int_eq(options->tinit, 10);
    ck_assert_int_eq(options->tfinal, 50);
    ck_assert_int_eq(options->target_rank, 8);
}
END_TEST

static const struct {
    const char *text, *message;
} refused[] = {
    {"tinit=5;tfinal=5", "adalora: tinit 5 and tfinal 5 leave none of 10 steps to prune in"},
    {"tinit=0;tfinal=11", "adalora: tinit 0 and tfinal 11 leave none of 10 steps"},
    {"total_step=30;tinit=0;tfinal=10",
     "adalora: pruning ends at step 20 (total_step - tfinal), but there are only 10"},
    {"rank=4;target_rank=5", "adalora: target_rank: expected at most the rank at the start, 4, found 5"},
};

START_TEST(schedules_that_cannot_be_kept_are_refused)
{
    open_two(refused[_i].text);
    const peft_training_step first = {1, 10, 1e-3};
    ck_assert_int_eq(peft_adapters_check_steps(all, 10, &error), PEFT_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, refused[_i].message) != NULL, "found: %s", error.message);
    ck_assert_int_eq(peft_adapters_after_step(all, &first, &error), PEFT_ERR_ARGUMENT);
}
END_TEST

/* ---- scores ---- */

/* |w g| = 6 in the first step and 2 in the second, with averages of a half: sensitivity 3, then 2.5; uncertainty
 * |6 - 3| / 2 = 1.5, then 0.75 + |2 - 2.5| / 2 = 1. */
START_TEST(sensitivity_and_uncertainty_are_averaged)
{
    open_two("beta1=0.5;beta2=0.5;tfinal=1;tinit=3");
    const peft_value *a = &all->layers[0].values[A];
    const float *sensitivity = value_of(0, STATE + 2), *uncertainty = value_of(0, STATE + 3);
    a->data[7] = -2;
    a->gradient[7] = 3;
    step(1, 10);
    ck_assert(sensitivity[7] == 3 && uncertainty[7] == 1.5F);
    a->gradient[7] = 1;
    step(2, 10);
    ck_assert(sensitivity[7] == 2.5F && uncertainty[7] == 1);
    ck_assert(sensitivity[6] == 0 && uncertainty[6] == 0);
}
END_TEST

/* What the same numbers gave in PEFT 0.21.2's RankAllocator (layers a, then b; 1: not masked), driven as its
 * AdaLoraModel.update_and_allocate does, with the settings below. */
static const char *const masks_of_peft[] = {"11111111", "11111111", "11111111", "10101110", "11111111", "10101010",
                                            "11111111", "00110011", "00110011", "00110011", "00110011", "00110011"};

static float number(int64_t t, int64_t salt, int64_t k)
{
    return (float)((t * 7919 + salt * 104729 + k * 31337 + k * k * 613) % 2001 - 1000) / 512;
}

START_TEST(masks_are_those_of_peft)
{
    open_two("rank=4;target_rank=2;tinit=2;tfinal=3;delta_t=2;beta1=0.85;beta2=0.7");
    static const int order[] = {A, E, B};
    for (int64_t t = 1; t <= 12; t++) {
        for (int64_t l = 0; l < 2; l++)
            for (int64_t v = 0; v < 3; v++) {
                const peft_value *value = &all->layers[l].values[order[v]];
                for (int64_t k = 0; k < peft_shape_count(&value->spec.shape); k++) {
                    value->data[k] = number(t, l * 6 + v * 2, k);
                    value->gradient[k] = number(t, l * 6 + v * 2 + 1, k);
                }
            }
        step(t, 12);
        char mask[9] = "";
        for (int64_t j = 0; j < 8; j++) mask[j] = value_of((int)(j / 4), E)[j % 4] != 0 ? '1' : '0';
        ck_assert_msg(strcmp(mask, masks_of_peft[t - 1]) == 0, "step %lld: expected %s, found %s", (long long)t,
                      masks_of_peft[t - 1], mask);
    }
}
END_TEST

START_TEST(a_score_that_is_no_number_ends_the_run)
{
    open_two("rank=2;target_rank=1;tinit=0;tfinal=1");
    all->layers[1].values[E].data[0] = 3e38F;
    all->layers[1].values[E].gradient[0] = 3e38F;
    const peft_training_step first = {1, 10, 1e-3};
    ck_assert_int_eq(peft_adapters_after_step(all, &first, &error), PEFT_ERR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "b.query: the score of direction 0 is "));
}
END_TEST

/* ---- the layer ---- */

static const layer_case sizes = {.in_features = 7, .out_features = 5, .rank = 4, .tokens = 6, .alpha = 3};

START_TEST(all_E_of_one_are_lora)
{
    adapted_layer l, lora;
    layer_open(&l, peft_variant_find("adalora"), sizes, NULL);
    layer_shake(&l);
    layer_case same_scale = sizes;
    same_scale.alpha = 3 / (4 + 1e-5) * 4;
    layer_open(&lora, peft_variant_find("lora"), same_scale, NULL);
    for (int j = 0; j < 4; j++) l.adapter->values[E].data[j] = 1;
    memcpy(lora.adapter->values[0].data, l.adapter->values[A].data, 4 * 7 * sizeof(float));
    memcpy(lora.adapter->values[1].data, l.adapter->values[B].data, 5 * 4 * sizeof(float));
    float *y = layer_output(&l, 1), *expected = layer_output(&lora, 1);
    ck_assert_double_le(largest_difference(y, expected, 30), 1e-6 * largest_value(expected, 30));
    free(y);
    free(expected);
    layer_close(&l);
    layer_close(&lora);
}
END_TEST

START_TEST(alpha_of_zero_or_less_counts_as_the_rank)
{
    for (int alpha = -1; alpha <= 0; alpha++) {
        adapted_layer l;
        layer_case other = sizes;
        other.alpha = alpha;
        layer_open(&l, peft_variant_find("adalora"), other, NULL);
        ck_assert_double_eq(l.adapter->scaling, 4 / (4 + 1e-5));
        layer_close(&l);
    }
}
END_TEST

/* The penalty stands in the loss of training once, divided by the number of matrices. */
START_TEST(the_penalty_is_a_mean_over_matrices)
{
    adapted_layer with, without;
    layer_open(&with, peft_variant_find("adalora"), sizes, "orth_reg_weight=0.5");
    layer_open(&without, peft_variant_find("adalora"), sizes, "orth_reg_weight=0");
    memset(with.all->set.memory, 0, (size_t)with.all->set.num_trained * sizeof(float));
    memset(without.all->set.memory, 0, (size_t)without.all->set.num_trained * sizeof(float));
    double difference = layer_loss_at(&with, -1, 0) - layer_loss_at(&without, -1, 0);
    ck_assert_double_eq_tol(difference, 0.5 * sqrt(4), 1e-12); /* |0 - I| of both matrices */
    layer_close(&with);
    layer_close(&without);
}
END_TEST

/* ---- after pruning ---- */

/* Direction j of the layer is settled as masked. */
static void mask(const adapted_layer *l, int j)
{
    l->adapter->values[E].data[j] = 0;
    l->adapter->values[STATE + PEFT_BUDGET_STATE - 1].data[j] = 0;
}

static void check_smaller(adapted_layer *l, int64_t rank)
{
    peft_adapters *smaller;
    float *expected = layer_output(l, 1);
    ck_assert_msg(!peft_adapters_compact(l->all, &smaller, &error), "%s", error.message);
    ck_assert_int_eq(smaller->layers[0].rank, rank);
    ck_assert_double_eq(smaller->layers[0].scaling, l->adapter->scaling);
    peft_adapter *before = l->adapter;
    l->adapter = &smaller->layers[0];
    float *y = layer_output(l, 1);
    ck_assert_double_le(largest_difference(y, expected, 30), 1e-6);
    l->adapter = before;
    free(y);
    free(expected);
    peft_adapters_free(smaller);
}

START_TEST(pruned_directions_are_left_out_of_files)
{
    adapted_layer l;
    peft_adapters *smaller, *again;
    layer_open(&l, peft_variant_find("adalora"), sizes, NULL);
    layer_shake(&l);
    ck_assert(!peft_adapters_compact(l.all, &smaller, &error));
    ck_assert_ptr_null(smaller); /* nothing to leave out */
    mask(&l, 1);
    check_smaller(&l, 3);
    mask(&l, 3);
    check_smaller(&l, 2);

    /* Pruned once more, the pattern still counts the directions of the start. */
    ck_assert(!peft_adapters_compact(l.all, &smaller, &error));
    const adapted_layer view = {.adapter = &smaller->layers[0]};
    mask(&view, 0);
    ck_assert(!peft_adapters_compact(smaller, &again, &error));
    json_t *pattern = json_loads("{\"model.layer.0.query.lora_E\": [false, false, true, false]}", 0, NULL);
    ck_assert(json_equal(((const peft_budget_options *)again->options)->rank_pattern, pattern));
    ck_assert(again->layers[0].values[E].data[0] == l.adapter->values[E].data[2]);
    json_decref(pattern);
    peft_adapters_free(smaller);
    peft_adapters_free(again);
    layer_close(&l);
}
END_TEST

START_TEST(a_layer_may_lose_all_its_directions)
{
    adapted_layer l;
    peft_lora_factors factors;
    peft_adapters *smaller;
    float weight[35];
    layer_open(&l, peft_variant_find("adalora"), sizes, NULL);
    layer_shake(&l);
    for (int j = 0; j < 4; j++) mask(&l, j);
    check_smaller(&l, 0);
    ck_assert(!peft_adapters_compact(l.all, &smaller, &error));
    const peft_adapter *const states[] = {l.adapter, &smaller->layers[0]};
    for (int s = 0; s < 2; s++) {
        memcpy(weight, l.weight_data, sizeof weight);
        ck_assert(!peft_adapter_merge(states[s], weight, NULL, &error));
        ck_assert_mem_eq(weight, l.weight_data, sizeof weight);
        ck_assert(!peft_adapter_to_lora(states[s], &factors, &error));
        ck_assert_int_eq(factors.rank, 0);
        free(factors.A);
        free(factors.B);
    }
    ck_assert(!peft_adapters_after_step(smaller, &(peft_training_step){1, 10, 1e-3}, &error));
    peft_adapters_free(smaller);
    layer_close(&l);
}
END_TEST

START_TEST(exported_factors_lack_what_is_masked)
{
    adapted_layer l;
    peft_lora_factors factors;
    layer_open(&l, peft_variant_find("adalora"), sizes, NULL);
    layer_shake(&l);
    l.adapter->values[E].data[2] = 0;
    ck_assert(!peft_adapter_to_lora(l.adapter, &factors, &error));
    ck_assert_int_eq(factors.rank, 3);
    ck_assert_mem_eq(factors.A + 2 * 7, l.adapter->values[A].data + 3 * 7, 7 * sizeof(float));
    ck_assert(factors.B[2] == l.adapter->values[B].data[3] * l.adapter->values[E].data[3]);
    free(factors.A);
    free(factors.B);
    layer_close(&l);
}
END_TEST

START_TEST(making_the_smaller_adapters_survives_a_failing_allocator)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find("adalora"), sizes, NULL);
    mask(&l, 2);
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_adapters *smaller;
        fail_allocation(call);
        peft_status status = peft_adapters_compact(l.all, &smaller, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert_int_eq(smaller == NULL, failed);
        peft_adapters_free(smaller);
    }
    layer_close(&l);
}
END_TEST

static const struct {
    const char *pattern, *message;
} wrong_patterns[] = {
    {"[true]", "rank_pattern: expected an object"},
    {"{\"a.query.lora_E\": [true]}", "rank_pattern: \"a.query.lora_E\": expected 2 booleans"},
    {"{\"a.query.lora_E\": [true, 1]}", "rank_pattern: \"a.query.lora_E\": expected 2 booleans"},
    {"{\"a.query.lora_E\": true}", "rank_pattern: \"a.query.lora_E\": expected 2 booleans"},
    {"{\"a.query.lora_A\": [true, true]}", "rank_pattern: \"a.query.lora_A\" matches none of 2 modules"},
    {"{\"uery.lora_E\": [true, true]}", "rank_pattern: \"uery.lora_E\" matches none of 2 modules"},
};

START_TEST(other_patterns_are_refused)
{
    char text[256];
    snprintf(text, sizeof text, "rank=2;target_rank=1;rank_pattern=%s", wrong_patterns[_i].pattern);
    ck_assert_int_eq(adapters_open(&all, peft_variant_find("adalora"), two_layers, 2, text, &error), PEFT_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, wrong_patterns[_i].message) != NULL, "found: %s", error.message);
}
END_TEST

TEST_MAIN("adalora", tcase_add_checked_fixture(tc, NULL, teardown);
          tcase_add_test(tc, the_budget_is_met_exactly_after_every_step);
          tcase_add_test(tc, of_equal_scores_the_first_go_first); tcase_add_test(tc, a_budget_of_all_prunes_none);
          tcase_add_test(tc, what_was_masked_may_come_back_until_the_last_phase);
          tcase_add_test(tc, two_thirds_in_the_middle_of_the_run_are_the_default);
          tcase_add_loop_test(tc, schedules_that_cannot_be_kept_are_refused, 0, sizeof refused / sizeof *refused);
          tcase_add_test(tc, sensitivity_and_uncertainty_are_averaged); tcase_add_test(tc, masks_are_those_of_peft);
          tcase_add_test(tc, a_score_that_is_no_number_ends_the_run); tcase_add_test(tc, all_E_of_one_are_lora);
          tcase_add_test(tc, alpha_of_zero_or_less_counts_as_the_rank);
          tcase_add_test(tc, the_penalty_is_a_mean_over_matrices);
          tcase_add_test(tc, pruned_directions_are_left_out_of_files);
          tcase_add_test(tc, a_layer_may_lose_all_its_directions);
          tcase_add_test(tc, exported_factors_lack_what_is_masked);
          tcase_add_test(tc, making_the_smaller_adapters_survives_a_failing_allocator);
          tcase_add_loop_test(tc, other_patterns_are_refused, 0, sizeof wrong_patterns / sizeof *wrong_patterns))
