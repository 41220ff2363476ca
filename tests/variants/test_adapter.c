/* What the interface carries beyond LoRA, shown with a variant made for that: values of the model, frozen ones and
 * state, start values from the base, a rank of its own for each layer, losses, observations, work after a step, its own
 * merge.
 *
 *     y = scale ⊙ (W x + b),   scale [out] starts at one; a loss pulls it to the model's common centre */
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/side.h"
#include "tests/support/main.h"
#include "tests/support/read.h"
#include "variants/adapter.h"

enum { SCALE, STEPS, NORM, LAYER_VALUES };
enum { CENTRE };

static double one(const peft_adapter *a)
{
    (void)a;
    return 1;
}

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    peft_shape rows = peft_shape_1(a->out_features);
    specs[SCALE] =
        (peft_value_spec){.name = "toy_scale", .shape = rows, .start = PEFT_START_ONE, .role = PEFT_ROLE_GATE};
    specs[STEPS] = (peft_value_spec){.name = "steps", .shape = peft_shape_1(1), .kind = PEFT_VALUE_STATE};
    specs[NORM] =
        (peft_value_spec){.name = "toy_norm", .shape = rows, .kind = PEFT_VALUE_FROZEN, .role = PEFT_ROLE_OTHER};
    return LAYER_VALUES;
}

/* As wide as the widest layer. */
static int32_t model_values(const peft_adapters *all, peft_value_spec *specs)
{
    int64_t widest = 0;
    for (int64_t i = 0; i < all->num_layers; i++)
        if (all->layers[i].out_features > widest) widest = all->layers[i].out_features;
    specs[CENTRE] = (peft_value_spec){
        .name = "toy_centre", .shape = peft_shape_1(widest), .start = PEFT_START_ONE, .role = PEFT_ROLE_OTHER};
    return 1;
}

static peft_status rank_by_name(const peft_adapters *all, const char *module, int64_t *rank, peft_error *error)
{
    (void)all;
    if (!strchr(module, '.')) return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: no rank", module);
    *rank = (int64_t)strlen(module);
    return PEFT_OK;
}

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    peft_tensor *scale = peft_value_leaf(g, &a->values[SCALE], batch);
    peft_tensor *centre = peft_value_leaf(g, &a->all->values[CENTRE], batch);
    peft_tensor *own = peft_slice(g, centre, 0, 0, a->out_features);
    peft_graph_add_loss(g, a->module, "pull", peft_mse(g, scale, own, 1), 0.5);
    peft_graph_observe(g, a->module, "scale", scale);
    return peft_mul(g, peft_base_forward(g, base, x), scale);
}

static peft_status init(peft_adapter *a, const peft_base_linear *base, uint64_t seed, peft_error *error)
{
    (void)seed;
    (void)error;
    const float *weight = peft_weight_values(base->weight, &(float *){NULL});
    for (int64_t o = 0; o < a->out_features; o++) a->values[NORM].data[o] = fabsf(weight[o * a->in_features]);
    return PEFT_OK;
}

static peft_status after_step(peft_adapters *all, const peft_training_step *step, peft_error *error)
{
    if (step->step > step->num_steps) return peft_fail(error, PEFT_ERR_ARGUMENT, "past the last step");
    for (int64_t i = 0; i < all->num_layers; i++) all->layers[i].values[STEPS].data[0] += 1;
    return PEFT_OK;
}

static peft_status merge(const peft_adapter *a, float *weight, float *bias, peft_error *error)
{
    (void)error;
    for (int64_t o = 0; o < a->out_features; o++) {
        float scale = a->values[SCALE].data[o];
        for (int64_t i = 0; i < a->in_features; i++) weight[o * a->in_features + i] *= scale;
        if (bias) bias[o] *= scale;
    }
    return PEFT_OK;
}

static const peft_option no_options[] = {{0}};

static const peft_variant toy = {
    .name = "toy",
    .equation = "y = scale (W x + b)",
    .source = "made for this test",
    .summary = "a factor for each output",
    .peft_type = "TOY",
    .own_format = "1",
    .options_bytes = sizeof(peft_common_options),
    .options = no_options,
    .layer_rank = rank_by_name,
    .scaling = one,
    .layer_values = layer_values,
    .model_values = model_values,
    .forward = forward,
    .init = init,
    .after_step = after_step,
    .merge = merge,
};

static const peft_layer layers[] = {{"a.short", 2, 2}, {"a.longer", 2, 3}};
static const float weights[] = {1, 2, -3, 4, 5, 6}, biases[] = {0.5F, -1, 2};
static const int32_t starts[] = {0, 1};
static const peft_batch batch = {.num_tokens = 1, .num_sequences = 1, .starts = starts, .training = true};
static const peft_weight weight = {.name = "weight", .shape = {2, {3, 2}}, .stored.data = weights};
static const peft_weight bias = {.name = "bias", .shape = {1, {3}}, .stored.data = biases};
static const peft_base_linear base = {&weight, &bias};

static peft_adapters *all;
static peft_adapter *longer;
static peft_error error;

static void setup(void)
{
    peft_common_options options = {0};
    ck_assert_msg(!peft_adapters_create(&all, &toy, &options, layers, 2, 1, &error), "%s", error.message);
    longer = peft_adapters_find(all, "a.longer");
}

static void teardown(void)
{
    peft_adapters_free(all);
}

START_TEST(values_have_scope_and_kind)
{
    ck_assert_int_eq(all->set.num_trained, 2 + 3 + 3);
    ck_assert_int_eq(all->num_values, 1);
    ck_assert_int_eq(all->values[CENTRE].spec.shape.size[0], 3);
    ck_assert_ptr_eq(all->values[CENTRE].data, all->set.memory + 5);
    ck_assert_ptr_null(longer->values[STEPS].gradient);
    ck_assert_ptr_null(longer->values[NORM].gradient);
    ck_assert_int_eq(longer->rank, 8);
    ck_assert_int_eq(all->layers[0].rank, 7);
}
END_TEST

START_TEST(start_values_may_come_from_the_base)
{
    ck_assert(!peft_adapter_init_from_base(longer, &base, 1, &error));
    for (int o = 0; o < 3; o++) ck_assert(longer->values[NORM].data[o] == fabsf(weights[o * 2]));
}
END_TEST

START_TEST(state_follows_the_steps)
{
    ck_assert(!peft_adapters_after_step(all, &(peft_training_step){1, 2, 0.1}, &error));
    ck_assert(!peft_adapters_after_step(all, &(peft_training_step){2, 2, 0.1}, &error));
    ck_assert(longer->values[STEPS].data[0] == 2);
    ck_assert_int_eq(peft_adapters_after_step(all, &(peft_training_step){3, 2, 0.1}, &error), PEFT_ERR_ARGUMENT);
}
END_TEST

/* scale - centre = 1 for one row of three: the loss is 1, with weight 0.5, on top of the task's. */
START_TEST(losses_and_observations_reach_the_caller)
{
    peft_graph *g;
    peft_context *ctx;
    static const float x_data[] = {1, 1}, target[] = {0, 0, 0};
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    longer->values[SCALE].data[1] = 2;
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_2(1, 2), x_data, "x");
    peft_tensor *y = peft_adapter_forward(g, longer, &base, x, &batch);
    peft_tensor *zero = peft_constant(g, PEFT_F32, peft_shape_2(1, 3), target, "target");
    peft_tensor *task = peft_graph_keep(g, peft_mse(g, y, zero, 1));
    peft_tensor *total = peft_graph_keep(g, peft_graph_total_loss(g, task, 0.5));
    ck_assert_msg(!peft_graph_differentiate(g, total, &error) && !peft_graph_run(g, ctx, &error), "%s", error.message);

    const peft_side_value *pull = peft_graph_loss_at(g, 0), *seen = peft_graph_observation_at(g, 0);
    ck_assert_str_eq(pull->where, "a.longer");
    ck_assert_str_eq(pull->name, "pull");
    ck_assert(*(const float *)read_values(g, pull->tensor) == 1);
    ck_assert_double_eq(pull->weight, 0.5);
    ck_assert(*(const float *)read_values(g, total) ==
              *(const float *)read_values(g, task) + 0.25F); /* of half a batch */
    ck_assert_str_eq(seen->name, "scale");
    ck_assert(((const float *)read_values(g, seen->tensor))[1] == 2);
    ck_assert_ptr_null(peft_graph_loss_at(g, 1));
    ck_assert_ptr_null(peft_graph_observation_at(g, 1));
    /* d/d centre of 0.25 (scale - centre)^2; only the second row differs */
    ck_assert(all->values[CENTRE].gradient[1] == -0.5F && all->values[CENTRE].gradient[0] == 0);
    peft_value_set_zero_gradients(&all->set);
    ck_assert(all->values[CENTRE].gradient[1] == 0);

    peft_graph_reset(g);
    ck_assert_ptr_null(peft_graph_loss_at(g, 0));
    ck_assert_ptr_null(peft_graph_observation_at(g, 0));
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

START_TEST(a_loss_after_the_total_is_refused)
{
    peft_graph *g;
    static const float value[] = {1};
    ck_assert(!peft_graph_create(&g, &error));
    peft_tensor *loss = peft_constant(g, PEFT_F32, peft_shape_1(1), value, "loss");
    ck_assert_ptr_eq(peft_graph_total_loss(g, loss, 1), loss);
    peft_graph_add_loss(g, "", "late", loss, 1);
    ck_assert_int_eq(peft_graph_status(g, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "late: this loss comes after the total was taken"));
    peft_graph_free(g);
}
END_TEST

START_TEST(bound_tensors_stand_in_until_reset)
{
    peft_graph *g;
    static const float other[] = {3, 3, 3};
    const peft_value *value = &longer->values[SCALE];
    ck_assert(!peft_graph_create(&g, &error));
    peft_tensor *bound = peft_constant(g, PEFT_F32, peft_shape_1(3), other, "other");
    ck_assert_ptr_eq(peft_value_leaf(g, value, &batch)->host, value->data);
    peft_graph_bind(g, value, bound);
    ck_assert_ptr_eq(peft_value_leaf(g, value, &batch), bound);
    ck_assert_ptr_null(peft_value_starts(g, value, &batch));
    peft_graph_bind(g, value, peft_constant(g, PEFT_F32, peft_shape_2(1, 3), other, "a sequence's"));
    ck_assert_ptr_nonnull(peft_value_starts(g, value, &batch));
    peft_graph_reset(g);
    ck_assert_ptr_eq(peft_value_leaf(g, value, &batch)->host, value->data);
    peft_graph_free(g);
}
END_TEST

START_TEST(a_variant_may_merge_in_its_own_way)
{
    float merged[6], merged_bias[3];
    memcpy(merged, weights, sizeof merged);
    memcpy(merged_bias, biases, sizeof merged_bias);
    longer->values[SCALE].data[1] = 2;
    ck_assert(!peft_adapter_merge(longer, merged, merged_bias, &error));
    ck_assert(merged[0] == 1 && merged[2] == -6 && merged[3] == 8 && merged_bias[1] == -2);
    peft_lora_factors factors;
    ck_assert_int_eq(peft_adapter_to_lora(longer, &factors, &error), PEFT_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "a.longer: no plain LoRA has the same update as toy"));
}
END_TEST

/* ---- refusals ---- */

static const struct {
    const char *name, *value, *message;
    int64_t num_layers;
    peft_layer layers[2];
} refused[] = {
    {"rank_pattern",
     "{\"qery\": 2}",
     "rank_pattern: \"qery\" matches none of 1 modules; did you mean \"query\"?",
     1,
     {{"a.query", 2, 2}}},
    {"alpha_pattern", "{\"key\": 2}", "alpha_pattern: \"key\" matches none of 1 modules", 1, {{"a.query", 2, 2}}},
    {"rank_pattern",
     "{\"query\": 0}",
     "rank_pattern: \"query\": expected a rank from 1 to 65536",
     1,
     {{"a.query", 2, 2}}},
    {"rank_pattern", "{\"query\": 2.5}", "rank_pattern: \"query\": expected a rank", 1, {{"a.query", 2, 2}}},
    {"alpha_pattern", "{\"query\": \"8\"}", "alpha_pattern: \"query\": expected a number", 1, {{"a.query", 2, 2}}},
    {"rank_pattern", "[1]", "rank_pattern: expected an object", 1, {{"a.query", 2, 2}}},
    {"rank_pattern", "{\"(\": 2}", "rank_pattern: pattern \"(\": at character", 1, {{"a.query", 2, 2}}},
    {NULL, NULL, "there is no layer to adapt", 0, {{0}}},
    {NULL, NULL, "a.query: this layer comes twice", 2, {{"a.query", 2, 2}, {"a.query", 2, 2}}},
    {NULL, NULL, "a.query: expected sizes above 0, found [2, 0]", 1, {{"a.query", 0, 2}}},
    {NULL, NULL, "more elements than memory can have", 1, {{"a.query", INT64_MAX / 4, 2}}},
};

START_TEST(what_does_not_fit_is_refused_by_name)
{
    const peft_variant *lora = peft_variant_find("lora");
    void *options = calloc(1, lora->options_bytes);
    peft_adapters *none;
    ck_assert(!peft_options_init(lora->options, options, NULL));
    if (refused[_i].name)
        ck_assert(!peft_options_set_text(lora->options, options, refused[_i].name, refused[_i].value, NULL));
    ck_assert_int_eq(peft_adapters_create(&none, lora, options, refused[_i].layers, refused[_i].num_layers, 1, &error),
                     PEFT_ERR_ARGUMENT);
    ck_assert_ptr_null(none);
    ck_assert_msg(strstr(error.message, refused[_i].message) != NULL, "found: %s", error.message);
    peft_options_free(lora->options, options);
    free(options);
}
END_TEST

TEST_MAIN("adapter", tcase_add_checked_fixture(tc, setup, teardown); tcase_add_test(tc, values_have_scope_and_kind);
          tcase_add_test(tc, start_values_may_come_from_the_base); tcase_add_test(tc, state_follows_the_steps);
          tcase_add_test(tc, losses_and_observations_reach_the_caller);
          tcase_add_test(tc, a_loss_after_the_total_is_refused); tcase_add_test(tc, bound_tensors_stand_in_until_reset);
          tcase_add_test(tc, a_variant_may_merge_in_its_own_way);
          tcase_add_loop_test(tc, what_does_not_fit_is_refused_by_name, 0, sizeof refused / sizeof *refused))
