/* Mixtures of LoRAs: the formula, routing, losses, and the limits in which they are one LoRA. */
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "tests/support/main.h"
#include "tests/support/read.h"
#include "tests/variants/adapted_layer.h"

enum { A, B, ROUTER, BIAS };
enum { IN = 7, OUT = 5, RANK = 2, TOKENS = 11, EXPERTS = 3, SIZE_A = RANK * IN, SIZE_B = OUT * RANK };

static const layer_case sizes = {.in_features = IN, .out_features = OUT, .rank = RANK, .tokens = TOKENS, .alpha = 3};

static void open_molora(adapted_layer *l, const char *options)
{
    layer_open(l, peft_variant_find("molora"), sizes, options);
    layer_shake(l);
}

static float *values_of(const adapted_layer *l, int value)
{
    return l->adapter->values[value].data;
}

/* ---- the formula, by hand ---- */

static double dot(const float *a, const float *b, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static int num_larger(const double *z, int e)
{
    int count = 0;
    for (int j = 0; j < EXPERTS; j++) count += z[j] > z[e];
    return count;
}

/* Probabilities of a token, the scores in *z too. */
static void route(const adapted_layer *l, int t, double *z, double *p)
{
    double sum = 0;
    for (int e = 0; e < EXPERTS; e++) sum += exp(z[e] = dot(values_of(l, ROUTER) + e * IN, l->x + t * IN, IN));
    for (int e = 0; e < EXPERTS; e++) p[e] = exp(z[e]) / sum;
}

static double gate_of(const adapted_layer *l, int t, int e, int k, bool renormalize)
{
    double z[EXPERTS], p[EXPERTS], kept = 0;
    route(l, t, z, p);
    for (int j = 0; j < EXPERTS; j++) kept += num_larger(z, j) < k ? p[j] : 0;
    if (num_larger(z, e) >= k) return 0;
    return renormalize ? p[e] / kept : p[e];
}

static double expert_output(const adapted_layer *l, int t, int e, int o)
{
    double sum = 0;
    for (int r = 0; r < RANK; r++)
        sum += (double)values_of(l, B)[e * SIZE_B + o * RANK + r] *
               dot(values_of(l, A) + e * SIZE_A + r * IN, l->x + t * IN, IN);
    return sum;
}

static const struct {
    const char *options;
    int k;
    bool renormalize;
} routings[] = {
    {"num_experts=3", EXPERTS, false},
    {"num_experts=3;top_k=3", EXPERTS, true},
    {"num_experts=3;top_k=2", 2, true},
    {"num_experts=3;top_k=2;renormalize=false", 2, false},
    {"num_experts=3;top_k=1;renormalize=false", 1, false},
};

START_TEST(it_is_the_formula)
{
    adapted_layer l;
    open_molora(&l, routings[_i].options);
    float *y = layer_output(&l, 1);
    for (int t = 0; t < TOKENS; t++)
        for (int o = 0; o < OUT; o++) {
            double sum = (double)l.bias_data[o] + dot(l.weight_data + o * IN, l.x + t * IN, IN);
            for (int e = 0; e < EXPERTS; e++)
                sum += 1.5 * gate_of(&l, t, e, routings[_i].k, routings[_i].renormalize) * expert_output(&l, t, e, o);
            ck_assert_double_eq_tol((double)y[t * OUT + o], sum, 1e-5);
        }
    free(y);
    layer_close(&l);
}
END_TEST

static const char *const settings[] = {
    "num_experts=1",
    "num_experts=3;top_k=2;renormalize=false",
    "num_experts=3;top_k=2;balance_loss=switch;balance_coef=0.5",
    "num_experts=3;top_k=1;renormalize=false;balance_loss=switch;balance_coef=0.5;router_bias=true",
    "num_experts=3;balance_loss=entropy;balance_coef=2;z_loss_coef=0.1;router_bias=true",
    "num_experts=3;jitter=0.3;dropout=0.2",
};

START_TEST(gradients_are_right_whatever_the_settings)
{
    adapted_layer l;
    open_molora(&l, settings[_i]);
    layer_check_gradient(&l);
    layer_close(&l);
}
END_TEST

/* ---- limits ---- */

/* Expert e as a LoRA gives the same output. */
static void check_is_lora(const adapted_layer *l, int e)
{
    adapted_layer lora;
    peft_lora_factors expert;
    layer_open(&lora, peft_variant_find("lora"), sizes, NULL);
    ck_assert(!peft_adapter_expert_to_lora(l->adapter, e, &expert, NULL));
    ck_assert_int_eq(expert.rank, RANK);
    ck_assert_double_eq(expert.scaling, lora.adapter->scaling);
    memcpy(values_of(&lora, A), expert.A, SIZE_A * sizeof(float));
    memcpy(values_of(&lora, B), expert.B, SIZE_B * sizeof(float));
    free(expert.A);
    free(expert.B);
    float *y = layer_output(l, 1), *expected = layer_output(&lora, 1);
    ck_assert_double_le(largest_difference(y, expected, TOKENS * OUT), 2e-6);
    free(y);
    free(expected);
    layer_close(&lora);
}

START_TEST(one_expert_is_lora)
{
    adapted_layer l;
    open_molora(&l, "num_experts=1");
    check_is_lora(&l, 0);
    layer_close(&l);
}
END_TEST

START_TEST(only_experts_that_are_there_can_be_taken_out)
{
    adapted_layer l, lora;
    peft_lora_factors expert;
    peft_error error = {0};
    open_molora(&l, "num_experts=3");
    layer_open(&lora, peft_variant_find("lora"), sizes, NULL);
    ck_assert_int_eq(peft_adapter_expert_to_lora(l.adapter, 3, &expert, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "model.layer.0.query: expected an expert below 3, found 3"));
    ck_assert_int_eq(peft_adapter_expert_to_lora(l.adapter, -1, &expert, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_null(expert.A);
    ck_assert_int_eq(peft_adapter_expert_to_lora(lora.adapter, 0, &expert, &error), PEFT_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "lora has no experts that are LoRAs"));
    layer_close(&l);
    layer_close(&lora);
}
END_TEST

START_TEST(experts_that_are_alike_are_lora_whatever_the_router)
{
    adapted_layer l;
    open_molora(&l, "num_experts=3");
    for (int e = 1; e < EXPERTS; e++) {
        memcpy(values_of(&l, A) + e * SIZE_A, values_of(&l, A), SIZE_A * sizeof(float));
        memcpy(values_of(&l, B) + e * SIZE_B, values_of(&l, B), SIZE_B * sizeof(float));
    }
    check_is_lora(&l, 0);
    layer_close(&l);
}
END_TEST

START_TEST(a_router_that_is_sure_chooses_one_lora)
{
    adapted_layer l;
    open_molora(&l, "num_experts=3;router_bias=true");
    values_of(&l, BIAS)[2] = 100;
    check_is_lora(&l, 2);
    layer_close(&l);
}
END_TEST

static void swap(float *a, float *b, int count)
{
    for (int i = 0; i < count; i++) {
        float kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

START_TEST(the_order_of_the_experts_means_nothing)
{
    adapted_layer l;
    open_molora(&l, "num_experts=3;top_k=2");
    float *before = layer_output(&l, 1);
    swap(values_of(&l, A), values_of(&l, A) + 2 * SIZE_A, SIZE_A);
    swap(values_of(&l, B), values_of(&l, B) + 2 * SIZE_B, SIZE_B);
    swap(values_of(&l, ROUTER), values_of(&l, ROUTER) + 2 * IN, IN);
    float *after = layer_output(&l, 1);
    ck_assert_double_le(largest_difference(before, after, TOKENS * OUT), 2e-6);
    free(before);
    free(after);
    layer_close(&l);
}
END_TEST

/* B is zero at first, so all experts' outputs are. */
START_TEST(the_router_learns_from_the_second_step_on)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find("molora"), sizes, "num_experts=3");
    double *gradient = layer_gradient(&l);
    const int at_B = EXPERTS * SIZE_A, at_router = at_B + EXPERTS * SIZE_B;
    double in_B = 0;
    for (int k = 0; k < at_B; k++) ck_assert(gradient[k] == 0);
    for (int k = at_B; k < at_router; k++) in_B = fmax(in_B, fabs(gradient[k]));
    for (int k = at_router; k < at_router + EXPERTS * IN; k++) ck_assert(gradient[k] == 0);
    ck_assert_double_gt(in_B, 1e-3);
    free(gradient);
    layer_close(&l);
}
END_TEST

typedef struct stacked {
    float A[2 * EXPERTS * SIZE_A], B[2 * EXPERTS * SIZE_B];
} stacked;

/* The first sequence has one token. */
START_TEST(each_sequence_may_have_its_own_experts)
{
    adapted_layer l;
    stacked both;
    float *alone[2];
    open_molora(&l, "num_experts=3");
    float *router = malloc(EXPERTS * IN * sizeof *router);
    memcpy(router, values_of(&l, ROUTER), EXPERTS * IN * sizeof *router);
    for (int s = 0; s < 2; s++) {
        layer_shake(&l);
        memcpy(values_of(&l, ROUTER), router, EXPERTS * IN * sizeof *router);
        memcpy(both.A + s * EXPERTS * SIZE_A, values_of(&l, A), sizeof both.A / 2);
        memcpy(both.B + s * EXPERTS * SIZE_B, values_of(&l, B), sizeof both.B / 2);
        alone[s] = layer_output(&l, 1);
    }
    peft_graph *g;
    peft_context *ctx;
    peft_error error = {0};
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    peft_shape shape_A = {4, {2, EXPERTS, RANK, IN}}, shape_B = {4, {2, EXPERTS, OUT, RANK}};
    peft_graph_bind(g, &l.adapter->values[A], peft_constant(g, PEFT_F32, shape_A, both.A, "A"));
    peft_graph_bind(g, &l.adapter->values[B], peft_constant(g, PEFT_F32, shape_B, both.B, "B"));
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_2(TOKENS, IN), l.x, "x");
    peft_tensor *y = peft_graph_keep(g, peft_adapter_forward(g, l.adapter, &l.base, x, &l.batch));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    ck_assert_double_le(largest_difference(read_values(g, y), alone[0], OUT), 2e-6);
    ck_assert_double_le(largest_difference((const float *)read_values(g, y) + OUT, alone[1] + OUT, (TOKENS - 1) * OUT),
                        2e-6);
    peft_graph_free(g);
    peft_context_close(ctx);
    free(alone[0]);
    free(alone[1]);
    free(router);
    layer_close(&l);
}
END_TEST

/* ---- losses and observations ---- */

enum { MAX_SEEN = 4 };

typedef struct seen {
    double loss[MAX_SEEN], weight[MAX_SEEN], load[EXPERTS], entropy;
    int num_losses;
} seen;

static void look(const adapted_layer *l, seen *s)
{
    peft_graph *g;
    peft_context *ctx;
    const peft_side_value *value;
    peft_error error = {0};
    *s = (seen){0};
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_2(TOKENS, IN), l->x, "x");
    peft_graph_keep(g, peft_adapter_forward(g, l->adapter, &l->base, x, &l->batch));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    for (; (value = peft_graph_loss_at(g, s->num_losses)) != NULL; s->num_losses++) {
        s->loss[s->num_losses] = (double)*(const float *)read_values(g, value->tensor);
        s->weight[s->num_losses] = value->weight;
    }
    if (l->batch.training) {
        ck_assert_str_eq(peft_graph_observation_at(g, 0)->name, "load");
        ck_assert_str_eq(peft_graph_observation_at(g, 1)->name, "router_entropy");
        for (int e = 0; e < EXPERTS; e++)
            s->load[e] = (double)((const float *)read_values(g, peft_graph_observation_at(g, 0)->tensor))[e];
        s->entropy = (double)*(const float *)read_values(g, peft_graph_observation_at(g, 1)->tensor);
    } else {
        ck_assert_ptr_null(peft_graph_observation_at(g, 0));
    }
    peft_graph_free(g);
    peft_context_close(ctx);
}

/* Means over all tokens of both sequences, of 1 and of 10 tokens: none counts for more than another. */
START_TEST(losses_are_means_over_tokens)
{
    adapted_layer l;
    seen s;
    double mean[EXPERTS] = {0}, share[EXPERTS] = {0}, entropy = 0, squares = 0;
    open_molora(&l, "num_experts=3;top_k=2;balance_loss=switch;balance_coef=0.5;z_loss_coef=0.1");
    for (int t = 0; t < TOKENS; t++) {
        double z[EXPERTS], p[EXPERTS];
        route(&l, t, z, p);
        for (int e = 0; e < EXPERTS; e++) {
            mean[e] += p[e] / TOKENS;
            share[e] += num_larger(z, e) < 2 ? 0.5 / TOKENS : 0;
            entropy -= p[e] * log(p[e]) / TOKENS;
        }
        squares += pow(z[0] - log(p[0]), 2) / TOKENS;
    }
    look(&l, &s);
    ck_assert_int_eq(s.num_losses, 2);
    ck_assert_double_eq_tol(s.loss[0], 3 * (mean[0] * share[0] + mean[1] * share[1] + mean[2] * share[2]), 1e-6);
    ck_assert_double_eq(s.weight[0], 0.5);
    ck_assert_double_eq_tol(s.loss[1], squares, 1e-5);
    ck_assert_double_eq(s.weight[1], 0.1);
    ck_assert_double_eq_tol(s.entropy, entropy, 1e-6);
    for (int e = 0; e < EXPERTS; e++) ck_assert_double_eq_tol(s.load[e], share[e], 1e-6);
    layer_close(&l);
}
END_TEST

START_TEST(an_undecided_router_has_the_known_losses)
{
    adapted_layer l;
    seen s;
    open_molora(&l, "num_experts=3;balance_loss=entropy;z_loss_coef=1");
    memset(values_of(&l, ROUTER), 0, EXPERTS * IN * sizeof(float));
    look(&l, &s);
    ck_assert_double_eq_tol(s.loss[0], -log(3), 1e-6);
    ck_assert_double_eq_tol(s.loss[1], log(3) * log(3), 1e-6);
    ck_assert_double_eq_tol(s.entropy, log(3), 1e-6);
    for (int e = 0; e < EXPERTS; e++) ck_assert_double_eq_tol(s.load[e], 1.0 / 3, 1e-6);
    layer_close(&l);
    open_molora(&l, "num_experts=3;top_k=2;balance_loss=switch");
    memset(values_of(&l, ROUTER), 0, EXPERTS * IN * sizeof(float));
    look(&l, &s);
    ck_assert_double_eq_tol(s.loss[0], 1, 1e-6);
    ck_assert_double_eq_tol(s.load[0], 0.5, 1e-6); /* of equal ones the first are picked */
    ck_assert(s.load[2] == 0);
    l.batch.training = false;
    look(&l, &s);
    ck_assert_int_eq(s.num_losses, 0);
    layer_close(&l);
}
END_TEST

START_TEST(jitter_acts_while_training_and_whatever_the_cut)
{
    adapted_layer l, plain;
    open_molora(&l, "num_experts=3;jitter=0.5");
    open_molora(&plain, "num_experts=3");
    float *noisy = layer_output(&l, 1), *expected = layer_output(&plain, 1);
    ck_assert_double_gt(largest_difference(noisy, expected, TOKENS * OUT), 1e-3);
    l.batch.training = false;
    float *quiet = layer_output(&l, 1);
    ck_assert_mem_eq(quiet, expected, TOKENS * OUT * sizeof(float));

    /* The last ten tokens as a batch of their own. */
    adapted_layer rest = l;
    rest.x = l.x + IN;
    rest.sizes.tokens = TOKENS - 1;
    rest.batch = (peft_batch){.num_tokens = TOKENS - 1,
                              .num_sequences = 1,
                              .starts = (const int32_t[]){0, TOKENS - 1},
                              .first_token = 1,
                              .training = true};
    float *cut = layer_output(&rest, 1);
    ck_assert_double_le(largest_difference(cut, noisy + OUT, (TOKENS - 1) * OUT), 2e-6);
    float *const outputs[] = {noisy, expected, quiet, cut};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) free(outputs[i]);
    layer_close(&l);
    layer_close(&plain);
}
END_TEST

/* ---- refusals ---- */

static const struct {
    const char *name, *value, *message;
} refused[] = {
    {"top_k", "1", "top_k: one expert with renormalised probabilities always counts 1"},
    {"top_k", "5", "top_k: expected at most num_experts, 4, found 5"},
    {"balance_loss", "switch", "balance_loss: switch counts picks, and is constant where all experts count"},
};

START_TEST(settings_that_teach_the_router_nothing_are_refused)
{
    const peft_variant *molora = peft_variant_find("molora");
    void *options = calloc(1, molora->options_bytes);
    peft_adapters *none;
    peft_error error = {0};
    peft_layer layer = {"a.query", IN, OUT};
    ck_assert(!peft_options_init(molora->options, options, NULL));
    ck_assert(!peft_options_set_text(molora->options, options, refused[_i].name, refused[_i].value, &error));
    ck_assert_int_eq(peft_adapters_create(&none, molora, options, &layer, 1, 1, &error), PEFT_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, refused[_i].message) != NULL, "found: %s", error.message);
    peft_options_free(molora->options, options);
    free(options);
}
END_TEST

TEST_MAIN("molora", tcase_add_loop_test(tc, it_is_the_formula, 0, sizeof routings / sizeof *routings);
          tcase_add_loop_test(tc, gradients_are_right_whatever_the_settings, 0, sizeof settings / sizeof *settings);
          tcase_add_test(tc, one_expert_is_lora); tcase_add_test(tc, only_experts_that_are_there_can_be_taken_out);
          tcase_add_test(tc, experts_that_are_alike_are_lora_whatever_the_router);
          tcase_add_test(tc, a_router_that_is_sure_chooses_one_lora);
          tcase_add_test(tc, the_order_of_the_experts_means_nothing);
          tcase_add_test(tc, the_router_learns_from_the_second_step_on);
          tcase_add_test(tc, each_sequence_may_have_its_own_experts); tcase_add_test(tc, losses_are_means_over_tokens);
          tcase_add_test(tc, an_undecided_router_has_the_known_losses);
          tcase_add_test(tc, jitter_acts_while_training_and_whatever_the_cut);
          tcase_add_loop_test(tc, settings_that_teach_the_router_nothing_are_refused, 0,
                              sizeof refused / sizeof *refused))
