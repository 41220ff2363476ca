#include "peft/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "variants/lora.h"

static peft_error error;
static peft_adapter_config config;

static peft_status load_with(const char *text, const peft_load_options *options)
{
    return peft_adapter_config_load(&config, scratch_write("adapter_config.json", text, strlen(text)), options, &error);
}

static void loads(const char *text)
{
    ck_assert_msg(!load_with(text, NULL), "%s", error.message);
}

static json_t *saved(void)
{
    json_t *root;
    const char *path = scratch("saved.json");
    ck_assert_msg(!peft_adapter_config_save(&config, path, &error), "%s", error.message);
    ck_assert(!peft_json_load(path, &root, &error));
    return root;
}

static const char *fixture(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/goldens/variants/%s/adapter/adapter_config.json", getenv("PEFT_FIXTURES"), name);
    return path;
}

/* ---- round trips ---- */

static const struct {
    const char *folder, *variant;
} goldens[] = {{"lora-all", "lora"}, {"rslora", "rslora"}, {"rank-pattern", "lora"}, {"layers", "lora"},
               {"dora", "dora"},     {"ia3", "ia3"},       {"adalora", "adalora"},   {"loha", "loha"},
               {"lokr", "lokr"},     {"vera", "vera"},     {"dora-rslora", "dora"}};

static bool in_any_order(const json_t *a, const json_t *b)
{
    bool same = json_array_size(a) == json_array_size(b);
    for (size_t i = 0; same && i < json_array_size(a); i++) {
        bool found = false;
        for (size_t k = 0; k < json_array_size(b); k++)
            found = found || json_equal(json_array_get(a, i), json_array_get(b, k));
        same = found;
    }
    return same;
}

/* Files that PEFT 0.21.2 wrote: every field comes back with its value, and no other. */
START_TEST(fields_survive_reading_and_writing)
{
    json_t *before, *value;
    const char *key;
    ck_assert(!peft_json_load(fixture(goldens[_i].folder), &before, &error));
    ck_assert_msg(!peft_adapter_config_load(&config, fixture(goldens[_i].folder), NULL, &error), "%s", error.message);
    ck_assert_str_eq(config.variant->name, goldens[_i].variant);
    json_t *after = saved();
    json_object_foreach(before, key, value)
    {
        const json_t *found = json_object_get(after, key);
        bool same = json_is_array(value)    ? in_any_order(value, found)
                    : json_is_number(value) ? json_number_value(value) == json_number_value(found)
                                            : json_equal(value, found);
        ck_assert_msg(found && same, "%s: %s", goldens[_i].folder, key);
    }
    ck_assert_uint_eq(json_object_size(after), json_object_size(before));
    peft_adapter_config_free(&config);
    json_decref(before);
    json_decref(after);
}
END_TEST

START_TEST(missing_fields_have_pefts_defaults)
{
    loads("{\"peft_type\": \"LORA\"}");
    const peft_lora_options *options = config.options;
    ck_assert_int_eq(options->common.rank, 8);
    ck_assert_double_eq(options->common.alpha, 8);
    ck_assert_double_eq(options->common.dropout, 0);
    ck_assert_str_eq(options->init, "kaiming");
    ck_assert_str_eq(config.targets.bias, "none");
    ck_assert_ptr_null(config.targets.target_modules);
    ck_assert_ptr_null(config.task_type);
    peft_adapter_config_free(&config);
}
END_TEST

START_TEST(keys_and_names_are_written_sorted)
{
    loads("{\"peft_type\": \"LORA\", \"target_modules\": [\"value\", \"key\", \"query\"], \"r\": 4}");
    json_t *root = saved();
    const char *last = "";
    for (void *i = json_object_iter(root); i; i = json_object_iter_next(root, i)) {
        ck_assert_str_lt(last, json_object_iter_key(i));
        last = json_object_iter_key(i);
    }
    json_t *expected = json_pack("[s, s, s]", "key", "query", "value");
    ck_assert(json_equal(json_object_get(root, "target_modules"), expected));
    ck_assert(json_is_integer(json_object_get(root, "lora_alpha")));
    json_decref(expected);
    json_decref(root);
    peft_adapter_config_free(&config);
}
END_TEST

START_TEST(patterns_keep_their_order)
{
    loads("{\"peft_type\": \"LORA\", \"rank_pattern\": {\"z\": 2, \"a\": 3, \"m\": 4}}");
    const peft_lora_options *options = config.options;
    void *first = json_object_iter(options->common.rank_pattern);
    ck_assert_str_eq(json_object_iter_key(first), "z");
    ck_assert_str_eq(json_object_iter_key(json_object_iter_next(options->common.rank_pattern, first)), "a");
    peft_adapter_config_free(&config);
}
END_TEST

START_TEST(options_of_training_alone_are_no_fields)
{
    loads("{\"peft_type\": \"LORA\", \"use_dora\": true}");
    ck_assert(!peft_options_set_text(config.variant->options, config.options, "norm_gradient", "full", NULL));
    json_t *root = saved();
    ck_assert_ptr_null(json_object_get(root, "norm_gradient"));
    json_decref(root);
    peft_adapter_config_free(&config);
}
END_TEST

START_TEST(a_folder_may_hold_a_head_alone)
{
    loads("{\"peft_type\": \"HEAD\", \"modules_to_save\": [\"classifier\"]}");
    ck_assert_ptr_null(config.variant);
    json_t *root = saved();
    ck_assert_str_eq(json_string_value(json_object_get(root, "peft_type")), "HEAD");
    json_decref(root);
    peft_adapter_config_free(&config);
}
END_TEST

/* ---- refusals ---- */

static const struct {
    peft_status status;
    const char *text, *message;
} refused[] = {
    {PEFT_ERR_FORMAT, "[]", "adapter_config.json: expected an object"},
    {PEFT_ERR_FORMAT, "{\"r\": 8}", "adapter_config.json: peft_type: missing"},
    {PEFT_ERR_FORMAT, "{\"peft_type\": 3}", "peft_type: expected a string, found 3"},
    {PEFT_ERR_UNSUPPORTED, "{\"peft_type\": \"OFT\"}", "peft_type: expected one of HEAD, "},
    {PEFT_ERR_UNSUPPORTED, "{\"peft_type\": \"lora\"}", "found \"lora\""},
    {PEFT_ERR_FORMAT, "{\"peft_type\": \"LORA\", \"r\": 0}", "adapter_config.json: r: rank: expected an integer"},
    {PEFT_ERR_FORMAT, "{\"peft_type\": \"LORA\", \"r\": \"8\"}", "adapter_config.json: r: "},
    {PEFT_ERR_FORMAT, "{\"peft_type\": \"LORA\", \"lora_alpha\": null}", "adapter_config.json: lora_alpha: "},
    {PEFT_ERR_FORMAT, "{\"peft_type\": \"LORA\", \"bias\": \"some\"}", "bias: expected one of none, all, lora_only"},
    {PEFT_ERR_FORMAT, "{\"peft_type\": \"LORA\", \"task_type\": 1}", "adapter_config.json: task_type: "},
    {PEFT_ERR_UNSUPPORTED, "{\"peft_type\": \"LORA\", \"use_qalora\": true}",
     "use_qalora: is not offered here: expected false, found true"},
    {PEFT_ERR_UNSUPPORTED, "{\"peft_type\": \"LORA\", \"lora_bias\": true}", "lora_bias: is not offered"},
    {PEFT_ERR_UNSUPPORTED, "{\"peft_type\": \"LORA\", \"alora_invocation_tokens\": [1, 2]}",
     "alora_invocation_tokens: is not offered here: expected null, found a list of 2"},
    {PEFT_ERR_UNSUPPORTED, "{\"peft_type\": \"LORA\", \"layer_replication\": [[0, 4]]}", "layer_replication"},
    {PEFT_ERR_UNSUPPORTED, "{\"peft_type\": \"LORA\", \"target_parameters\": [\"a\"]}", "target_parameters"},
    {PEFT_ERR_UNSUPPORTED, "{\"peft_type\": \"LORA\", \"trainable_token_indices\": [1]}", "trainable_token_indices"},
    {PEFT_ERR_UNSUPPORTED, "{\"peft_type\": \"LORA\", \"init_lora_weights\": \"pissa_niter_4\"}",
     "init_lora_weights: \"pissa_niter_4\" is not offered here: it was trained on weights that this start had changed"},
    {PEFT_ERR_UNSUPPORTED, "{\"peft_type\": \"LORA\", \"init_lora_weights\": \"corda\"}",
     "write it again in PEFT, by save_pretrained with path_initial_model_for_weight_conversion"},
    {PEFT_ERR_UNSUPPORTED, "{\"peft_type\": \"LORA\", \"init_lora_weights\": \"loftq\"}",
     "\"loftq\" is not offered here"},
};

START_TEST(what_changes_the_maths_and_is_not_offered_is_refused)
{
    ck_assert_msg(load_with(refused[_i].text, NULL) == refused[_i].status, "%s: %s", refused[_i].text, error.message);
    ck_assert_int_eq(error.status, refused[_i].status);
    ck_assert_msg(strstr(error.message, refused[_i].message) != NULL, "%s\nfound: %s", refused[_i].text, error.message);
    ck_assert_ptr_null(config.options);
}
END_TEST

static const char *const harmless[] = {
    "{\"peft_type\": \"LORA\", \"new_flag\": false, \"new_map\": {}, \"new_list\": [], \"new\": null}",
    "{\"peft_type\": \"LORA\", \"loftq_config\": {\"loftq_bits\": 4}, \"megatron_core\": \"other\"}",
    "{\"peft_type\": \"LORA\", \"init_lora_weights\": false}",
    "{\"peft_type\": \"LORA\", \"init_lora_weights\": null, \"inference_mode\": null, \"revision\": null}",
    "{\"peft_type\": \"LORA\", \"lora_dropout\": 1.0}",
    "{\"peft_type\": \"LOHA\", \"rank_dropout\": 1, \"module_dropout\": 1.0}",
    "{\"peft_type\": \"VERA\", \"bias\": \"vera_only\", \"vera_dropout\": 1}",
    "{\"peft_type\": \"LORA\", \"use_bdlora\": false, \"layer_replication\": []}",
};

START_TEST(what_changes_nothing_is_read_in_silence)
{
    const peft_load_options strict = {.strict = true};
    ck_assert_msg(!load_with(harmless[_i], &strict), "%s: %s", harmless[_i], error.message);
    peft_adapter_config_free(&config);
}
END_TEST

static const struct {
    const char *text, *message;
} noted[] = {
    {"{\"peft_type\": \"LORA\", \"shiny\": 3}", "shiny: unknown, and ignored: 3"},
    {"{\"peft_type\": \"HEAD\", \"r\": 3}", "r: unknown, and ignored: 3"},
    {"{\"peft_type\": \"LORA\", \"fan_in_fan_out\": true}", "fan_in_fan_out: means nothing on linear layers"},
    {"{\"peft_type\": \"IA3\", \"fan_in_fan_out\": true}", "fan_in_fan_out: means nothing on linear layers"},
    {"{\"peft_type\": \"LOKR\", \"init_weights\": \"other\"}", "init_weights: \"other\" is not offered here"},
};

START_TEST(what_may_matter_is_noted_or_refused_when_strict)
{
    peft_load_options options = {.notes = json_array()};
    ck_assert_msg(!load_with(noted[_i].text, &options), "%s", error.message);
    ck_assert_uint_eq(json_array_size(options.notes), 1);
    const char *note = json_string_value(json_array_get(options.notes, 0));
    ck_assert_msg(strstr(note, noted[_i].message) != NULL, "found: %s", note);
    peft_adapter_config_free(&config);
    options.strict = true;
    ck_assert_int_eq(load_with(noted[_i].text, &options), PEFT_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, noted[_i].message));
    json_decref(options.notes);
}
END_TEST

START_TEST(failing_allocations_leak_nothing)
{
    const char *path = fixture("rank-pattern"), *copy = scratch("copy.json");
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        fail_allocation(call);
        peft_status status = peft_adapter_config_load(&config, path, NULL, NULL);
        if (status == PEFT_OK) status = peft_adapter_config_save(&config, copy, NULL);
        failed = allocation_failed();
        /* jansson takes a document for malformed, or drops letters of a long key, where its buffer cannot grow. */
        if (!failed) ck_assert_int_eq(status, PEFT_OK);
        if (status != PEFT_OK && config.options) ck_assert_int_eq(status, PEFT_ERR_MEMORY); /* of saving */
        peft_adapter_config_free(&config);
    }
}
END_TEST

TEST_MAIN("config", tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
          tcase_add_loop_test(tc, fields_survive_reading_and_writing, 0, sizeof goldens / sizeof *goldens);
          tcase_add_test(tc, missing_fields_have_pefts_defaults); tcase_add_test(tc, keys_and_names_are_written_sorted);
          tcase_add_test(tc, patterns_keep_their_order); tcase_add_test(tc, options_of_training_alone_are_no_fields);
          tcase_add_test(tc, a_folder_may_hold_a_head_alone);
          tcase_add_loop_test(tc, what_changes_the_maths_and_is_not_offered_is_refused, 0,
                              sizeof refused / sizeof *refused);
          tcase_add_loop_test(tc, what_changes_nothing_is_read_in_silence, 0, sizeof harmless / sizeof *harmless);
          tcase_add_loop_test(tc, what_may_matter_is_noted_or_refused_when_strict, 0, sizeof noted / sizeof *noted);
          tcase_add_test(tc, failing_allocations_leak_nothing))
