/* The gradient of a whole encoder while it trains, its dropout on: masks are functions of where they are used
 * (ops/rng.h), so the loss is an ordinary function of the parameters and can be held against central differences. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/json.h"
#include "ops/ops.h"
#include "ops/rng.h"
#include "peft/adapter_folder.h"
#include "peft/inject.h"
#include "peft/parameters.h"
#include "tests/io/scratch.h"
#include "tests/peft/trained.h"
#include "tests/support/main.h"
#include "tests/support/read.h"
#include "variants/variant.h"

enum { MAX_PATH = 1024, TOKENS = 40, SEQUENCES = 4 };

static const char *fixture(char path[MAX_PATH], const char *name)
{
    snprintf(path, MAX_PATH, "%s/goldens/%s", getenv("PEFT_FIXTURES"), name);
    return path;
}

/* goldens/models/bert with dropout */
static peft_model *open_model(double dropout)
{
    char path[MAX_PATH];
    peft_error error = {0};
    json_t *config;
    ck_assert_msg(!peft_json_load(fixture(path, "models/bert/config.json"), &config, &error), "%s", error.message);
    json_object_set_new(config, "hidden_dropout_prob", json_real(dropout));
    json_object_set_new(config, "attention_probs_dropout_prob", json_real(dropout));
    ck_assert(!json_dump_file(config, scratch("config.json"), 0));
    json_decref(config);
    ck_assert(!symlink(fixture(path, "models/bert/model.safetensors"), scratch("model.safetensors")));
    peft_model *model;
    ck_assert_msg(!peft_model_open(&model, scratch(""), NULL, &error), "%s", error.message);
    return model;
}

typedef struct example {
    int32_t starts[SEQUENCES + 1], ids[TOKENS], types[TOKENS], positions[TOKENS], labels[SEQUENCES];
} example;

static void make_example(example *x)
{
    static const int32_t starts[SEQUENCES + 1] = {0, 11, 12, 31, TOKENS};
    memcpy(x->starts, starts, sizeof starts);
    for (int32_t s = 0; s < SEQUENCES; s++) {
        x->labels[s] = s % 3;
        for (int32_t t = starts[s]; t < starts[s + 1]; t++) {
            x->ids[t] = (t * 37 + s) % 120;
            x->types[t] = t % 2;
            x->positions[t] = t - starts[s];
        }
    }
}

/* The loss of sequences first ... first + count - 1 as their share of all; gradients are added where asked for. */
static double part(const example *x, int64_t first, int64_t count, peft_model *model, peft_context *ctx, bool backward,
                   bool checkpoint)
{
    peft_error error = {0};
    int32_t starts[SEQUENCES + 1];
    for (int64_t s = 0; s <= count; s++) starts[s] = x->starts[first + s] - x->starts[first];
    int32_t at = x->starts[first];
    const peft_batch batch = {.num_tokens = starts[count],
                              .num_sequences = count,
                              .starts = starts,
                              .training = true,
                              .first_token = at,
                              .first_sequence = first};
    const peft_model_input input = {x->ids + at, x->types + at, x->positions + at};
    const peft_model_run run = {&batch, &input, checkpoint};
    peft_graph *g;
    ck_assert(!peft_graph_create(&g, &error));
    peft_tensor *labels = peft_constant(g, PEFT_I32, peft_shape_1(count), x->labels + first, "labels");
    peft_tensor *loss = peft_cross_entropy(g, peft_model_logits(g, model, &run), labels, NULL, 0, SEQUENCES);
    loss = peft_graph_keep(g, loss);
    ck_assert_msg(!peft_graph_status(g, &error), "%s", error.message);
    if (backward) ck_assert_msg(!peft_graph_differentiate(g, loss, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    double value = (double)*(const float *)read_values(g, loss);
    peft_graph_free(g);
    return value;
}

static float noise(int64_t k)
{
    float value;
    peft_random_normal(&value, 1, 0, 1, (uint64_t)k, 7);
    return value;
}

/* values += step * direction, for one trained tensor */
static void move(const peft_value_item *item, double step)
{
    for (int64_t k = 0; k < peft_value_count(item->value); k++)
        item->value->data[k] += (float)(step * (double)noise(k));
}

typedef struct trained_model {
    peft_model *model;
    peft_adapters *adapters;
    trained trained;
    peft_context *ctx;
    example x;
} trained_model;

/* An adapter, or all weights. */
static void open_all(trained_model *t, double dropout, bool all_weights, const char *backend)
{
    char path[MAX_PATH];
    peft_error error = {0};
    const peft_context_options options = {.threads = 2, .backend = backend, .seed = 5};
    t->model = open_model(dropout);
    t->adapters = NULL;
    const char *folder = fixture(path, "variants/lora-all/adapter");
    peft_status status = all_weights ? peft_train_all_weights(t->model, &error)
                                     : peft_adapter_load(t->model, folder, NULL, &t->adapters, NULL, &error);
    ck_assert_msg(!status, "%s", error.message);
    trained_open(&t->trained, t->adapters, t->model);
    ck_assert_msg(!peft_context_open(&t->ctx, &options, &error), "%s", error.message);
    ck_assert(!peft_model_pack(t->model, t->ctx, PEFT_PACK_BOTH, &error));
    peft_context_set_step(t->ctx, 3);
    make_example(&t->x);
}

static void close_all(trained_model *t)
{
    trained_close(&t->trained);
    peft_adapters_free(t->adapters);
    peft_model_close(t->model);
    peft_context_close(t->ctx);
    scratch_teardown();
    scratch_setup();
}

static double loss_at(trained_model *t)
{
    return part(&t->x, 0, SEQUENCES, t->model, t->ctx, false, false);
}

static const double dropouts[] = {0, 0.1, 0.4};

/* The derivative of the loss along a random direction of one tensor. */
static double slope(trained_model *t, const peft_value_item *item, double step)
{
    move(item, step);
    double above = loss_at(t);
    move(item, -2 * step);
    double below = loss_at(t);
    move(item, step);
    return (above - below) / (2 * step);
}

static double slope_of_gradient(const peft_value_item *item)
{
    double sum = 0;
    for (int64_t k = 0; k < peft_value_count(item->value); k++)
        sum += (double)item->value->gradient[k] * (double)noise(k);
    return sum;
}

/* A step e errs by e^2 times a third derivative, which is some hundreds here, and by float32's 1e-7 of the loss divided
 * by e: 1e-3 and 1e-4 of slopes of about 1. A mask that differs between forward and backward errs by a tenth. */
START_TEST(gradients_are_central_differences)
{
    const double step = 1e-3, tolerance = 5e-3;
    for (int b = 0; peft_backend_name(b); b++) {
        if (!peft_backend_available(peft_backend_name(b))) continue;
        trained_model t;
        open_all(&t, dropouts[_i / 2], _i % 2, peft_backend_name(b));
        part(&t.x, 0, SEQUENCES, t.model, t.ctx, true, false);
        for (int64_t p = 0; p < t.trained.parameters.num_items; p++) {
            const peft_value_item *item = &t.trained.parameters.items[p];
            double expected = slope_of_gradient(item), found = slope(&t, item, step);
            ck_assert_msg(fabs(found - expected) <= tolerance * fmax(1, fabs(expected)),
                          "%s: %s: expected %.9g, found %.9g", peft_backend_name(b), item->name, expected, found);
        }
        close_all(&t);
    }
}
END_TEST

static float *gradients(const trained_model *t, int64_t *count)
{
    int64_t at = 0;
    *count = t->trained.parameters.num_trained;
    float *all = malloc((size_t)*count * sizeof *all);
    ck_assert(all != NULL);
    for (int64_t p = 0; p < t->trained.parameters.num_items; p++) {
        const peft_value_item *item = &t->trained.parameters.items[p];
        memcpy(all + at, item->value->gradient, (size_t)peft_value_count(item->value) * sizeof *all);
        at += peft_value_count(item->value);
    }
    ck_assert_int_eq(at, *count);
    return all;
}

/* To so much of the largest. */
static void check_same(const float *found, const float *expected, int64_t count, double tolerance)
{
    float largest = 0;
    for (int64_t k = 0; k < count; k++) largest = fmaxf(largest, fabsf(expected[k]));
    for (int64_t k = 0; k < count; k++)
        ck_assert_double_eq_tol((double)found[k], (double)expected[k], tolerance * (double)largest);
}

/* Cut into batches, and computed twice instead of stored, a step meets the same masks. */
START_TEST(masks_do_not_depend_on_how_a_step_is_computed)
{
    const double tolerance = 1e-5;
    trained_model t;
    int64_t count;
    open_all(&t, 0.3, false, NULL);
    double whole = part(&t.x, 0, SEQUENCES, t.model, t.ctx, true, false);
    float *expected = gradients(&t, &count);

    peft_parameters_clear_gradients(&t.trained.parameters);
    ck_assert_double_eq(part(&t.x, 0, SEQUENCES, t.model, t.ctx, true, true), whole);
    float *again = gradients(&t, &count);
    ck_assert_mem_eq(expected, again, (size_t)count * sizeof *again);

    peft_parameters_clear_gradients(&t.trained.parameters);
    double cut =
        part(&t.x, 0, 1, t.model, t.ctx, true, false) + part(&t.x, 1, SEQUENCES - 1, t.model, t.ctx, true, true);
    ck_assert_double_eq_tol(cut, whole, tolerance);
    float *sum = gradients(&t, &count);
    check_same(sum, expected, count, tolerance);

    peft_context_set_step(t.ctx, 4);
    ck_assert_double_ne(loss_at(&t), whole);
    free(expected);
    free(again);
    free(sum);
    close_all(&t);
}
END_TEST

/* Loss and gradients with another table of the variant; the caller frees them. */
static float *gradients_as(trained_model *t, const peft_variant *variant, bool checkpoint, double *loss)
{
    int64_t count;
    const peft_variant *own = t->adapters->variant;
    t->adapters->variant = variant;
    peft_parameters_clear_gradients(&t->trained.parameters);
    *loss = part(&t->x, 0, SEQUENCES, t->model, t->ctx, true, checkpoint);
    t->adapters->variant = own;
    return gradients(t, &count);
}

/* In the last layer only queries of first tokens are computed, and neither keys nor values, where adapters allow that.
 */
START_TEST(tokens_that_nobody_reads_change_no_gradient)
{
    const double tolerance = 1e-5;
    double loss, loss_found;
    trained_model t;
    open_all(&t, 0, false, NULL);
    const peft_variant *variant = t.adapters->variant;
    ck_assert(variant->by_token && variant->weight);
    peft_variant looks_around = *variant, has_no_weight = *variant;
    looks_around.by_token = false;
    has_no_weight.weight = NULL;
    const peft_variant *const others[] = {&has_no_weight, variant};
    float *all = gradients_as(&t, &looks_around, _i, &loss);
    for (int k = 0; k < 2; k++) {
        float *found = gradients_as(&t, others[k], _i, &loss_found);
        ck_assert_double_eq_tol(loss_found, loss, tolerance);
        check_same(found, all, t.trained.parameters.num_trained, tolerance);
        free(found);
    }
    free(all);
    close_all(&t);
}
END_TEST

TEST_MAIN("gradient", tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
          tcase_add_loop_test(tc, gradients_are_central_differences, 0, 2 * sizeof dropouts / sizeof *dropouts);
          tcase_add_test(tc, masks_do_not_depend_on_how_a_step_is_computed);
          tcase_add_loop_test(tc, tokens_that_nobody_reads_change_no_gradient, 0, 2))
