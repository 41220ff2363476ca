/* Answers as texts, and the objective of sequences that have their own answers and adapters. */
#include "peft/answers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/rng.h"
#include "ops/side.h"
#include "peft/answer_objective.h"
#include "peft/config.h"
#include "peft/inject.h"
#include "peft/task_objective.h"
#include "peft/trainer.h"
#include "tests/peft/tiny_bert.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/read.h"

static peft_error error;

/* ---- texts ---- */

static const char *const names[] = {"entailment", "neutral", "contradiction"};
static const peft_class_names classes = {names, 3};

static void check_texts(const char *json, const char *first, const char *last)
{
    const char **texts;
    json_t *answers = json ? json_loads(json, 0, NULL) : NULL;
    ck_assert_msg(!peft_answer_texts(answers, &classes, &texts, &error), "%s", error.message);
    ck_assert_str_eq(texts[0], first);
    ck_assert_str_eq(texts[2], last);
    free(texts);
    json_decref(answers);
}

START_TEST(answers_are_a_list_or_an_object_or_the_names)
{
    check_texts(NULL, "entailment", "contradiction");
    check_texts("[\"yes\", \"maybe\", \"no\"]", "yes", "no");
    check_texts("{\"contradiction\": \"no\", \"entailment\": \"yes\", \"neutral\": \"maybe\"}", "yes", "no");
}
END_TEST

static void refuse_texts(const char *json, const char *message)
{
    const char **texts;
    json_t *answers = json_loads(json, JSON_DECODE_ANY, NULL);
    ck_assert_int_eq(peft_answer_texts(answers, &classes, &texts, &error), PEFT_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, message) != NULL, "%s", error.message);
    ck_assert_ptr_null(texts);
    json_decref(answers);
}

START_TEST(bad_answers_are_refused)
{
    refuse_texts("\"yes\"", "expected a list by class");
    refuse_texts("[\"yes\", \"no\"]", "expected 3, one for each class, found 2");
    refuse_texts("[\"yes\", \"no\", 3]", "expected texts, found 3");
    refuse_texts("[\"yes\", \"no\", \"\"]", "expected texts, found \"\"");
    refuse_texts("[\"yes\", \"no\", \"yes\"]", "\"yes\" stands for two classes");
    refuse_texts("{\"entailment\": \"yes\", \"neutral\": \"no\", \"other\": \"x\"}", "no class is called \"other\"");
}
END_TEST

START_TEST(answers_name_classes)
{
    peft_class_names found;
    json_t *list = json_loads("[\"yes\", \"no\"]", 0, NULL), *one = json_loads("[\"yes\"]", 0, NULL);
    json_t *object = json_loads("{\"a\": \"yes\", \"b\": \"no\"}", 0, NULL);
    ck_assert(!peft_answer_classes(list, &found, &error));
    ck_assert_str_eq(found.names[1], "no");
    free((void *)(uintptr_t)found.names);
    ck_assert(!peft_answer_classes(object, &found, &error));
    ck_assert_str_eq(found.names[1], "b");
    free((void *)(uintptr_t)found.names);
    ck_assert_int_eq(peft_answer_classes(one, &found, &error), PEFT_ERR_ARGUMENT);
    json_decref(list);
    json_decref(object);
    json_decref(one);
}
END_TEST

/* ---- the objective ---- */

enum { EXAMPLES = 6, LENGTH = 5, VECTORS = 5, MOST = 3 };

typedef struct examples {
    peft_model *model;
    peft_adapters *adapters;
    peft_context *ctx;
    peft_adapter_config config;
    peft_tokens tokens;
    int64_t offsets[EXAMPLES + 1];
    int32_t ids[EXAMPLES * LENGTH], types[EXAMPLES * LENGTH], classes[EXAMPLES], answers[EXAMPLES * MOST];
    float *vectors;
    float *each[64]; /* values for each sequence, of each value of the adapters */
} examples;

static void open_examples(examples *x, bool same_answers)
{
    const peft_model_options options = {.num_labels = MOST, .part = PEFT_MODEL_ANSWERS};
    *x = (examples){0};
    ck_assert_msg(!peft_model_open(&x->model, tiny_golden("models/bert"), &options, &error), "%s", error.message);
    ck_assert(!peft_context_open(&x->ctx, NULL, &error));
    ck_assert(!peft_adapter_config_init(&x->config, peft_variant_find("lora"), &error));
    ck_assert(!peft_inject(x->model, x->config.variant, x->config.options, &x->config.targets, 0, &x->adapters, NULL,
                           &error));
    for (int k = 0; k < EXAMPLES; k++) {
        x->offsets[k + 1] = x->offsets[k] + 2 + k % (LENGTH - 1);
        x->classes[k] = k % 2;
        for (int a = 0; a < MOST; a++) x->answers[k * MOST + a] = same_answers ? a : (k + 2 * a) % VECTORS;
        if (!same_answers && k % 3 == 0) x->answers[k * MOST + MOST - 1] = -1;
    }
    for (int t = 0; t < EXAMPLES * LENGTH; t++) x->ids[t] = (7 * t + 5) % 110;
    x->tokens = (peft_tokens){.count = EXAMPLES,
                              .offsets = x->offsets,
                              .input_ids = x->ids,
                              .token_type_ids = x->types,
                              .classes = x->classes,
                              .longest = LENGTH};
    size_t floats = (size_t)(VECTORS * peft_model_hidden_size(x->model));
    x->vectors = malloc(floats * sizeof *x->vectors);
    peft_random_normal(x->vectors, floats, 0, 3, 1, peft_stream("answers"));
    for (int64_t k = 0; k < x->adapters->set.count; k++) {
        size_t count = (size_t)peft_value_count(x->adapters->set.items[k].value);
        x->each[k] = malloc(EXAMPLES * count * sizeof(float));
        peft_random_normal(x->each[k], EXAMPLES * count, 0, 0.3, 2, peft_stream(x->adapters->set.items[k].name));
    }
}

static void close_examples(examples *x)
{
    for (int64_t k = 0; k < x->adapters->set.count; k++) free(x->each[k]);
    free(x->vectors);
    peft_model_close(x->model);
    peft_adapters_free(x->adapters);
    peft_adapter_config_free(&x->config);
    peft_context_close(x->ctx);
}

/* Each sequence gets its own values. */
static peft_status bind(void *argument, peft_graph *g, const peft_examples *batch, peft_batch *described, peft_error *e)
{
    examples *x = argument;
    (void)described;
    (void)e;
    for (int64_t k = 0; k < x->adapters->set.count; k++) {
        const peft_value *value = x->adapters->set.items[k].value;
        peft_shape shape = {value->spec.shape.ndim + 1, {batch->count}};
        for (int32_t d = 0; d < value->spec.shape.ndim; d++) shape.size[d + 1] = value->spec.shape.size[d];
        peft_graph_bind(g, value,
                        peft_constant(g, PEFT_F32, shape, x->each[k] + batch->rows[0] * peft_value_count(value), ""));
    }
    return PEFT_OK;
}

static peft_answer_objective objective_of(examples *x, bool own)
{
    return (peft_answer_objective){.model = x->model,
                                   .tokens = &x->tokens,
                                   .vectors = x->vectors,
                                   .answers = x->answers,
                                   .num_vectors = VECTORS,
                                   .max_answers = MOST,
                                   .bind = own ? bind : NULL,
                                   .argument = x};
}

static double loss_of(const examples *x, const peft_objective *objective, const uint32_t *rows, int64_t count)
{
    peft_graph *g;
    peft_tensor *loss;
    const peft_examples batch = {.rows = rows, .count = count, .normaliser = EXAMPLES};
    ck_assert(!peft_graph_create(&g, &error));
    ck_assert(!objective->describe(objective->argument, g, &batch, &loss, &error));
    peft_graph_keep(g, loss);
    ck_assert_msg(!peft_graph_run(g, x->ctx, &error), "%s", error.message);
    double value = (double)*(const float *)read_values(g, loss);
    peft_graph_free(g);
    return value;
}

static const uint32_t all_rows[EXAMPLES] = {0, 1, 2, 3, 4, 5};

/* With the same answers for all, it is the loss of a model that has these as its head. */
START_TEST(the_same_answers_are_a_head)
{
    examples x;
    peft_train_options options;
    peft_objective own;
    open_examples(&x, true);
    ck_assert(!peft_options_init(peft_train_option_table, &options, &error));
    options.label_smoothing = 0.1 * _i;
    peft_answer_objective answers = objective_of(&x, false);
    answers.label_smoothing = options.label_smoothing;
    peft_task_objective task = {.model = x.model, .options = &options, .tokens = &x.tokens};
    const peft_objective head = peft_task_objective_of(&task);
    ck_assert(!peft_answer_objective_of(&answers, &own, &error));
    ck_assert(!peft_model_fill(x.model, peft_model_answers(x.model), x.vectors, &error));
    double expected = loss_of(&x, &head, all_rows, EXAMPLES);
    ck_assert_double_eq_tol(loss_of(&x, &own, all_rows, EXAMPLES), expected, 1e-6 * fabs(expected));
    peft_batch_memory_free(&task.memory);
    peft_answer_objective_free(&answers);
    peft_options_free(peft_train_option_table, &options);
    close_examples(&x);
}
END_TEST

/* The loss of a batch is the sum over its sequences, each alone with its own adapter and answers. */
START_TEST(each_sequence_has_its_own_adapter_and_answers)
{
    examples x;
    peft_objective own;
    double sum = 0;
    open_examples(&x, false);
    peft_answer_objective answers = objective_of(&x, true);
    answers.label_smoothing = 0.2 * _i;
    ck_assert_msg(!peft_answer_objective_of(&answers, &own, &error), "%s", error.message);
    for (uint32_t k = 0; k < EXAMPLES; k++) sum += loss_of(&x, &own, &k, 1);
    double together = loss_of(&x, &own, all_rows, EXAMPLES);
    ck_assert_double_eq_tol(together, sum, 1e-5 * sum);
    answers.bind = NULL; /* the adapters' start values change nothing */
    ck_assert_double_gt(fabs(loss_of(&x, &own, all_rows, EXAMPLES) - together), 1e-3);
    peft_answer_objective_free(&answers);
    close_examples(&x);
}
END_TEST

START_TEST(answers_that_are_not_there_get_nothing)
{
    examples x;
    peft_graph *g;
    peft_tensor *logits, *p;
    const peft_examples batch = {.rows = all_rows, .count = EXAMPLES, .normaliser = EXAMPLES};
    open_examples(&x, false);
    peft_answer_objective answers = objective_of(&x, false);
    ck_assert(!peft_graph_create(&g, &error));
    ck_assert(!peft_answer_objective_logits(&answers, g, &batch, false, &logits, &error));
    p = peft_graph_keep(g, peft_softmax(g, logits));
    ck_assert(!peft_graph_run(g, x.ctx, &error));
    ck_assert(((const float *)read_values(g, p))[MOST - 1] <= 0);
    ck_assert(((const float *)read_values(g, p))[MOST + MOST - 1] > 0);
    peft_graph_free(g);
    peft_answer_objective_free(&answers);
    close_examples(&x);
}
END_TEST

START_TEST(a_batch_without_memory_is_reported)
{
    examples x;
    peft_graph *g;
    peft_tensor *logits;
    const peft_examples batch = {.rows = all_rows, .count = EXAMPLES, .normaliser = EXAMPLES};
    bool failed = true;
    open_examples(&x, false);
    ck_assert(!peft_graph_create(&g, &error));
    for (int64_t call = 0; failed; call++) {
        peft_answer_objective answers = objective_of(&x, false);
        peft_graph_reset(g);
        fail_allocation(call);
        peft_status status = peft_answer_objective_logits(&answers, g, &batch, true, &logits, &error);
        if (status == PEFT_OK) status = peft_graph_status(g, &error);
        failed = allocation_failed();
        ck_assert_msg(status == (failed ? PEFT_ERR_MEMORY : PEFT_OK), "allocation %d: %s", (int)call, error.message);
        peft_answer_objective_free(&answers);
    }
    peft_graph_free(g);
    close_examples(&x);
}
END_TEST

static void refuse(examples *x, const char *message)
{
    peft_answer_objective answers = objective_of(x, false);
    peft_objective objective;
    ck_assert_int_eq(peft_answer_objective_of(&answers, &objective, &error), PEFT_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, message) != NULL, "%s", error.message);
}

START_TEST(examples_that_do_not_fit_are_refused)
{
    examples x;
    open_examples(&x, false);
    x.classes[0] = 2; /* it has two answers */
    refuse(&x, "example 0: its class is 2, it has 2 answers");
    x.classes[0] = 0;
    x.answers[MOST] = VECTORS;
    refuse(&x, "example 1: answer 0: expected a row below 5, or -1 behind the last, found 5");
    x.tokens.classes = NULL;
    refuse(&x, "the examples have no classes");
    close_examples(&x);
}
END_TEST

/* The answers are frozen, and are saved and counted as such. */
START_TEST(a_step_leaves_the_answers_alone)
{
    examples x;
    peft_train_options options;
    peft_trainer trainer;
    peft_objective objective;
    peft_step_record record;
    peft_value_set weights;
    open_examples(&x, false);
    ck_assert(!peft_options_init(peft_train_option_table, &options, &error));
    ck_assert(!peft_model_fill(x.model, peft_model_answers(x.model), x.vectors, &error));
    ck_assert(!peft_model_values(&weights, x.model, &error));
    ck_assert_int_eq(weights.count, 1);
    ck_assert_int_eq(weights.items[0].value->spec.kind, PEFT_VALUE_FROZEN);
    peft_answer_objective answers = objective_of(&x, false);
    ck_assert(!peft_answer_objective_of(&answers, &objective, &error));
    const peft_value_set *sets[] = {&x.adapters->set, &weights};
    ck_assert_msg(!peft_trainer_open(&trainer, &options, x.ctx, sets, 2, &objective, &error), "%s", error.message);
    ck_assert_int_eq(trainer.parameters.num_trained, x.adapters->set.num_trained);
    double first = (double)NAN;
    while (trainer.step < trainer.num_steps) {
        ck_assert_msg(!peft_trainer_step(&trainer, &record, &error), "%s", error.message);
        if (isnan(first)) first = record.loss;
    }
    ck_assert_double_lt(record.loss, first);
    ck_assert_mem_eq(peft_model_answers(x.model)->value, x.vectors,
                     (size_t)(MOST * peft_model_hidden_size(x.model)) * sizeof(float));
    peft_trainer_close(&trainer);
    peft_answer_objective_free(&answers);
    peft_value_set_free(&weights);
    peft_options_free(peft_train_option_table, &options);
    close_examples(&x);
}
END_TEST

TEST_MAIN("answers", tcase_add_test(tc, answers_are_a_list_or_an_object_or_the_names);
          tcase_add_test(tc, bad_answers_are_refused); tcase_add_test(tc, answers_name_classes);
          tcase_add_loop_test(tc, the_same_answers_are_a_head, 0, 2);
          tcase_add_loop_test(tc, each_sequence_has_its_own_adapter_and_answers, 0, 2);
          tcase_add_test(tc, answers_that_are_not_there_get_nothing);
          tcase_add_test(tc, a_batch_without_memory_is_reported);
          tcase_add_test(tc, examples_that_do_not_fit_are_refused); tcase_add_test(tc, a_step_leaves_the_answers_alone))
