/* Mixtures of rank-1 experts: both gates by hand, what they may depend on, and the limits in which they are LoRA. */
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "tests/support/main.h"
#include "tests/support/read.h"
#include "tests/variants/adapted_layer.h"

enum { IN = 7, OUT = 5, TOKENS = 11, EXPERTS = 3, UNITS = 4 };
enum { A, B };
enum { ROUTER = 2, OMEGA, MAIN };                                        /* gate token */
enum { FC1 = 2, FC1_BIAS, LN, LN_BIAS, FC2, FC2_BIAS, PROJ, PROJ_BIAS }; /* gate sequence */

static const layer_case sizes = {.in_features = IN, .out_features = OUT, .tokens = TOKENS, .alpha = 1.5};

static const char by_token[] = "num_experts=3", by_vectors[] = "num_experts=3;intuition=vectors;kappa=2",
                  by_sequence[] = "num_experts=3;gate=sequence;gate_size=4";

static void open_mor1e(adapted_layer *l, const char *options)
{
    layer_open(l, peft_variant_find("mor1e"), sizes, options);
    layer_shake(l);
}

static float *values_of(const adapted_layer *l, int value)
{
    return l->adapter->values[value].data;
}

static double dot(const float *a, const float *b, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* ---- the formulas, by hand ---- */

static void softmax(double *z, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++) sum += z[i] = exp(z[i]);
    for (int i = 0; i < count; i++) z[i] /= sum;
}

static void linear(const float *weight, const float *bias, const double *x, int in, int out, double *y)
{
    for (int o = 0; o < out; o++) {
        y[o] = (double)bias[o];
        for (int i = 0; i < in; i++) y[o] += (double)weight[o * in + i] * x[i];
    }
}

/* (x - mean) / deviation */
static void normalise(double *x, int count, double eps)
{
    double mean = 0, variance = 0;
    for (int i = 0; i < count; i++) mean += x[i] / count;
    for (int i = 0; i < count; i++) variance += (x[i] - mean) * (x[i] - mean) / count;
    for (int i = 0; i < count; i++) x[i] = (x[i] - mean) / sqrt(variance + eps);
}

static void mean_of(const float *rows, int first, int last, double *mean)
{
    memset(mean, 0, IN * sizeof *mean);
    for (int t = first; t < last; t++)
        for (int i = 0; i < IN; i++) mean[i] += (double)rows[t * IN + i] / (last - first);
}

static int sequence_of(int t)
{
    return t > 0; /* the first has one token */
}

static void intuition_of(const adapted_layer *l, int s, bool given, double *e)
{
    if (given) {
        for (int i = 0; i < IN; i++) e[i] = (double)l->vectors[s * IN + i];
        return;
    }
    mean_of(l->embeddings, l->starts[s], l->starts[s + 1], e);
    normalise(e, IN, 0);
    for (int i = 0; i < IN; i++) e[i] /= sqrt(IN);
}

static void gate_of_token(const adapted_layer *l, int t, bool given, double *gate)
{
    double p[EXPERTS], e[IN], kappa = given ? 2 : 4;
    double omega = 1 / (1 + exp(-100 * (double)*values_of(l, OMEGA)));
    double main = 1 / (1 + exp(-100 * (double)*values_of(l, MAIN)));
    for (int j = 0; j < EXPERTS; j++) p[j] = dot(values_of(l, ROUTER) + j * IN, l->x + t * IN, IN);
    softmax(p, EXPERTS);
    intuition_of(l, sequence_of(t), given, e);
    for (int j = 0; j < EXPERTS; j++) {
        double c = 0;
        for (int i = 0; i < IN; i++) c += (double)l->all->values[0].data[j * IN + i] * e[i];
        gate[j] = main * (EXPERTS * omega * p[j] + kappa * (1 - omega) * c);
    }
}

static void gate_of_sequence(const adapted_layer *l, int s, double *gate)
{
    double mean[IN], z1[UNITS], z3[UNITS];
    mean_of(l->x, l->starts[s], l->starts[s + 1], mean);
    linear(values_of(l, FC1), values_of(l, FC1_BIAS), mean, IN, UNITS, z1);
    for (int k = 0; k < UNITS; k++) z1[k] *= 0.5 * erfc(-z1[k] / sqrt(2));
    normalise(z1, UNITS, 1e-5);
    for (int k = 0; k < UNITS; k++) z1[k] = z1[k] * (double)values_of(l, LN)[k] + (double)values_of(l, LN_BIAS)[k];
    linear(values_of(l, FC2), values_of(l, FC2_BIAS), z1, UNITS, UNITS, z3);
    linear(values_of(l, PROJ), values_of(l, PROJ_BIAS), z3, UNITS, EXPERTS, gate);
    softmax(gate, EXPERTS);
}

static const char *const formulas[] = {by_token, by_vectors, by_sequence};

START_TEST(it_is_the_formula)
{
    adapted_layer l;
    open_mor1e(&l, formulas[_i]);
    float *y = layer_output(&l, 1);
    for (int t = 0; t < TOKENS; t++) {
        double gate[EXPERTS];
        if (formulas[_i] == by_sequence)
            gate_of_sequence(&l, sequence_of(t), gate);
        else
            gate_of_token(&l, t, formulas[_i] == by_vectors, gate);
        for (int o = 0; o < OUT; o++) {
            double sum = (double)l.bias_data[o] + dot(l.weight_data + o * IN, l.x + t * IN, IN);
            for (int j = 0; j < EXPERTS; j++)
                sum += 1.5 * gate[j] * (double)values_of(&l, B)[o * EXPERTS + j] *
                       dot(values_of(&l, A) + j * IN, l.x + t * IN, IN);
            ck_assert_double_eq_tol((double)y[t * OUT + o], sum, 2e-5);
        }
    }
    free(y);
    layer_close(&l);
}
END_TEST

static const char *const settings[] = {"num_experts=1",
                                       "num_experts=3;centroids=kmeans",
                                       "num_experts=3;intuition=vectors;dropout=0.2",
                                       "num_experts=1;gate=sequence",
                                       "num_experts=3;gate=sequence;gate_size=4",
                                       "num_experts=9;gate=sequence;gate_size=1"};

START_TEST(gradients_are_right_whatever_the_settings)
{
    const int32_t prompts[] = {1, 4};
    adapted_layer l;
    open_mor1e(&l, settings[_i]);
    layer_check_gradient(&l);
    l.batch.prompt_lengths = prompts;
    layer_check_gradient(&l);
    layer_close(&l);
}
END_TEST

/* ---- limits ---- */

/* The layer's output is that of a LoRA with these of its experts. */
static void check_is_lora(const adapted_layer *l, int first, int count, double alpha)
{
    adapted_layer lora;
    layer_case s = sizes;
    s.rank = count;
    s.alpha = alpha;
    layer_open(&lora, peft_variant_find("lora"), s, NULL);
    memcpy(values_of(&lora, A), values_of(l, A) + first * IN, (size_t)(count * IN) * sizeof(float));
    for (int o = 0; o < OUT; o++)
        memcpy(values_of(&lora, B) + o * count, values_of(l, B) + o * EXPERTS + first, (size_t)count * sizeof(float));
    float *y = layer_output(l, 1), *expected = layer_output(&lora, 1);
    ck_assert_double_le(largest_difference(y, expected, TOKENS * OUT), 5e-6);
    free(y);
    free(expected);
    layer_close(&lora);
}

START_TEST(an_undecided_gate_of_sequences_is_lora)
{
    adapted_layer l;
    open_mor1e(&l, by_sequence);
    memset(values_of(&l, PROJ), 0, EXPERTS * UNITS * sizeof(float));
    memset(values_of(&l, PROJ_BIAS), 0, EXPERTS * sizeof(float));
    check_is_lora(&l, 0, EXPERTS, sizes.alpha);
    layer_close(&l);
}
END_TEST

START_TEST(a_gate_that_is_sure_is_a_lora_of_rank_one)
{
    adapted_layer l;
    open_mor1e(&l, by_sequence);
    memset(values_of(&l, PROJ), 0, EXPERTS * UNITS * sizeof(float));
    values_of(&l, PROJ_BIAS)[1] = 200;
    check_is_lora(&l, 1, 1, sizes.alpha);
    layer_close(&l);
}
END_TEST

/* Without intuition and with M = 1, an undecided router has n p = 1. */
START_TEST(an_undecided_router_is_lora)
{
    adapted_layer l;
    open_mor1e(&l, by_token);
    memset(values_of(&l, ROUTER), 0, EXPERTS * IN * sizeof(float));
    *values_of(&l, OMEGA) = *values_of(&l, MAIN) = 1;
    check_is_lora(&l, 0, EXPERTS, EXPERTS * sizes.alpha);
    layer_close(&l);
}
END_TEST

/* ---- what a gate may depend on ---- */

/* Tokens 1 to 4 as a sequence of their own. */
static float *short_output(const adapted_layer *l)
{
    adapted_layer part = *l;
    const int32_t starts[] = {0, 4};
    part.x = l->x + IN;
    part.embeddings = l->embeddings + IN;
    part.vectors = l->vectors + IN;
    part.sizes.tokens = 4;
    part.batch.num_tokens = 4;
    part.batch.num_sequences = 1;
    part.batch.first_token = part.batch.first_sequence = 1;
    part.batch.starts = starts;
    part.batch.vectors = part.vectors;
    part.batch.prompt_lengths = NULL;
    return layer_output(&part, 1);
}

/* The second sequence of the batch is the same four tokens, as prompt, with six more behind them. Neither those nor the
 * other sequence change what the prompt's tokens become. */
START_TEST(a_prompt_alone_decides)
{
    const int32_t prompts[] = {1, 4};
    adapted_layer l;
    open_mor1e(&l, formulas[_i]);
    float *alone = short_output(&l), *whole = layer_output(&l, 1);
    bool reads_all = formulas[_i] != by_vectors;
    ck_assert_int_eq(largest_difference(alone, whole + OUT, 4 * OUT) > 1e-4, reads_all);
    l.batch.prompt_lengths = prompts;
    float *prompted = layer_output(&l, 1);
    ck_assert_double_le(largest_difference(alone, prompted + OUT, 4 * OUT), 2e-6);
    free(alone);
    free(whole);
    free(prompted);
    layer_close(&l);
}
END_TEST

START_TEST(gates_are_observed)
{
    adapted_layer l;
    peft_graph *g;
    peft_context *ctx;
    double gate[EXPERTS], sum = 0;
    open_mor1e(&l, by_sequence);
    ck_assert(!peft_graph_create(&g, NULL) && !peft_context_open(&ctx, NULL, NULL));
    peft_graph_keep(g, layer_forward(g, &l));
    ck_assert(!peft_graph_run(g, ctx, NULL) && !peft_graph_wait(g, NULL));
    const peft_side_value *seen = peft_graph_observation_at(g, 0);
    ck_assert_str_eq(seen->name, "gate");
    for (int j = 0; j < EXPERTS; j++) {
        double mean = 0;
        for (int s = 0; s < 2; s++) {
            gate_of_sequence(&l, s, gate);
            mean += gate[j] / 2;
        }
        ck_assert_double_eq_tol((double)((const float *)read_values(g, seen->tensor))[j], mean, 1e-5);
        sum += mean;
    }
    ck_assert_double_eq_tol(sum, 1, 1e-12);
    peft_graph_free(g);
    peft_context_close(ctx);
    layer_close(&l);
}
END_TEST

/* Vectors around two points, and two experts: each becomes a centroid. */
START_TEST(centroids_are_centres_of_the_training_sequences)
{
    enum { COUNT = 20 };
    float vectors[COUNT * IN] = {0};
    adapted_layer l;
    peft_error error = {0};
    for (int p = 0; p < COUNT; p++) vectors[p * IN + p % 2] = p < COUNT / 2 ? 0.9F : 1.1F;
    layer_open(&l, peft_variant_find("mor1e"), sizes, "num_experts=2;centroids=kmeans");
    const float *centroids = l.all->values[0].data;
    ck_assert_int_eq(peft_adapters_fit_size(l.all), IN);
    ck_assert_msg(!peft_adapters_fit(l.all, vectors, COUNT, IN, 1, &error), "%s", error.message);
    int first = centroids[0] > 0.5F ? 0 : 1;
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < IN; i++) {
            double expected = (j == first && i == 0) || (j != first && i == 1) ? 1 : 0;
            ck_assert_double_eq_tol((double)centroids[j * IN + i], expected, 1e-6);
        }
    ck_assert_int_eq(peft_adapters_fit(l.all, vectors, COUNT, IN - 1, 1, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "mor1e: expected vectors of 7 numbers, found 20 of 6"));
    layer_close(&l);
    const char *const without[] = {by_token, by_sequence};
    for (int k = 0; k < 2; k++) {
        open_mor1e(&l, without[k]);
        ck_assert_int_eq(peft_adapters_fit_size(l.all), 0);
        ck_assert(!peft_adapters_fit(l.all, vectors, COUNT, IN, 1, &error));
        layer_close(&l);
    }
}
END_TEST

/* ---- values and refusals ---- */

START_TEST(scalars_learn_at_their_own_rate)
{
    adapted_layer l;
    open_mor1e(&l, "num_experts=3;scalar_rate=0.25");
    ck_assert_double_eq(l.adapter->values[OMEGA].spec.learning_rate_factor, 0.25);
    ck_assert_double_eq(l.adapter->values[MAIN].spec.learning_rate_factor, 0.25);
    ck_assert(l.adapter->values[MAIN].spec.no_decay);
    ck_assert_int_eq(l.all->set.num_trained, EXPERTS * (IN + OUT) + EXPERTS * IN + 2 + EXPERTS * IN);
    layer_close(&l);
    open_mor1e(&l, by_sequence);
    ck_assert_int_eq(l.all->set.num_trained,
                     EXPERTS * (IN + OUT) + UNITS * (IN + 1) + UNITS * (UNITS + 1) + 2 * UNITS + EXPERTS * (UNITS + 1));
    layer_close(&l);
}
END_TEST

static void check_refused(const adapted_layer *l, bool with_embeddings, peft_status status, const char *message)
{
    peft_graph *g;
    peft_error error = {0};
    ck_assert(!peft_graph_create(&g, NULL));
    peft_shape inputs = peft_shape_2(TOKENS, IN);
    peft_tensor *x = peft_constant(g, PEFT_F32, inputs, l->x, "x");
    if (with_embeddings) peft_batch_set_embeddings(g, &l->batch, x);
    ck_assert_ptr_null(peft_adapter_forward(g, l->adapter, &l->base, x, &l->batch));
    ck_assert_int_eq(peft_graph_status(g, &error), status);
    ck_assert_msg(strstr(error.message, message) != NULL, "found: %s", error.message);
    peft_graph_free(g);
}

START_TEST(a_batch_without_intuition_is_refused)
{
    adapted_layer l;
    open_mor1e(&l, by_token);
    check_refused(&l, false, PEFT_ERR_ARGUMENT, "intuition: no model has said its input embeddings; give vectors");
    layer_close(&l);
    open_mor1e(&l, by_vectors);
    l.batch.vectors = NULL;
    check_refused(&l, true, PEFT_ERR_ARGUMENT, "intuition: the batch has no vectors of its sequences");
    layer_close(&l);
    open_mor1e(&l, "num_experts=3;vector_size=8");
    check_refused(&l, true, PEFT_ERR_SHAPE, "intuition: expected vectors of 8 numbers, found 7; set vector_size");
    layer_close(&l);
}
END_TEST

TEST_MAIN("mor1e", tcase_add_loop_test(tc, it_is_the_formula, 0, sizeof formulas / sizeof *formulas);
          tcase_add_loop_test(tc, gradients_are_right_whatever_the_settings, 0, sizeof settings / sizeof *settings);
          tcase_add_test(tc, an_undecided_gate_of_sequences_is_lora);
          tcase_add_test(tc, a_gate_that_is_sure_is_a_lora_of_rank_one);
          tcase_add_test(tc, an_undecided_router_is_lora);
          tcase_add_loop_test(tc, a_prompt_alone_decides, 0, sizeof formulas / sizeof *formulas);
          tcase_add_test(tc, gates_are_observed); tcase_add_test(tc, centroids_are_centres_of_the_training_sequences);
          tcase_add_test(tc, scalars_learn_at_their_own_rate); tcase_add_test(tc, a_batch_without_intuition_is_refused))
