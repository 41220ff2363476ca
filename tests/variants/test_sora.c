/* What is special to SoRA: its threshold, its gates, and the limits in which it is LoRA. */
#include <math.h>
#include <string.h>

#include "tests/support/main.h"
#include "tests/variants/layer_training.h"

enum { A, B, GATE };

static const layer_case sizes = {.in_features = 7, .out_features = 5, .rank = 4, .tokens = 6, .alpha = 3};
static adapted_layer l;
static peft_error error;

static void open_sora(const char *text)
{
    layer_open(&l, peft_variant_find("sora"), sizes, text);
}

static void step(int64_t number, int64_t num_steps, double rate)
{
    ck_assert(!peft_adapters_after_step(l.all, &(peft_training_step){number, num_steps, rate}, &error));
}

static float *gate(void)
{
    return l.adapter->values[GATE].data;
}

/* ---- the threshold ---- */

/* The published program leaves 0 of all that is below 2 xi: it takes 0.375 to 0.125, and that, below xi, to 0. */
START_TEST(the_threshold_is_soft)
{
    open_sora("threshold=0.25");
    static const float before[] = {0.375F, -0.75F, 0.25F, -0.25F}, after[] = {0.125F, -0.5F, 0, 0};
    memcpy(gate(), before, sizeof before);
    step(1, 1, 1);
    for (int j = 0; j < 4; j++) ck_assert(gate()[j] == after[j]);
    const float small[] = {0, -0.125F, 0.125F, 1};
    memcpy(gate(), small, sizeof small);
    step(1, 1, 1);
    ck_assert(gate()[0] == 0 && gate()[1] == 0 && gate()[2] == 0 && gate()[3] == 0.75F);
    layer_close(&l);
}
END_TEST

START_TEST(it_may_follow_the_learning_rate)
{
    open_sora("threshold=0.5;threshold_by_rate=true");
    gate()[0] = 1;
    step(1, 10, 0.25);
    ck_assert(gate()[0] == 0.875F);
    layer_close(&l);
}
END_TEST

/* Six steps with three values from 1 to 9. */
static const struct {
    const char *schedule;
    double values[6];
} rising[] = {
    {"constant", {1, 1, 1, 1, 1, 1}},
    {"linear", {1, 1, 5, 5, 9, 9}},
    {"exp_linear", {1, 1, 3, 3, 9, 9}},
    {"log_linear", {1, 1, 8.3071881, 8.3071881, 9, 9}}, /* log((e + e^9) / 2) */
};

START_TEST(it_may_rise_over_the_run)
{
    char text[128];
    snprintf(text, sizeof text, "threshold=1;threshold_end=9;threshold_values=3;threshold_schedule=%s",
             rising[_i].schedule);
    open_sora(text);
    for (int64_t t = 1; t <= 6; t++) {
        gate()[0] = 100;
        step(t, 6, 1e-3);
        ck_assert_double_eq_tol(100 - (double)gate()[0], rising[_i].values[t - 1], 1e-4);
    }
    layer_close(&l);
}
END_TEST

START_TEST(ratios_need_values_above_zero)
{
    static const peft_layer layer = {"a.query", 2, 2};
    peft_adapters *all;
    ck_assert_int_eq(
        adapters_open(&all, peft_variant_find("sora"), &layer, 1, "threshold=0;threshold_schedule=exp_linear", &error),
        PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "exp_linear: expected thresholds above 0, found 0 and 0.0007"));
}
END_TEST

/* ---- the gates ---- */

START_TEST(open_gates_are_lora)
{
    adapted_layer lora;
    open_sora("threshold=0");
    layer_shake(&l);
    for (int j = 0; j < 4; j++) gate()[j] = 1;
    layer_open(&lora, peft_variant_find("lora"), sizes, NULL);
    for (int v = A; v <= B; v++)
        memcpy(lora.adapter->values[v].data, l.adapter->values[v].data,
               (size_t)peft_shape_count(&l.adapter->values[v].spec.shape) * sizeof(float));
    float *y = layer_output(&l, 1), *expected = layer_output(&lora, 1);
    ck_assert_double_le(largest_difference(y, expected, 30), 1e-6 * largest_value(expected, 30));
    step(1, 1, 1);
    for (int j = 0; j < 4; j++) ck_assert(gate()[j] == 1);
    free(y);
    free(expected);
    layer_close(&l);
    layer_close(&lora);
}
END_TEST

/* Trained values lie in the order of the values: A [4, 7], B [5, 4], gate [4]. */
START_TEST(a_closed_gate_stops_its_direction_but_may_open_again)
{
    enum { AT_B = 4 * 7, AT_GATE = AT_B + 5 * 4 };
    open_sora(NULL);
    layer_shake(&l);
    gate()[2] = 0;
    double *gradient = layer_gradient(&l);
    for (int i = 0; i < 7; i++) ck_assert(gradient[2 * 7 + i] == 0);
    for (int o = 0; o < 5; o++) ck_assert(gradient[AT_B + o * 4 + 2] == 0);
    ck_assert(fabs(gradient[AT_GATE + 2]) > 1e-4 && gradient[AT_B] != 0);
    free(gradient);
    layer_close(&l);
}
END_TEST

START_TEST(exported_factors_lack_what_is_closed)
{
    peft_lora_factors factors;
    open_sora(NULL);
    layer_shake(&l);
    gate()[0] = gate()[3] = 0;
    ck_assert(!peft_adapter_to_lora(l.adapter, &factors, &error));
    ck_assert_int_eq(factors.rank, 2);
    float *expected = layer_output(&l, 1);
    ck_assert(!peft_adapter_merge(l.adapter, l.weight_data, l.bias_data, &error));
    l.adapter = NULL;
    float *y = layer_output(&l, 1);
    ck_assert_double_le(largest_difference(y, expected, 30), 1e-5 * (1 + largest_value(expected, 30)));
    free(y);
    free(expected);
    free(factors.A);
    free(factors.B);
    layer_close(&l);
}
END_TEST

START_TEST(the_mean_size_of_the_gates_may_be_a_loss)
{
    adapted_layer with;
    open_sora("l1=0");
    layer_open(&with, peft_variant_find("sora"), sizes, "l1=0.5");
    static const float gates[] = {0.5F, -1, 0, 2};
    memcpy(gate(), gates, sizeof gates);
    memcpy(with.adapter->values[GATE].data, gates, sizeof gates);
    ck_assert_double_eq_tol(layer_loss_at(&with, -1, 0) - layer_loss_at(&l, -1, 0), 0.5 * 3.5 / 4, 1e-12);
    double *gradient = layer_gradient(&with), *without = layer_gradient(&l);
    const int64_t first = l.all->set.num_trained - 4;
    static const double signs[] = {1, -1, 0, 1};
    for (int j = 0; j < 4; j++)
        ck_assert_double_eq_tol(gradient[first + j] - without[first + j], 0.5 / 4 * signs[j], 1e-12);
    free(gradient);
    free(without);
    layer_close(&with);
    layer_close(&l);
}
END_TEST

START_TEST(gates_have_no_weight_decay)
{
    open_sora(NULL);
    ck_assert(l.adapter->values[GATE].spec.no_decay && !l.adapter->values[A].spec.no_decay);
    layer_close(&l);
}
END_TEST

START_TEST(training_closes_gates)
{
    layer_training t;
    training_open(&t, peft_variant_find("sora"), sizes, "threshold=0.02", 1);
    training_run(&t, 1, 200, 200);
    int closed = 0;
    for (int j = 0; j < 4; j++) closed += t.layer.adapter->values[GATE].data[j] == 0;
    ck_assert_int_gt(closed, 0);
    training_close(&t);
}
END_TEST

TEST_MAIN("sora", tcase_add_test(tc, the_threshold_is_soft); tcase_add_test(tc, it_may_follow_the_learning_rate);
          tcase_add_loop_test(tc, it_may_rise_over_the_run, 0, sizeof rising / sizeof *rising);
          tcase_add_test(tc, ratios_need_values_above_zero); tcase_add_test(tc, open_gates_are_lora);
          tcase_add_test(tc, a_closed_gate_stops_its_direction_but_may_open_again);
          tcase_add_test(tc, exported_factors_lack_what_is_closed);
          tcase_add_test(tc, the_mean_size_of_the_gates_may_be_a_loss); tcase_add_test(tc, gates_have_no_weight_decay);
          tcase_add_test(tc, training_closes_gates))
