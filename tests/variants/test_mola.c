/* Which layer has how many experts, and the limits in which MoLA is MoLoRA or LoRA. */
#include <math.h>
#include <string.h>

#include "tests/support/main.h"
#include "tests/variants/adapted_layer.h"

enum { A, B, ROUTER };
enum { MAX_LAYERS = 16 };

static const layer_case sizes = {.in_features = 7, .out_features = 5, .rank = 2, .tokens = 11, .alpha = 3};

static int64_t bytes_of(const peft_value *value)
{
    return peft_shape_count(&value->spec.shape) * (int64_t)sizeof(float);
}

static void check_same_output(const char *options, const char *other, const char *other_options, int num_values)
{
    adapted_layer l, o;
    layer_open(&l, peft_variant_find("mola"), sizes, options);
    layer_open(&o, peft_variant_find(other), sizes, other_options);
    layer_shake(&l);
    for (int v = 0; v < num_values; v++) {
        ck_assert_int_eq(bytes_of(&l.adapter->values[v]), bytes_of(&o.adapter->values[v]));
        memcpy(o.adapter->values[v].data, l.adapter->values[v].data, (size_t)bytes_of(&o.adapter->values[v]));
    }
    float *y = layer_output(&l, 1), *expected = layer_output(&o, 1);
    ck_assert_double_le(largest_difference(y, expected, 55), 2e-6);
    free(y);
    free(expected);
    layer_close(&l);
    layer_close(&o);
}

START_TEST(all_experts_are_dense_molora)
{
    check_same_output("allocation=[3];top_k=3", "molora", "num_experts=3", 3);
    check_same_output("allocation=[3];top_k=0", "molora", "num_experts=3", 3);
    check_same_output("allocation=[3];top_k=2", "molora", "num_experts=3;top_k=2", 3);
}
END_TEST

START_TEST(one_expert_is_lora)
{
    check_same_output("allocation=[1]", "lora", NULL, 2);
}
END_TEST

START_TEST(gradients_are_right_with_the_two_most_probable)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find("mola"), sizes, "allocation=[5];balance_loss=switch;balance_coef=0.5");
    layer_shake(&l);
    layer_check_gradient(&l);
    layer_close(&l);
}
END_TEST

START_TEST(A_and_the_router_start_as_a_linear_layer)
{
    adapted_layer l;
    layer_case wide = {.in_features = 400, .out_features = 3, .rank = 16, .tokens = 1, .alpha = 1};
    layer_open(&l, peft_variant_find("mola"), wide, "allocation=[8]");
    ck_assert_double_le(largest_value(l.adapter->values[A].data, 8 * 16 * 400), 0.05);
    ck_assert_double_gt(largest_value(l.adapter->values[A].data, 8 * 16 * 400), 0.0499);
    ck_assert_double_le(largest_value(l.adapter->values[ROUTER].data, 8 * 400), 0.05);
    ck_assert_double_gt(largest_value(l.adapter->values[ROUTER].data, 8 * 400), 0.049);
    layer_close(&l);
}
END_TEST

/* ---- allocation ---- */

static peft_status create(const char *allocation, const int *depths, peft_adapters **all, peft_error *error)
{
    const peft_variant *mola = peft_variant_find("mola");
    void *options = calloc(1, mola->options_bytes);
    peft_layer layers[MAX_LAYERS];
    char names[MAX_LAYERS][64];
    int count = 0;
    for (; depths[count] >= 0; count++) {
        snprintf(names[count], sizeof names[count], "m.layer.%d.part%d.dense", depths[count], count);
        layers[count] = (peft_layer){names[count], 3, 2};
    }
    layers[count++] = (peft_layer){"m.pooler.dense", 3, 2};
    ck_assert(!peft_options_init(mola->options, options, error));
    if (allocation) ck_assert(!peft_options_set_text(mola->options, options, "allocation", allocation, error));
    peft_status status = peft_adapters_create(all, mola, options, layers, count, 1, error);
    peft_options_free(mola->options, options);
    free(options);
    return status;
}

/* The pooler, the last module here, has as many experts as the last layer. */
static const struct {
    const char *allocation;
    int depths[MAX_LAYERS], experts[MAX_LAYERS];
} rules[] = {
    {NULL, {0, 1, 2, 3, 4, 5, 6, -1}, {2, 2, 4, 4, 6, 6, 8, 8}},
    {"8-6-4-2", {0, 1, 2, 3, 4, 5, 6, -1}, {8, 8, 6, 6, 4, 4, 2, 2}},
    {"8-2-2-8", {0, 0, 1, 1, 2, 2, -1}, {8, 8, 2, 2, 2, 2, 2}},
    {"5-5-5-5", {0, 1, 2, -1}, {5, 5, 5, 5}},
    {"1,2,3", {10, 9, 2, 9, 10, -1}, {3, 2, 1, 2, 3, 3}}, /* by number, not by text or order */
    {"[7]", {3, 4, -1}, {7, 7, 7}},
    {"2-4-6-8", {0, 1, 2, 3, -1}, {2, 4, 6, 8, 8}},
    {"2-4-6-8", {5, 9, -1}, {2, 6, 6}}, /* a shape, of which two layers show half */
    {"2-4-6-8", {-1}, {2}},
};

START_TEST(experts_are_spread_over_the_layers)
{
    peft_adapters *all;
    peft_error error = {0};
    ck_assert_msg(!create(rules[_i].allocation, rules[_i].depths, &all, &error), "%s", error.message);
    for (int64_t k = 0; k < all->num_layers; k++) {
        ck_assert_int_eq(all->layers[k].num_experts, rules[_i].experts[k]);
        ck_assert_int_eq(all->layers[k].values[A].spec.shape.size[0], rules[_i].experts[k]);
        ck_assert_int_eq(all->layers[k].values[ROUTER].spec.shape.size[0], rules[_i].experts[k]);
    }
    peft_adapters_free(all);
}
END_TEST

static const struct {
    const char *allocation, *message;
} refused[] = {
    {"2-4-", "allocation: expected numbers of experts from 1 to 4096, as \"2-4-6-8\" or [2, 4, 6, 8]"},
    {"2-x", "allocation: expected numbers"},
    {"hourglass", "allocation: expected numbers"},
    {"[]", "allocation: expected numbers"},
    {"null", "allocation: expected numbers"},
    {"[2, 0]", "allocation: expected numbers"},
    {"[2, 1.5]", "allocation: expected numbers"},
    {"4097-1", "allocation: expected numbers"},
    {"99999999999999999999-1", "allocation: expected numbers"},
    {"[1, 2, 3, 4]", "allocation: 4 numbers for 2 layers of the model; list at most one for each"},
};

START_TEST(other_allocations_are_refused)
{
    peft_adapters *all;
    peft_error error = {0};
    static const int depths[] = {0, 1, -1};
    ck_assert_int_eq(create(refused[_i].allocation, depths, &all, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_null(all);
    ck_assert_msg(strstr(error.message, refused[_i].message) != NULL, "found: %s", error.message);
}
END_TEST

TEST_MAIN("mola", tcase_add_test(tc, all_experts_are_dense_molora); tcase_add_test(tc, one_expert_is_lora);
          tcase_add_test(tc, gradients_are_right_with_the_two_most_probable);
          tcase_add_test(tc, A_and_the_router_start_as_a_linear_layer);
          tcase_add_loop_test(tc, experts_are_spread_over_the_layers, 0, sizeof rules / sizeof *rules);
          tcase_add_loop_test(tc, other_allocations_are_refused, 0, sizeof refused / sizeof *refused))
