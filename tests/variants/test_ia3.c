/* What IA3 scales, and which modules are feed-forward ones. */
#include <math.h>
#include <string.h>

#include "tests/support/main.h"
#include "tests/variants/adapted_layer.h"

static const layer_case sizes = {.in_features = 7, .out_features = 5, .rank = 1, .tokens = 11};
/* The layer's module is "model.layer.0.query". */
static const char of_input[] = "feedforward_modules=[\"0.query\"]", of_output[] = "feedforward_modules=[]";

START_TEST(outputs_are_scaled_with_their_bias)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find("ia3"), sizes, of_output);
    ck_assert_int_eq(l.adapter->values[0].spec.shape.size[0], 5);
    ck_assert_int_eq(l.adapter->values[0].spec.shape.size[1], 1);
    float *before = layer_output(&l, 1);
    for (int o = 0; o < 5; o++) l.adapter->values[0].data[o] = (float)o;
    float *after = layer_output(&l, 1);
    for (int k = 0; k < 55; k++) ck_assert(after[k] == before[k] * (float)(k % 5));
    free(before);
    free(after);
    layer_close(&l);
}
END_TEST

START_TEST(inputs_are_scaled_in_feedforward_modules)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find("ia3"), sizes, of_input);
    ck_assert_int_eq(l.adapter->values[0].spec.shape.size[0], 1);
    ck_assert_int_eq(l.adapter->values[0].spec.shape.size[1], 7);
    layer_shake(&l);
    float *y = layer_output(&l, 1);
    for (int k = 0; k < 77; k++) l.x[k] *= l.adapter->values[0].data[k % 7];
    peft_adapter *adapter = l.adapter;
    l.adapter = NULL;
    float *expected = layer_output(&l, 1);
    ck_assert_mem_eq(y, expected, 55 * sizeof *y);
    l.adapter = adapter;
    free(y);
    free(expected);
    layer_close(&l);
}
END_TEST

START_TEST(gradients_and_merging_are_right_for_inputs_too)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find("ia3"), sizes, of_input);
    layer_shake(&l);
    double *gradient = layer_gradient(&l);
    for (int64_t k = 0; k < layer_num_coordinates(&l); k++) {
        double numeric = (layer_loss_at(&l, k, 1e-5) - layer_loss_at(&l, k, -1e-5)) / 2e-5;
        ck_assert_double_eq_tol(numeric, gradient[k], 1e-6 * (1 + fabs(gradient[k])));
    }
    float *expected = layer_output(&l, 1);
    ck_assert(!peft_adapter_merge(l.adapter, l.weight_data, l.bias_data, NULL));
    peft_adapter *adapter = l.adapter;
    l.adapter = NULL;
    float *y = layer_output(&l, 1);
    ck_assert_double_le(largest_difference(y, expected, 55), 1e-5 * (1 + largest_value(expected, 55)));
    l.adapter = adapter;
    free(gradient);
    free(expected);
    free(y);
    layer_close(&l);
}
END_TEST

/* ---- which modules ---- */

static const peft_layer layers[] = {{"bert.layer.0.attention.self.key", 2, 3},
                                    {"bert.layer.0.attention.output.dense", 2, 3},
                                    {"bert.layer.0.intermediate.dense", 2, 3}};
enum { NUM_LAYERS = sizeof layers / sizeof *layers };

static peft_status create(const char *modules, peft_adapters **all, peft_error *error)
{
    const peft_variant *ia3 = peft_variant_find("ia3");
    void *options = calloc(1, ia3->options_bytes);
    ck_assert(!peft_options_init(ia3->options, options, NULL));
    if (modules) ck_assert(!peft_options_set_text(ia3->options, options, "feedforward_modules", modules, NULL));
    peft_status status = peft_adapters_create(all, ia3, options, layers, NUM_LAYERS, 1, error);
    peft_options_free(ia3->options, options);
    free(options);
    return status;
}

static const struct {
    const char *modules;
    bool input[NUM_LAYERS];
} rules[] = {
    {NULL, {false, true, false}}, /* PEFT's words for BERT, which match the attention's output too */
    {"[]", {false, false, false}},
    {"[\"dense\"]", {false, true, true}},
    {"intermediate.dense,key", {true, false, true}},
    {"[\"ediate.dense\"]", {false, false, true}},
    {"dense", {false, false, false}}, /* an expression for the whole name */
    {".*\\.(key|intermediate\\.dense)", {true, false, true}},
};

START_TEST(feedforward_modules_are_found_as_peft_finds_them)
{
    peft_adapters *all;
    peft_error error = {0};
    ck_assert_msg(!create(rules[_i].modules, &all, &error), "%s", error.message);
    for (int k = 0; k < NUM_LAYERS; k++)
        ck_assert_int_eq(all->layers[k].values[0].spec.shape.size[0] == 1, rules[_i].input[k]);
    peft_adapters_free(all);
}
END_TEST

/* In files an expression stands for a list, which PEFT wants to be a part of the list of targets. */
START_TEST(a_list_is_kept_as_an_expression)
{
    peft_adapters *all, *again;
    json_t *fields;
    const peft_option *table = peft_variant_find("ia3")->options;
    ck_assert(!create("ate.dense,self.key", &all, NULL));
    fields = peft_options_to_json(table, all->options);
    const char *expression = json_string_value(json_object_get(fields, "feedforward_modules"));
    ck_assert_str_eq(expression, ".*(ate\\.dense|self\\.key)");
    ck_assert(!create(expression, &again, NULL));
    for (int k = 0; k < NUM_LAYERS; k++) ck_assert_int_eq(all->layers[k].scales_input, again->layers[k].scales_input);
    json_decref(fields);
    peft_adapters_free(all);
    peft_adapters_free(again);
}
END_TEST

static const struct {
    const char *modules, *message;
} refused[] = {
    {"[\"intermediat.dense\"]",
     "feedforward_modules: \"intermediat.dense\" matches none of 3 modules; did you mean \"intermediate.dense\"?"},
    {"[1]", "feedforward_modules: expected a name or a list of names"},
    {"null", "feedforward_modules: expected a name or a list of names"},
    {"(", "feedforward_modules: pattern \"(\""},
};

START_TEST(other_settings_are_refused)
{
    peft_adapters *all;
    peft_error error = {0};
    ck_assert_int_eq(create(refused[_i].modules, &all, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_null(all);
    ck_assert_msg(strstr(error.message, refused[_i].message) != NULL, "found: %s", error.message);
}
END_TEST

TEST_MAIN("ia3", tcase_add_test(tc, outputs_are_scaled_with_their_bias);
          tcase_add_test(tc, inputs_are_scaled_in_feedforward_modules);
          tcase_add_test(tc, gradients_and_merging_are_right_for_inputs_too);
          tcase_add_loop_test(tc, feedforward_modules_are_found_as_peft_finds_them, 0, sizeof rules / sizeof *rules);
          tcase_add_test(tc, a_list_is_kept_as_an_expression);
          tcase_add_loop_test(tc, other_settings_are_refused, 0, sizeof refused / sizeof *refused))
