/* Heads for words: logits, losses and every gradient of transformers' masked-word models (fixtures/goldens/words), to
 * 1e-5 of each tensor's largest value: float32 sums in another order. */
#include "models/words.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/safetensors.h"
#include "peft/inject.h"
#include "tests/peft/tiny_bert.h"
#include "tests/support/main.h"
#include "tests/support/read.h"

enum { SEQUENCES = 2, LENGTH = 5, TOKENS = SEQUENCES * LENGTH };

static const char *const folders[] = {"bert", "bert-untied", "roberta", "distilbert", "mpnet"};
static const int32_t starts[] = {0, LENGTH, TOKENS}, types[TOKENS];
static const int32_t ids[] = {2, 17, 25, 3, 9, 2, 39, 8, 31, 3}, positions[] = {0, 1, 2, 3, 4, 0, 1, 2, 3, 4};
static const int32_t targets[] = {-100, 17, -100, -100, 4, -100, -100, 8, 0, -100},
                     none[] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
static const int32_t all_rows[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
static const peft_batch batch = {.num_tokens = TOKENS, .num_sequences = SEQUENCES, .starts = starts, .training = true};
static const peft_model_input input = {ids, types, positions};
static const peft_model_run run = {&batch, &input, false};

static peft_error error;

typedef struct words {
    peft_model *model;
    peft_context *ctx;
    peft_graph *g;
    peft_safetensors *golden;
} words;

static void open_words(words *w, const char *folder)
{
    char name[128];
    const peft_model_options options = {.part = PEFT_MODEL_WORDS};
    snprintf(name, sizeof name, "words/%s", folder);
    ck_assert_msg(!peft_model_open(&w->model, tiny_golden(name), &options, &error), "%s", error.message);
    snprintf(name, sizeof name, "words/%s/golden.safetensors", folder);
    ck_assert_msg(!peft_safetensors_open(tiny_golden(name), &w->golden, &error), "%s", error.message);
    ck_assert(!peft_context_open(&w->ctx, NULL, &error) && !peft_graph_create(&w->g, &error));
}

static void close_words(words *w)
{
    peft_graph_free(w->g);
    peft_safetensors_close(w->golden);
    peft_model_close(w->model);
    peft_context_close(w->ctx);
}

static bool is_golden(const words *w, const char *name, const float *found)
{
    const peft_file_tensor *expected = peft_safetensors_find(w->golden, name);
    if (!expected) return false;
    const float *values = expected->data;
    double largest = 0.01; /* gradients of keys' biases are zero but for rounding */
    for (int64_t k = 0; k < peft_shape_count(&expected->shape); k++) largest = fmax(largest, fabs((double)values[k]));
    for (int64_t k = 0; k < peft_shape_count(&expected->shape); k++)
        ck_assert_msg(fabs((double)found[k] - (double)values[k]) <= 1e-5 * largest, "%s[%lld]: expected %g, found %g",
                      name, (long long)k, (double)values[k], (double)found[k]);
    return true;
}

static void run_graph(const words *w)
{
    ck_assert_msg(!peft_graph_run(w->g, w->ctx, &error), "%s", error.message);
}

START_TEST(logits_are_those_of_transformers)
{
    words w;
    open_words(&w, folders[_i]);
    const peft_tensor *logits = peft_graph_keep(w.g, peft_model_word_logits(w.g, w.model, &run, all_rows, TOKENS));
    run_graph(&w);
    ck_assert(is_golden(&w, "logits", read_values(w.g, logits)));
    close_words(&w);
}
END_TEST

static void train_all(peft_model *model)
{
    int64_t count;
    peft_weight *weights = peft_model_weights(model, &count);
    for (int64_t k = 0; k < count; k++) ck_assert(!peft_model_train(model, &weights[k], &error));
}

START_TEST(losses_and_gradients_are_those_of_transformers)
{
    words w;
    int64_t count;
    open_words(&w, folders[_i]);
    train_all(w.model);
    peft_tensor *loss = peft_graph_keep(w.g, peft_model_word_loss(w.g, w.model, &run, targets, 0, 0));
    ck_assert_msg(!peft_graph_differentiate(w.g, loss, &error), "%s", error.message);
    run_graph(&w);
    ck_assert(is_golden(&w, "loss", read_values(w.g, loss)));
    const peft_weight *weights = peft_model_weights(w.model, &count);
    for (int64_t k = 0; k < count; k++) {
        char name[256];
        snprintf(name, sizeof name, "grad.%s", weights[k].name);
        if (weights[k].gradient) ck_assert_msg(is_golden(&w, name, weights[k].gradient), "%s: not there", name);
    }
    close_words(&w);
}
END_TEST

/* Of PEFT's heads none is trained by itself, and nothing of the file is left over. */
static void fail_on_note(void *argument, const char *text)
{
    (void)argument;
    ck_abort_msg("%s", text);
}

START_TEST(what_the_file_has_is_frozen_and_used)
{
    words w;
    int64_t count;
    open_words(&w, folders[_i]);
    const peft_weight *weights = peft_model_weights(w.model, &count);
    for (int64_t k = 0; k < count; k++) ck_assert_ptr_null(weights[k].value);
    peft_model_notes(w.model, true, fail_on_note, NULL);
    ck_assert_ptr_nonnull(strstr(peft_model_architecture(w.model), "ForMaskedLM"));
    close_words(&w);
}
END_TEST

START_TEST(a_batch_in_which_nothing_counts_has_no_loss)
{
    words w;
    open_words(&w, "bert");
    const peft_tensor *loss = peft_graph_keep(w.g, peft_model_word_loss(w.g, w.model, &run, none, 0, 7));
    run_graph(&w);
    const float *value = read_values(w.g, loss);
    ck_assert(*value <= 0 && *value >= 0);
    close_words(&w);
}
END_TEST

/* A model of classes has none of it: its head for words is drawn, with norms of 1, and trained. */
START_TEST(a_head_that_no_file_has_is_drawn)
{
    peft_model *model;
    int64_t count, trained = 0;
    const peft_model_options options = {.part = PEFT_MODEL_WORDS};
    ck_assert_msg(!peft_model_open(&model, tiny_golden("models/bert"), &options, &error), "%s", error.message);
    const peft_weight *weights = peft_model_weights(model, &count);
    for (int64_t k = 0; k < count; k++) {
        trained += weights[k].value != NULL;
        if (strcmp(weights[k].name, "cls.predictions.transform.LayerNorm.weight") == 0)
            ck_assert(weights[k].value[0] >= 1 && weights[k].value[0] <= 1);
    }
    ck_assert_int_eq(trained, 5); /* a layer, a norm, a bias for each word */
    peft_model_close(model);
}
END_TEST

START_TEST(a_model_opened_without_has_none)
{
    peft_graph *g;
    peft_model *model = tiny_open();
    ck_assert(!peft_graph_create(&g, &error));
    ck_assert_ptr_null(peft_model_word_loss(g, model, &run, targets, 0, 0));
    ck_assert_int_eq(peft_graph_status(g, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "was opened without its head for words"));
    peft_graph_free(g);
    peft_model_close(model);
}
END_TEST

enum { FOLDERS = sizeof folders / sizeof *folders };

TEST_MAIN("words", tcase_add_loop_test(tc, logits_are_those_of_transformers, 0, FOLDERS);
          tcase_add_loop_test(tc, losses_and_gradients_are_those_of_transformers, 0, FOLDERS);
          tcase_add_loop_test(tc, what_the_file_has_is_frozen_and_used, 0, FOLDERS);
          tcase_add_test(tc, a_batch_in_which_nothing_counts_has_no_loss);
          tcase_add_test(tc, a_head_that_no_file_has_is_drawn); tcase_add_test(tc, a_model_opened_without_has_none))
