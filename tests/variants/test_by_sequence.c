/* An adapter of its own for each sequence, of every variant: one batch is as good as a run for each of its sequences,
 * in outputs, in losses that adapters add, and in the gradients of every tensor. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "tests/support/main.h"
#include "tests/support/read.h"
#include "tests/variants/adapted_layer.h"

static const layer_case sizes = {.in_features = 8, .out_features = 6, .rank = 3, .tokens = 11, .alpha = 2.5};

/* Beside every variant as it is: what changes who reads the sequences, and what adds to the loss. */
static const struct {
    const char *variant, *options;
} settings[] = {{"lora", "freeze_a=true"},
                {"dora", "norm_gradient=full"},
                {"adalora", "orth_reg_weight=0.5"},
                {"lora2", "orth_reg_weight=0.5"},
                {"lora2", "orth_reg_weight=0.5;orthogonality=paper"},
                {"sora", "l1=0.3"},
                {"molora", "balance_loss=entropy;balance_coef=0.5;z_loss_coef=0.1"},
                {"molora", "top_k=2;balance_loss=switch;balance_coef=0.5;router_bias=true"},
                {"mov", "num_experts=4;balance_loss=entropy;balance_coef=0.5"},
                {"mor1e", "num_experts=4;gate=sequence;gate_size=5"},
                {"mor1e", "num_experts=4;intuition=vectors"},
                {"mor1e", "num_experts=4;centroids=kmeans"},
                {"trex", "r1=2;r2=3;intuition=vectors"},
                {"lokr", "decompose_both=true"},
                {"molora", "dropout=0.3"},
                {"lora", "dropout=0.3"},
                {"vera", "dropout=0.3"},
                {"mora", "mora_type=1"},
                {"mora", "mora_type=2"},
                {"mora", "dropout=0.3"}};

enum { NUM_SETTINGS = sizeof settings / sizeof *settings };

static int num_variants(void)
{
    int count = 0;
    while (peft_variant_at((size_t)count)) count++;
    return count;
}

static const char *text_of(int i)
{
    return i < NUM_SETTINGS ? settings[i].options : NULL;
}

static const peft_variant *variant_of(int i)
{
    return i < NUM_SETTINGS ? peft_variant_find(settings[i].variant) : peft_variant_at((size_t)(i - NUM_SETTINGS));
}

/* Values and results of both ways. */
typedef struct trial {
    adapted_layer layer;
    peft_graph *g;
    peft_context *ctx;
    float *values[LAYER_SEQUENCES];    /* of each sequence's adapter: [num_trained] */
    float *gradients[LAYER_SEQUENCES]; /* of its own run, at the same places */
    float *outputs;                    /* of these runs, one after another */
    double loss;                       /* the sum of theirs */
} trial;

static float *copy(const float *from, int64_t count)
{
    float *to = malloc((size_t)count * sizeof *to + 1);
    ck_assert_ptr_nonnull(to);
    return memcpy(to, from, (size_t)count * sizeof *to);
}

static void open_trial(trial *t, int i)
{
    peft_context_options options = {.threads = 1, .seed = 9};
    *t = (trial){0};
    layer_open(&t->layer, variant_of(i), sizes, text_of(i));
    ck_assert(!peft_graph_create(&t->g, NULL) && !peft_context_open(&t->ctx, &options, NULL));
    for (int s = 0; s < LAYER_SEQUENCES; s++) {
        layer_shake(&t->layer);
        t->values[s] = copy(t->layer.all->set.memory, t->layer.all->set.num_trained);
    }
    t->outputs = calloc((size_t)(sizes.tokens * sizes.out_features), sizeof *t->outputs);
}

static void close_trial(trial *t)
{
    for (int s = 0; s < LAYER_SEQUENCES; s++) {
        free(t->values[s]);
        free(t->gradients[s]);
    }
    free(t->outputs);
    peft_graph_free(t->g);
    peft_context_close(t->ctx);
    layer_close(&t->layer);
}

/* Tokens first ... of the layer's x: output, and the loss as a part of the whole batch's. */
static peft_tensor *describe(trial *t, const peft_batch *batch, int64_t first, peft_tensor **loss)
{
    const adapted_layer *l = &t->layer;
    const peft_shape in = peft_shape_2(batch->num_tokens, sizes.in_features);
    const peft_shape out = peft_shape_2(batch->num_tokens, sizes.out_features);
    const float *embeddings = l->embeddings + first * sizes.in_features;
    peft_batch_set_embeddings(t->g, batch, peft_constant(t->g, PEFT_F32, in, embeddings, "embeddings"));
    peft_tensor *x = peft_constant(t->g, PEFT_F32, in, l->x + first * sizes.in_features, "x");
    peft_tensor *target = peft_constant(t->g, PEFT_F32, out, l->target + first * sizes.out_features, "target");
    peft_tensor *y = peft_graph_keep(t->g, peft_adapter_forward(t->g, l->adapter, &l->base, x, batch));
    double share = (double)batch->num_sequences / LAYER_SEQUENCES;
    peft_tensor *error = peft_mse(t->g, y, target, (double)(sizes.tokens * sizes.out_features));
    *loss = peft_graph_total_loss(t->g, error, share);
    return y;
}

static void run(trial *t, peft_tensor *loss)
{
    peft_error error = {0};
    const char *name = t->layer.all->variant->name;
    ck_assert_msg(!peft_graph_status(t->g, &error), "%s: %s", name, error.message);
    ck_assert_msg(!peft_graph_differentiate(t->g, loss, &error), "%s: %s", name, error.message);
    ck_assert_msg(!peft_graph_run(t->g, t->ctx, &error), "%s: %s", name, error.message);
}

static void run_alone(trial *t, int s)
{
    const adapted_layer *l = &t->layer;
    const peft_value_set *set = &l->all->set;
    int32_t first = l->starts[s], length = l->starts[s + 1] - first;
    const int32_t starts[] = {0, length};
    const peft_batch own = {.num_tokens = length,
                            .num_sequences = 1,
                            .starts = starts,
                            .first_token = first,
                            .first_sequence = s,
                            .training = true,
                            .vectors = l->vectors + s * sizes.in_features,
                            .vector_size = sizes.in_features};
    peft_tensor *loss;
    memcpy(set->memory, t->values[s], (size_t)set->num_trained * sizeof(float));
    peft_value_set_zero_gradients(set);
    peft_graph_reset(t->g);
    const peft_tensor *y = describe(t, &own, first, &loss);
    run(t, loss);
    memcpy(t->outputs + first * sizes.out_features, read_values(t->g, y),
           (size_t)(length * sizes.out_features) * sizeof(float));
    t->loss += (double)*(const float *)read_values(t->g, loss);
    t->gradients[s] = copy(set->gradients, set->num_trained);
}

static void check_close(const trial *t, const char *what, const float *found, const float *expected, int64_t count)
{
    double tolerance = 1e-5 * (1 + largest_value(expected, count)); /* sums in another order */
    ck_assert_msg(largest_difference(found, expected, count) <= tolerance, "%s: %s: off by %g",
                  t->layer.all->variant->name, what, largest_difference(found, expected, count));
}

static peft_shape for_each_sequence(const peft_value *value)
{
    peft_shape shape = value->spec.shape;
    for (int32_t d = shape.ndim++; d > 0; d--) shape.size[d] = shape.size[d - 1];
    shape.size[0] = LAYER_SEQUENCES;
    return shape;
}

/* Both adapters' values at twice their place, one behind the other; bound to their gradients. */
static void bind_all(const trial *t, float *data, float *gradients)
{
    const peft_value_set *set = &t->layer.all->set;
    for (int64_t k = 0; k < set->count; k++) {
        const peft_value *value = set->items[k].value;
        int64_t count = peft_value_count(value), at = value->data - set->memory;
        if (!value->gradient) continue;
        for (int s = 0; s < LAYER_SEQUENCES; s++)
            memcpy(data + LAYER_SEQUENCES * at + s * count, t->values[s] + at, (size_t)count * sizeof *data);
        peft_graph_bind(t->g, value,
                        peft_parameter(t->g, PEFT_F32, for_each_sequence(value), data + LAYER_SEQUENCES * at,
                                       gradients + LAYER_SEQUENCES * at, "emitted"));
    }
}

static void check_gradients(const trial *t, const float *gradients)
{
    const peft_value_set *set = &t->layer.all->set;
    for (int64_t k = 0; k < set->count; k++) {
        const peft_value *value = set->items[k].value;
        int64_t count = peft_value_count(value), at = value->data - set->memory;
        for (int s = 0; s < LAYER_SEQUENCES && value->gradient; s++)
            check_close(t, value->spec.name, gradients + LAYER_SEQUENCES * at + s * count, t->gradients[s] + at, count);
    }
    ck_assert_double_gt(largest_value(gradients, LAYER_SEQUENCES * set->num_trained), 0);
}

START_TEST(a_batch_is_as_good_as_a_run_for_each_sequence)
{
    trial t;
    open_trial(&t, _i);
    adapted_layer *l = &t.layer;
    const size_t floats = (size_t)(LAYER_SEQUENCES * l->all->set.num_trained);
    float *data = calloc(floats, sizeof *data), *gradients = calloc(floats, sizeof *gradients);
    ck_assert(data && gradients);
    for (int s = 0; s < LAYER_SEQUENCES; s++) run_alone(&t, s);
    peft_graph_reset(t.g);
    bind_all(&t, data, gradients);
    peft_tensor *loss;
    const peft_tensor *y = describe(&t, &l->batch, 0, &loss);
    ck_assert_ptr_null(peft_adapter_weight(t.g, l->adapter, &l->base, &l->batch));
    run(&t, loss);
    check_close(&t, "outputs", read_values(t.g, y), t.outputs, sizes.tokens * sizes.out_features);
    ck_assert_double_eq_tol((double)*(const float *)read_values(t.g, loss), t.loss, 1e-5 * (1 + fabs(t.loss)));
    check_gradients(&t, gradients);
    free(data);
    free(gradients);
    close_trial(&t);
}
END_TEST

/* One entry too many for each sequence. */
static void check_refused(const adapted_layer *l, const peft_value *value)
{
    peft_graph *g;
    peft_error error = {0};
    peft_shape longer = for_each_sequence(value);
    longer.size[0]++;
    float *data = calloc((size_t)peft_shape_count(&longer) + 1, sizeof *data);
    ck_assert(data && !peft_graph_create(&g, NULL));
    peft_graph_bind(g, value, peft_constant(g, PEFT_F32, longer, data, "bound"));
    layer_forward(g, l);
    ck_assert_msg(peft_graph_status(g, &error) == PEFT_ERR_SHAPE, "%s: %s: %s", l->all->variant->name, value->spec.name,
                  error.message);
    ck_assert_msg(strstr(error.message, value->spec.name) != NULL, "%s", error.message);
    peft_graph_free(g);
    free(data);
}

START_TEST(what_does_not_fit_cannot_be_bound)
{
    adapted_layer l;
    layer_open(&l, variant_of(_i), sizes, text_of(_i));
    for (int64_t k = 0; k < l.all->set.count; k++) check_refused(&l, l.all->set.items[k].value);
    layer_close(&l);
}
END_TEST

TEST_MAIN("by_sequence", int n = NUM_SETTINGS + num_variants();
          tcase_add_loop_test(tc, a_batch_is_as_good_as_a_run_for_each_sequence, 0, n);
          tcase_add_loop_test(tc, what_does_not_fit_cannot_be_bound, 0, n))
