/* Tests of peft/load.c and peft/adapter_read.c: model, adapter and tokenizer together, and an adapter alone. */
#include "peft/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peft/adapter_read.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

static peft_error error;
static const char *model, *adapter; /* folders whose files a test may replace */

static void link_fixture(const char *folder, const char *from, const char *name)
{
    char target[512], link[1024];
    snprintf(target, sizeof target, "%s/%s/%s", getenv("PEFT_FIXTURES"), from, name);
    snprintf(link, sizeof link, "%s/%s", folder, name);
    ck_assert_int_eq(symlink(target, link), 0);
}

static void setup(void)
{
    scratch_setup();
    model = scratch("model");
    adapter = scratch("adapter");
    ck_assert_int_eq(mkdir(model, 0700), 0);
    ck_assert_int_eq(mkdir(adapter, 0700), 0);
    link_fixture(model, "goldens/models/bert", "config.json");
    link_fixture(model, "goldens/models/bert", "model.safetensors");
    link_fixture(model, "tiny-bert", "vocab.txt");
    link_fixture(model, "tiny-bert", "tokenizer_config.json");
    link_fixture(adapter, "goldens/models/bert/adapter", "adapter_config.json");
    link_fixture(adapter, "goldens/models/bert/adapter", "adapter_model.safetensors");
}

static void replace(const char *folder, const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

static void load(peft_loaded *loaded, peft_head_use head)
{
    ck_assert_msg(peft_load(loaded, model, adapter, head, NULL, &error) == PEFT_OK, "%s", error.message);
}

START_TEST(classes_without_names_are_numbered)
{
    peft_loaded loaded;
    load(&loaded, PEFT_WITH_HEAD);
    ck_assert_int_eq(loaded.num_labels, 3);
    ck_assert(!loaded.regression && !loaded.has_names);
    ck_assert_str_eq(loaded.label_names[2], "LABEL_2");
    ck_assert_int_eq(loaded.adapters->num_layers, 4);
    peft_loaded_close(&loaded);

    load(&loaded, PEFT_WITHOUT_HEAD);
    ck_assert_ptr_null(loaded.label_names);
    peft_loaded_close(&loaded);
}
END_TEST

START_TEST(a_run_names_the_classes)
{
    peft_loaded loaded;
    replace(adapter, "run.json", "{\"label_names\": [\"no\", \"perhaps\", \"yes\"]}");
    load(&loaded, PEFT_WITH_HEAD);
    ck_assert(loaded.has_names);
    ck_assert_str_eq(loaded.label_names[0], "no");
    ck_assert_str_eq(loaded.label_names[2], "yes");
    peft_loaded_close(&loaded);
}
END_TEST

static const struct {
    const char *run, *message;
} bad_runs[] = {
    {"{\"label_names\": [\"no\", \"yes\"]}", "run.json: label_names: expected 3"},
    {"{\"label_names\": [\"no\", 1, \"yes\"]}", "run.json: label_names: expected texts, found 1"},
    {"{\"label_names\": \"no\"}", "run.json: label_names: expected"},
    {"{", "run.json:1"},
};

START_TEST(a_damaged_run_is_refused)
{
    peft_loaded loaded;
    replace(adapter, "run.json", bad_runs[_i].run);
    ck_assert_int_eq(peft_load(&loaded, model, adapter, PEFT_WITH_HEAD, NULL, &error), PEFT_ERR_FORMAT);
    ck_assert_msg(strstr(error.message, bad_runs[_i].message) != NULL, "found: %s", error.message);
    ck_assert_ptr_null(loaded.model);
}
END_TEST

/* Without type_vocab_size, which is then 2, as for transformers. */
static const char named_config[] =
    "{\"model_type\": \"bert\", \"vocab_size\": 120, \"hidden_size\": 32, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 4, \"intermediate_size\": 80, \"max_position_embeddings\": 64, "
    "\"id2label\": {\"0\": \"red\", \"1\": \"green\", \"2\": \"blue\"}}";

START_TEST(a_config_names_the_classes_of_its_own_head_and_of_nameless_adapters)
{
    peft_loaded loaded;
    replace(model, "config.json", named_config);
    ck_assert_msg(!peft_load(&loaded, model, NULL, PEFT_WITH_HEAD, NULL, &error), "%s", error.message);
    ck_assert(loaded.has_names && !loaded.adapters);
    ck_assert_str_eq(loaded.label_names[1], "green");
    peft_loaded_close(&loaded);

    load(&loaded, PEFT_WITH_HEAD); /* nothing else names the adapter's, and there are as many */
    ck_assert_str_eq(loaded.label_names[1], "green");
    ck_assert_int_eq(loaded.names_source, PEFT_NAMES_OF_MODEL);
    peft_loaded_close(&loaded);
}
END_TEST

static void compare_values(const peft_adapter *a, const peft_adapter *b)
{
    ck_assert_str_eq(a->module, b->module);
    ck_assert_int_eq(a->rank, b->rank);
    ck_assert(a->scaling == b->scaling);
    ck_assert_int_eq(a->num_values, b->num_values);
    for (int32_t k = 0; k < a->num_values; k++) {
        ck_assert(peft_shape_equal(&a->values[k].spec.shape, &b->values[k].spec.shape));
        ck_assert_mem_eq(a->values[k].data, b->values[k].data,
                         (size_t)peft_shape_count(&a->values[k].spec.shape) * sizeof(float));
    }
}

static const char *const goldens[] = {"models/bert/adapter", "variants/lora-all/adapter", "variants/rslora/adapter",
                                      "variants/rank-pattern/adapter", "variants/layers/adapter"};

START_TEST(an_adapter_reads_the_same_without_its_model)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s/goldens/%s", getenv("PEFT_FIXTURES"), goldens[_i]);
    peft_adapter_contents alone;
    peft_loaded loaded;
    ck_assert_msg(!peft_adapter_read(&alone, folder, NULL, NULL, &error), "%s", error.message);
    ck_assert_msg(!peft_load(&loaded, model, folder, PEFT_WITH_HEAD, NULL, &error), "%s", error.message);
    ck_assert_int_eq(alone.adapters->num_layers, loaded.adapters->num_layers);
    for (int64_t k = 0; k < alone.adapters->num_layers; k++) {
        const peft_adapter *one = &alone.adapters->layers[k];
        compare_values(one, peft_adapters_find(loaded.adapters, one->module));
    }
    ck_assert_uint_eq(alone.num_others, 2); /* the head's weight and bias */
    peft_loaded_close(&loaded);
    peft_adapter_contents_free(&alone);
}
END_TEST

START_TEST(running_out_of_memory_is_reported)
{
    replace(adapter, "run.json", "{\"label_names\": [\"no\", \"perhaps\", \"yes\"]}");
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_loaded loaded;
        fail_own_allocation(call);
        peft_status status = peft_load(&loaded, model, adapter, PEFT_WITH_HEAD, NULL, &error);
        failed = allocation_failed();
        ck_assert_msg(status == (failed ? PEFT_ERR_MEMORY : PEFT_OK), "allocation %d: %s", (int)call, error.message);
        peft_loaded_close(&loaded);
    }
}
END_TEST

/* Of the model alone; an adapter that has a head leaves no room for them. */
START_TEST(answers_stand_in_for_a_head)
{
    peft_loaded loaded;
    peft_context *ctx;
    json_t *answers = json_loads("{\"no\": \"w40\", \"yes\": \"w50 w51\"}", 0, NULL);
    ck_assert(!peft_context_open(&ctx, &(peft_context_options){.threads = 1}, &error));
    const peft_load_options options = {.answers = answers, .answer_scale = 20, .ctx = ctx};
    ck_assert_int_eq(peft_load(&loaded, model, adapter, PEFT_WITH_HEAD, &options, &error), PEFT_ERR_ARGUMENT);
    ck_assert_msg(!peft_load(&loaded, model, NULL, PEFT_WITH_HEAD, &options, &error), "%s", error.message);
    ck_assert(loaded.num_labels == 2 && strcmp(loaded.label_names[1], "yes") == 0);
    peft_loaded_close(&loaded);
    json_decref(answers);
    peft_context_close(ctx);
}
END_TEST

START_TEST(reading_alone_and_running_out_of_memory)
{
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_adapter_contents contents;
        fail_own_allocation(call);
        peft_status status = peft_adapter_read(&contents, adapter, NULL, NULL, &error);
        failed = allocation_failed();
        ck_assert_msg(status == (failed ? PEFT_ERR_MEMORY : PEFT_OK), "allocation %d: %s", (int)call, error.message);
        peft_adapter_contents_free(&contents);
    }
}
END_TEST

TEST_MAIN("load", tcase_add_checked_fixture(tc, setup, scratch_teardown);
          tcase_add_test(tc, classes_without_names_are_numbered); tcase_add_test(tc, a_run_names_the_classes);
          tcase_add_loop_test(tc, a_damaged_run_is_refused, 0, sizeof bad_runs / sizeof bad_runs[0]);
          tcase_add_test(tc, a_config_names_the_classes_of_its_own_head_and_of_nameless_adapters);
          tcase_add_loop_test(tc, an_adapter_reads_the_same_without_its_model, 0, sizeof goldens / sizeof goldens[0]);
          tcase_add_test(tc, running_out_of_memory_is_reported); tcase_add_test(tc, answers_stand_in_for_a_head);
          tcase_add_test(tc, reading_alone_and_running_out_of_memory))
