/* What the optimiser gets of adapters and model. */
#include "peft/parameters.h"

#include <stdio.h>
#include <string.h>

#include "peft/config.h"
#include "peft/inject.h"
#include "tests/peft/trained.h"
#include "tests/support/main.h"

static peft_error error;
static peft_model *model;
static peft_adapters *adapters;

static void open_with(const char *variant_name)
{
    char path[512];
    const peft_variant *variant = peft_variant_find(variant_name);
    peft_adapter_config config;
    snprintf(path, sizeof path, "%s/goldens/models/bert", getenv("PEFT_FIXTURES"));
    ck_assert_msg(!peft_model_open(&model, path, NULL, &error), "%s", error.message);
    ck_assert(!peft_adapter_config_init(&config, variant, &error));
    ck_assert_msg(!peft_inject(model, variant, config.options, &config.targets, 3, &adapters, NULL, &error), "%s",
                  error.message);
    peft_adapter_config_free(&config);
}

static void teardown(void)
{
    peft_detach(model, adapters);
    peft_adapters_free(adapters);
    peft_model_close(model);
}

/* A step without gradients is the decay alone: w <- w - rate decay w. */
START_TEST(weight_decay_leaves_alone_what_asks_for_it)
{
    trained t;
    peft_optimizer *optimizer;
    open_with("sora");
    const peft_value *A = &adapters->layers[0].values[0], *gate = &adapters->layers[0].values[2];
    float first = A->data[0], gate_before = gate->data[0];
    trained_open(&t, adapters, model);
    ck_assert(!peft_parameters_optimizer(&t.parameters, NULL, 0.5, 1, &optimizer, &error));
    peft_parameters_clear_gradients(&t.parameters);
    ck_assert(!peft_optimizer_step(optimizer, 0.5, &error));
    ck_assert(A->data[0] == first * 0.75F);
    ck_assert(gate->data[0] == gate_before);
    peft_optimizer_free(optimizer);
    trained_close(&t);
}
END_TEST

/* AdamW's first step is the rate against the gradient's sign, here of gradients 1: in double, up to eps and rounding.
 */
static double moved_by(const peft_value_item *item, double before)
{
    return before - (double)item->value->data[0];
}

START_TEST(loraplus_trains_up_sides_and_vectors_faster)
{
    const double rate = 0.01, ratio = 16;
    trained t;
    peft_optimizer *optimizer;
    open_with("lora");
    trained_open(&t, adapters, model);
    ck_assert(!peft_parameters_optimizer(&t.parameters, NULL, 0, ratio, &optimizer, &error));
    double before[64], groups[2] = {0};
    ck_assert_int_le(t.parameters.num_items, 64);
    for (int64_t k = 0; k < t.parameters.num_items; k++) {
        const peft_value_item *item = &t.parameters.items[k];
        before[k] = (double)item->value->data[0];
        for (int64_t e = 0; e < peft_value_count(item->value); e++) item->value->gradient[e] = 1;
    }
    ck_assert(!peft_optimizer_step(optimizer, rate, &error));
    for (int64_t k = 0; k < t.parameters.num_items; k++) {
        const peft_value_item *item = &t.parameters.items[k];
        bool faster = strstr(item->name, "lora_B") || strcmp(item->name, "classifier.bias") == 0;
        ck_assert_double_eq_tol(moved_by(item, before[k]), faster ? ratio * rate : rate, 1e-7);
        groups[faster]++;
    }
    ck_assert_double_eq(groups[0], groups[1]); /* as many A as B, and the head's weight and bias */
    peft_optimizer_free(optimizer);
    trained_close(&t);
}
END_TEST

START_TEST(states_of_a_schedule_are_kept_but_not_trained)
{
    trained t;
    int states = 0;
    open_with("adalora");
    trained_open(&t, adapters, model);
    for (int64_t k = 0; k < t.parameters.num_items; k++) states += t.parameters.items[k].value->gradient == NULL;
    ck_assert_int_eq(states, 7 * adapters->num_layers);
    ck_assert_int_gt(peft_parameters_floats(&t.parameters), t.parameters.num_trained);
    trained_close(&t);
}
END_TEST

TEST_MAIN("parameters", tcase_add_checked_fixture(tc, NULL, teardown);
          tcase_add_test(tc, weight_decay_leaves_alone_what_asks_for_it);
          tcase_add_test(tc, loraplus_trains_up_sides_and_vectors_faster);
          tcase_add_test(tc, states_of_a_schedule_are_kept_but_not_trained))
