/* Tests of peft/checkpoint.c: it is read as a stranger's file. */
#include "peft/checkpoint.h"

#include <math.h>
#include <string.h>

#include "io/safetensors.h"
#include "peft/adapter_folder.h"
#include "peft/inject.h"
#include "peft/task_objective.h"
#include "tests/io/scratch.h"
#include "tests/peft/tiny_bert.h"
#include "tests/peft/trained.h"
#include "tests/support/failing_alloc.h"

enum { EXAMPLES = 32, LENGTH = 6, STEPS = 4 };
static const char settings[] = "{\"fingerprints\":{\"train\":\"abc\"},\"rank\":8}";

static peft_model *model;
static peft_adapters *adapters;
static peft_adapter_config config;
static peft_train_options options;
static peft_trainer t;
static trained of_model;
static peft_task_objective task;
static peft_objective objective;
static int64_t offsets[EXAMPLES + 1];
static int32_t ids[EXAMPLES * LENGTH], types[EXAMPLES * LENGTH];
static int32_t classes[EXAMPLES];
static const peft_tokens tokens = {.count = EXAMPLES,
                                   .offsets = offsets,
                                   .input_ids = ids,
                                   .token_type_ids = types,
                                   .classes = classes,
                                   .longest = LENGTH};
static peft_context *ctx;
static peft_error error;

static void open_trainer(void)
{
    for (int k = 0; k < EXAMPLES; k++) offsets[k + 1] = offsets[k] + LENGTH;
    for (int k = 0; k < EXAMPLES * LENGTH; k++) ids[k] = k % 100;
    model = tiny_open();
    ck_assert(!peft_context_open(&ctx, &(peft_context_options){.threads = 1}, &error));
    ck_assert(!peft_adapter_config_init(&config, peft_variant_find("lora"), &error));
    ck_assert(!peft_inject(model, config.variant, config.options, &config.targets, 0, &adapters, NULL, &error));
    ck_assert(!peft_options_init(peft_train_option_table, &options, &error));
    options.batch_size = 8;
    options.steps = STEPS;
    trained_open(&of_model, adapters, model);
    task = (peft_task_objective){.model = model, .options = &options, .tokens = &tokens};
    objective = peft_task_objective_of(&task);
    ck_assert(!peft_trainer_open(&t, &options, ctx, of_model.sets, of_model.num_sets, &objective, &error));
}

static void setup(void)
{
    scratch_setup();
    open_trainer();
    for (int k = 0; k < 2; k++) {
        peft_step_record record;
        ck_assert(!peft_trainer_step(&t, &record, &error));
    }
}

static void teardown(void)
{
    peft_trainer_close(&t);
    peft_batch_memory_free(&task.memory);
    trained_close(&of_model);
    peft_context_close(ctx);
    peft_model_close(model);
    peft_adapters_free(adapters);
    peft_options_free(peft_train_option_table, &options);
    peft_adapter_config_free(&config);
    scratch_teardown();
}

static const char *save(void)
{
    const peft_progress_state state = {.best_score = 0.25, .seconds = 1.5, .tokens = 96, .evaluation_due = true};
    const char *path = scratch("checkpoint.safetensors");
    ck_assert_msg(!peft_checkpoint_save(path, &t, &state, settings, &error), "%s", error.message);
    return path;
}

static peft_status load(const char *path)
{
    peft_progress_state state = {0};
    return peft_checkpoint_load(path, &t, &state, settings, &error);
}

/* Writes the checkpoint again with another value of a metadata key (NULL: without it), and number `at` of a tensor. */
typedef struct change {
    const char *key, *value;
    const char *tensor;
    float number;
} change;

static void rewrite(const char *path, const change *c)
{
    static const char *const keys[] = {"format",     "settings", "step",   "best_step",     "evaluations_since_best",
                                       "best_score", "seconds",  "tokens", "evaluation_due"};
    enum { NUM_KEYS = sizeof keys / sizeof *keys, MOST = 512 };
    static peft_file_tensor tensors[MOST];
    static float first[1 << 16];
    peft_key_value metadata[NUM_KEYS];
    size_t count = 0;
    peft_safetensors *file;
    ck_assert(!peft_safetensors_open(path, &file, &error));
    for (size_t k = 0; k < NUM_KEYS; k++) {
        const char *value = peft_safetensors_metadata(file, keys[k]);
        if (c->key && strcmp(c->key, keys[k]) == 0) value = c->value;
        if (value) metadata[count++] = (peft_key_value){keys[k], value};
    }
    ck_assert_uint_le(peft_safetensors_count(file), MOST);
    for (size_t k = 0; k < peft_safetensors_count(file); k++) {
        tensors[k] = *peft_safetensors_at(file, k);
        if (!c->tensor || strncmp(tensors[k].name, c->tensor, strlen(c->tensor)) != 0) continue;
        ck_assert_uint_le(tensors[k].bytes, sizeof first);
        memcpy(first, tensors[k].data, tensors[k].bytes);
        first[tensors[k].bytes / sizeof *first - 1] = c->number;
        tensors[k].data = first;
    }
    const char *changed = scratch("changed.safetensors");
    ck_assert_msg(!peft_safetensors_write(changed, tensors, peft_safetensors_count(file), metadata, count, &error),
                  "%s", error.message);
    peft_safetensors_close(file);
}

START_TEST(what_is_saved_is_loaded)
{
    const char *path = save();
    peft_progress_state state = {0};
    float before = t.parameters.items[0].value->data[0];
    t.parameters.items[0].value->data[0] = 7;
    t.step = 0;
    ck_assert_msg(!peft_checkpoint_load(path, &t, &state, settings, &error), "%s", error.message);
    ck_assert_int_eq(t.step, 2);
    ck_assert(t.parameters.items[0].value->data[0] == before);
    ck_assert_double_eq(state.best_score, 0.25);
    ck_assert_double_eq(state.seconds, 1.5);
    ck_assert_int_eq(state.tokens, 96);
    ck_assert(state.evaluation_due);
    rewrite(path, &(change){.key = "evaluation_due"}); /* an older program's */
    ck_assert_int_eq(load(scratch("changed.safetensors")), PEFT_OK);
}
END_TEST

static const change damages[] = {
    {.key = "step", .value = "-2"},
    {.key = "step", .value = "5"},
    {.key = "step", .value = "1e300"},
    {.key = "step", .value = "nan"},
    {.key = "step", .value = "inf"},
    {.key = "step", .value = "1.5"},
    {.key = "step", .value = ""},
    {.key = "step", .value = "2x"},
    {.key = "step"},
    {.key = "best_step", .value = "3"},
    {.key = "best_step", .value = "-1"},
    {.key = "evaluations_since_best", .value = "1e18"},
    {.key = "best_score", .value = "nan"},
    {.key = "best_score", .value = "-inf"},
    {.key = "seconds", .value = "-1"},
    {.key = "seconds", .value = "1e999"},
    {.key = "tokens", .value = "1e300"},
    {.key = "tokens", .value = "-9223372036854775808"},
    {.key = "evaluation_due", .value = "2"},
    {.key = "settings"},
    {.key = "settings", .value = "[]"},
    {.key = "settings", .value = "{"},
    {.tensor = "parameter.", .number = NAN},
    {.tensor = "parameter.", .number = INFINITY},
    {.tensor = "exp_avg.", .number = -INFINITY},
    {.tensor = "exp_avg_sq.", .number = -1},
};

START_TEST(what_cannot_be_is_refused_by_its_name_and_nothing_is_taken_over)
{
    const change *c = &damages[_i];
    rewrite(save(), c);
    float before = t.parameters.items[0].value->data[0];
    ck_assert_int_eq(load(scratch("changed.safetensors")), PEFT_ERR_FORMAT);
    ck_assert_msg(strstr(error.message, c->key ? c->key : c->tensor), "%s", error.message);
    ck_assert_int_eq(t.step, 2);
    ck_assert(t.parameters.items[0].value->data[0] == before);
}
END_TEST

START_TEST(other_settings_are_named)
{
    rewrite(save(), &(change){.key = "settings", .value = "{\"fingerprints\":{\"train\":\"abc\"},\"rank\":4}"});
    ck_assert_int_eq(load(scratch("changed.safetensors")), PEFT_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, "rank was 4 and is 8 now"), "%s", error.message);
    rewrite(save(), &(change){.key = "settings", .value = "{\"fingerprints\":{\"train\":\"xyz\"},\"rank\":8}"});
    ck_assert_int_eq(load(scratch("changed.safetensors")), PEFT_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, "fingerprints: train was \"xyz\" and is \"abc\" now"), "%s", error.message);
}
END_TEST

START_TEST(what_is_not_finite_is_not_saved)
{
    const char *path = save();
    const peft_progress_state state = {0};
    t.parameters.items[0].value->data[0] = NAN;
    ck_assert_int_eq(peft_checkpoint_save(path, &t, &state, settings, &error), PEFT_ERR_NUMERIC);
    ck_assert_msg(strstr(error.message, t.parameters.items[0].name), "%s", error.message);
    ck_assert_int_eq(load(path), PEFT_OK);
    ck_assert(isfinite(t.parameters.items[0].value->data[0]));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("checkpoint");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_is_saved_is_loaded);
    tcase_add_loop_test(tests, what_cannot_be_is_refused_by_its_name_and_nothing_is_taken_over, 0,
                        sizeof damages / sizeof *damages);
    tcase_add_test(tests, other_settings_are_named);
    tcase_add_test(tests, what_is_not_finite_is_not_saved);
    return run_tests(tests);
}
