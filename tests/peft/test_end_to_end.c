/* A generator that is trained by what its adapters do, with every variant: sequences with adapters of their own answer
 * as the model does with each of these adapters on it, and gradients are those of this loss. */
#include "peft/end_to_end.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/rng.h"
#include "peft/inject.h"
#include "peft/trainer.h"
#include "tests/peft/tiny_bert.h"
#include "tests/support/main.h"

enum { EXAMPLES = 6, LENGTH = 5, ANSWERS = 4, MOST = 2, TASKS = 2, DESCRIPTIONS = 3, VECTOR = 5 };

static peft_error error;

typedef struct scene {
    peft_model *model;
    peft_adapters *adapters;
    peft_context *ctx;
    peft_t2l net;
    peft_tokens tokens;
    int64_t offsets[EXAMPLES + 1];
    int32_t ids[EXAMPLES * LENGTH], types[EXAMPLES * LENGTH], classes[EXAMPLES], answers[EXAMPLES * MOST];
    uint32_t tasks[EXAMPLES];
    float *vectors, descriptions[DESCRIPTIONS * VECTOR];
    peft_end_to_end end_to_end;
    peft_answer_objective objective;
} scene;

static const uint32_t first[TASKS + 1] = {0, 2, 3}; /* the first task has two descriptions */

static int num_variants(void)
{
    int count = 0;
    while (peft_variant_at((size_t)count)) count++;
    return count;
}

static void open_net(scene *x, const char *start)
{
    peft_t2l_options options;
    ck_assert(!peft_options_init(peft_t2l_option_table, &options, &error));
    ck_assert(!peft_options_set_text(peft_t2l_option_table, &options, "start", start, &error));
    options.latent_size = 8;
    options.head_size = 6;
    options.dropout = 0;
    ck_assert_msg(!peft_t2l_create(&x->net, &options, x->adapters, VECTOR, 7, &error), "%s", error.message);
    peft_options_free(peft_t2l_option_table, &options);
}

static void open_adapters(scene *x, const peft_variant *variant)
{
    void *options = calloc(1, variant->options_bytes);
    ck_assert(!peft_variant_options_init(variant, options, &error));
    if (peft_options_find(variant->options, "rank"))
        ck_assert(!peft_options_set_text(variant->options, options, "rank", "2", &error));
    ck_assert_msg(!peft_inject(x->model, variant, options, NULL, 3, &x->adapters, NULL, &error), "%s", error.message);
    peft_options_free(variant->options, options);
    free(options);
}

static void open_scene(scene *x, const peft_variant *variant, const char *start)
{
    const peft_model_options options = {.num_labels = MOST, .part = PEFT_MODEL_ANSWERS};
    *x = (scene){0};
    ck_assert_msg(!peft_model_open(&x->model, tiny_golden("models/bert"), &options, &error), "%s", error.message);
    ck_assert(!peft_context_open(&x->ctx, NULL, &error));
    open_adapters(x, variant);
    open_net(x, start);
    for (int k = 0; k < EXAMPLES; k++) {
        x->offsets[k + 1] = x->offsets[k] + 2 + k % (LENGTH - 1);
        x->classes[k] = k % 2;
        x->tasks[k] = (uint32_t)(k / 2 % TASKS);
        for (int a = 0; a < MOST; a++) x->answers[k * MOST + a] = (int32_t)(MOST * x->tasks[k]) + a;
    }
    for (int t = 0; t < EXAMPLES * LENGTH; t++) x->ids[t] = (7 * t + 5) % 110;
    x->tokens = (peft_tokens){.count = EXAMPLES,
                              .offsets = x->offsets,
                              .input_ids = x->ids,
                              .token_type_ids = x->types,
                              .classes = x->classes,
                              .longest = LENGTH};
    size_t floats = (size_t)(ANSWERS * peft_model_hidden_size(x->model));
    x->vectors = malloc(floats * sizeof *x->vectors);
    peft_random_normal(x->vectors, floats, 0, 3, 1, peft_stream("answers"));
    peft_random_normal(x->descriptions, DESCRIPTIONS * VECTOR, 0, 1, 1, peft_stream("descriptions"));
    x->end_to_end = (peft_end_to_end){.net = &x->net, .vectors = x->descriptions, .first = first, .tasks = x->tasks};
    x->objective = (peft_answer_objective){.model = x->model,
                                           .tokens = &x->tokens,
                                           .vectors = x->vectors,
                                           .answers = x->answers,
                                           .num_vectors = ANSWERS,
                                           .max_answers = MOST};
}

static void close_scene(scene *x)
{
    peft_answer_objective_free(&x->objective);
    peft_end_to_end_free(&x->end_to_end);
    peft_t2l_free(&x->net);
    free(x->vectors);
    peft_model_close(x->model);
    peft_adapters_free(x->adapters);
    peft_context_close(x->ctx);
}

static void logits_of(scene *x, const uint32_t *rows, int64_t count, int64_t step, float *logits)
{
    peft_graph *g;
    peft_tensor *made;
    const peft_examples examples = {.rows = rows, .count = count, .normaliser = (double)count, .step = step};
    ck_assert(!peft_graph_create(&g, &error));
    ck_assert(!peft_answer_objective_logits(&x->objective, g, &examples, false, &made, &error));
    peft_graph_keep(g, made);
    ck_assert_msg(!peft_graph_status(g, &error) && !peft_graph_run(g, x->ctx, &error), "%s", error.message);
    memcpy(logits, made->data, (size_t)(count * MOST) * sizeof *logits);
    peft_graph_free(g);
}

/* The adapter of a description becomes the values on the model. */
static void materialise(scene *x, uint32_t description)
{
    enum { MOST_KINDS = 16 };
    peft_graph *g;
    peft_t2l_kind_output outputs[MOST_KINDS];
    const peft_places *places = &x->net.places;
    ck_assert(!peft_graph_create(&g, &error));
    peft_tensor *vectors =
        peft_constant(g, PEFT_F32, peft_shape_2(1, VECTOR), x->descriptions + description * VECTOR, "vectors");
    peft_t2l_emit(g, &x->net, vectors, false, 0, outputs);
    peft_t2l_finish(g, &x->net, 1, outputs);
    for (int64_t k = 0; k < places->num_kinds; k++)
        for (int32_t v = 0; v < places->kinds[k].num_tensors; v++) peft_graph_keep(g, outputs[k].tensors[v]);
    ck_assert_msg(!peft_graph_status(g, &error) && !peft_graph_run(g, x->ctx, &error), "%s", error.message);
    for (int64_t k = 0; k < places->num_kinds; k++)
        for (int32_t v = 0; v < places->kinds[k].num_tensors; v++)
            for (int64_t p = 0; p < places->kinds[k].num_places; p++) {
                const peft_place_tensor *tensor = &places->kinds[k].tensors[v];
                memcpy(peft_place_value(places, &places->kinds[k], p, tensor)->data,
                       (const float *)outputs[k].tensors[v]->data + p * tensor->count,
                       (size_t)tensor->count * sizeof(float));
            }
    peft_graph_free(g);
}

START_TEST(sequences_answer_as_with_the_adapter_of_their_description)
{
    static const uint32_t rows[EXAMPLES] = {4, 0, 3, 1, 5, 2};
    scene x;
    float together[EXAMPLES * MOST], alone[MOST];
    open_scene(&x, peft_variant_at((size_t)_i), "random");
    for (int64_t step = 0; step < 3; step++) {
        peft_end_to_end_attach(&x.end_to_end, &x.objective);
        logits_of(&x, rows, EXAMPLES, step, together);
        ck_assert_int_le(x.end_to_end.num_descriptions, TASKS);
        for (int k = 0; k < EXAMPLES; k++) {
            uint32_t description = x.end_to_end.drawn[x.end_to_end.places[k]];
            ck_assert(description >= first[x.tasks[rows[k]]] && description < first[x.tasks[rows[k]] + 1]);
            materialise(&x, description);
            x.objective.bind = NULL;
            logits_of(&x, &rows[k], 1, step, alone);
            peft_end_to_end_attach(&x.end_to_end, &x.objective);
            for (int a = 0; a < MOST; a++)
                ck_assert_double_eq_tol((double)together[k * MOST + a], (double)alone[a], 2e-5);
        }
    }
    close_scene(&x);
}
END_TEST

/* Loss of all examples, at the values as they are; with its gradient where asked for. */
static double loss_of(scene *x, bool differentiate)
{
    static const uint32_t rows[EXAMPLES] = {0, 1, 2, 3, 4, 5};
    peft_graph *g;
    peft_objective objective;
    peft_tensor *loss;
    const peft_examples examples = {.rows = rows, .count = EXAMPLES, .normaliser = EXAMPLES};
    ck_assert(!peft_answer_objective_of(&x->objective, &objective, &error));
    ck_assert(!peft_graph_create(&g, &error));
    ck_assert(!objective.describe(objective.argument, g, &examples, &loss, &error));
    peft_graph_keep(g, loss);
    peft_value_set_zero_gradients(&x->net.set);
    ck_assert_msg(!peft_graph_status(g, &error), "%s", error.message);
    if (differentiate) ck_assert_msg(!peft_graph_differentiate(g, loss, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, x->ctx, &error), "%s", error.message);
    double value = (double)*(float *)loss->data;
    peft_graph_free(g);
    return value;
}

START_TEST(the_gradient_is_that_of_the_loss)
{
    const double h = 2e-3;
    scene x;
    double size = 0, sides[2];
    open_scene(&x, peft_variant_find(_i ? "molora" : "lora"), "random");
    x.end_to_end.regulariser = 0.1;
    peft_end_to_end_attach(&x.end_to_end, &x.objective);
    loss_of(&x, true);
    const int64_t count = x.net.set.num_trained;
    float *direction = malloc((size_t)count * sizeof *direction);
    for (int64_t i = 0; i < count; i++) size += (double)x.net.set.gradients[i] * (double)x.net.set.gradients[i];
    for (int64_t i = 0; i < count; i++) direction[i] = (float)(h / sqrt(size)) * x.net.set.gradients[i];
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < count; i++) x.net.set.memory[i] += (side ? -2.0F : 1.0F) * direction[i];
        sides[side] = loss_of(&x, false);
    }
    ck_assert_double_gt(size, 0);
    ck_assert_double_eq_tol((sides[0] - sides[1]) / (2 * h), sqrt(size), 1e-2 * sqrt(size));
    free(direction);
    close_scene(&x);
}
END_TEST

START_TEST(training_lowers_the_loss)
{
    scene x;
    peft_train_options options;
    peft_trainer trainer;
    peft_objective objective;
    double begin, end = 0;
    open_scene(&x, peft_variant_at((size_t)_i), "zero");
    peft_end_to_end_attach(&x.end_to_end, &x.objective);
    const peft_value_set *const sets[] = {&x.net.set};
    ck_assert(!peft_options_init(peft_train_option_table, &options, &error));
    options.steps = 60;
    options.batch_size = EXAMPLES;
    options.learning_rate = 1e-2;
    ck_assert(!peft_answer_objective_of(&x.objective, &objective, &error));
    ck_assert_msg(!peft_trainer_open(&trainer, &options, x.ctx, sets, 1, &objective, &error), "%s", error.message);
    begin = loss_of(&x, false);
    while (trainer.step < trainer.num_steps) {
        peft_step_record record;
        ck_assert_msg(!peft_trainer_step(&trainer, &record, &error), "%s", error.message);
    }
    end = loss_of(&x, false);
    ck_assert_msg(end < begin, "%s: from %g to %g", x.adapters->variant->name, begin, end);
    peft_trainer_close(&trainer);
    peft_options_free(peft_train_option_table, &options);
    close_scene(&x);
}
END_TEST

TEST_MAIN("end_to_end",
          tcase_add_loop_test(tc, sequences_answer_as_with_the_adapter_of_their_description, 0, num_variants());
          tcase_add_loop_test(tc, the_gradient_is_that_of_the_loss, 0, 2);
          tcase_add_loop_test(tc, training_lowers_the_loss, 0, num_variants()))
