/* Adapter folders as plain LoRAs: the same outputs, whatever the method was, or a refusal. */
#include "peft/convert.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/safetensors.h"
#include "peft/adapter_folder.h"
#include "peft/adapter_read.h"
#include "peft/inject.h"
#include "tests/io/scratch.h"
#include "tests/peft/tiny_bert.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

/* Two layers of float sums. */
static const double TOLERANCE = 1e-5;

static peft_error error;

static void logits_with(const char *folder, float logits[TINY_LOGITS])
{
    peft_adapters *adapters;
    peft_model *model = tiny_open();
    ck_assert_msg(!peft_adapter_load(model, folder, NULL, &adapters, NULL, &error), "%s", error.message);
    tiny_logits(model, logits);
    peft_detach(model, adapters);
    peft_adapters_free(adapters);
    peft_model_close(model);
}

static void check_same_answers(const char *folder, const char *converted)
{
    float expected[TINY_LOGITS], found[TINY_LOGITS];
    logits_with(folder, expected);
    logits_with(converted, found);
    for (int i = 0; i < TINY_LOGITS; i++)
        ck_assert_msg(fabs((double)found[i] - (double)expected[i]) <= TOLERANCE, "%s: logit %d: expected %g, found %g",
                      folder, i, (double)expected[i], (double)found[i]);
}

static json_t *config_of(const char *folder)
{
    char path[600];
    json_t *config;
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    ck_assert_msg(!peft_json_load(path, &config, &error), "%s", error.message);
    return config;
}

/* ---- what can be converted ---- */

static const struct {
    const char *name;
    bool with_model;
} exact[] = {{"lora-all", false}, {"layers", false}, {"rslora", false}, {"rank-pattern", false}, {"adalora", false},
             {"loha", false},     {"lokr", true},    {"vera", true},    {"pissa", true},         {"olora", true}};
enum { NUM_EXACT = sizeof exact / sizeof *exact };

START_TEST(a_converted_folder_gives_the_same_answers)
{
    char name[128], folder[512], model[512], output[512];
    json_t *report;
    snprintf(name, sizeof name, "variants/%s/adapter", exact[_i].name);
    snprintf(folder, sizeof folder, "%s", tiny_golden(name));
    snprintf(model, sizeof model, "%s", tiny_golden("models/bert"));
    snprintf(output, sizeof output, "%s", scratch("lora"));
    const peft_conversion conversion = {folder, output, exact[_i].with_model ? model : NULL, NULL};
    ck_assert_msg(!peft_convert_to_lora(&conversion, &report, &error), "%s", error.message);
    check_same_answers(folder, output);

    json_t *source = config_of(folder), *config = config_of(output);
    static const char *const same[] = {"task_type", "base_model_name_or_path", "modules_to_save"};
    for (size_t k = 0; k < sizeof same / sizeof *same; k++)
        ck_assert_msg(json_equal(json_object_get(config, same[k]), json_object_get(source, same[k])), "%s", same[k]);
    ck_assert_int_eq(json_array_size(json_object_get(config, "target_modules")), /* in another order */
                     json_array_size(json_object_get(source, "target_modules")));
    ck_assert_str_eq(json_string_value(json_object_get(config, "peft_type")), "LORA");
    ck_assert(json_is_false(json_object_get(config, "use_rslora")));
    ck_assert_int_eq(json_array_size(report), 1);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(report, 0), "folder")), output);
    json_decref(source);
    json_decref(config);
    json_decref(report);
}
END_TEST

/* An adapter of the goldens' model, every trained value moved, as a folder. */
static peft_model *open_new(const char *variant, const char *bias, peft_adapters **adapters)
{
    peft_model *model = tiny_open();
    const peft_variant *v;
    ck_assert(!peft_variant_get(variant, &v, &error));
    void *options = calloc(1, v->options_bytes);
    char bias_copy[16];
    snprintf(bias_copy, sizeof bias_copy, "%s", bias);
    ck_assert(!peft_options_init(v->options, options, &error));
    ck_assert_msg(!peft_inject(model, v, options, &(peft_target_options){.bias = bias_copy}, 1, adapters, NULL, &error),
                  "%s", error.message);
    for (int64_t i = 0; i < (*adapters)->set.num_trained; i++) (*adapters)->set.memory[i] += 0.1F * (float)(i % 7 - 3);
    peft_options_free(v->options, options);
    free(options);
    return model;
}

static void save_new(peft_model *model, peft_adapters *adapters, const char *bias, const char *folder)
{
    char bias_copy[16];
    snprintf(bias_copy, sizeof bias_copy, "%s", bias);
    ck_assert_msg(!peft_adapter_save(model, adapters, &(peft_target_options){.bias = bias_copy}, folder, &error), "%s",
                  error.message);
    peft_detach(model, adapters);
    peft_adapters_free(adapters);
    peft_model_close(model);
}

enum { GATES = 1 }; /* AdaLoRA's values are A, E, B */

static void close_gates(peft_adapter *a)
{
    ck_assert_str_eq(a->values[GATES].spec.name, "lora_E");
    memset(a->values[GATES].data, 0, (size_t)a->rank * sizeof(float));
}

/* A layer whose whole update was pruned has no LoRA; PEFT has its bias under another name then. */
START_TEST(a_layer_without_an_update_is_left_out)
{
    char folder[512], output[512];
    peft_adapters *adapters;
    json_t *report;
    peft_safetensors *file;
    snprintf(folder, sizeof folder, "%s", scratch("pruned"));
    snprintf(output, sizeof output, "%s", scratch("lora"));
    peft_model *model = open_new("adalora", "lora_only", &adapters);
    close_gates(&adapters->layers[1]);
    char left_out[128], key[256];
    snprintf(left_out, sizeof left_out, "%s", adapters->layers[1].module);
    int64_t num_layers = adapters->num_layers;
    save_new(model, adapters, "lora_only", folder);

    ck_assert_msg(!peft_convert_to_lora(&(peft_conversion){folder, output, NULL, NULL}, &report, &error), "%s",
                  error.message);
    check_same_answers(folder, output);
    const json_t *entry = json_array_get(report, 0), *list = json_object_get(entry, "left_out");
    ck_assert_int_eq(json_integer_value(json_object_get(entry, "modules")), num_layers - 1);
    ck_assert_int_eq(json_array_size(list), 1);
    ck_assert_str_eq(json_string_value(json_array_get(list, 0)), left_out);
    ck_assert(!peft_safetensors_open(scratch("lora/adapter_model.safetensors"), &file, &error));
    snprintf(key, sizeof key, "base_model.model.%s.bias", left_out);
    ck_assert_ptr_nonnull(peft_safetensors_find(file, key));
    snprintf(key, sizeof key, "base_model.model.%s.base_layer.bias", left_out);
    ck_assert_ptr_null(peft_safetensors_find(file, key));
    peft_safetensors_close(file);
    json_decref(report);
}
END_TEST

START_TEST(an_adapter_of_which_nothing_is_left_is_refused)
{
    char folder[512], output[512];
    peft_adapters *adapters;
    snprintf(folder, sizeof folder, "%s", scratch("empty"));
    snprintf(output, sizeof output, "%s", scratch("lora"));
    peft_model *model = open_new("adalora", "none", &adapters);
    for (int64_t i = 0; i < adapters->num_layers; i++) close_gates(&adapters->layers[i]);
    save_new(model, adapters, "none", folder);
    ck_assert_int_eq(peft_convert_to_lora(&(peft_conversion){folder, output, NULL, NULL}, NULL, &error),
                     PEFT_ERR_UNSUPPORTED);
    ck_assert_msg(strstr(error.message, "nothing is left") != NULL, "%s", error.message);
}
END_TEST

START_TEST(values_that_are_not_finite_are_refused)
{
    char folder[512], output[512];
    peft_adapters *adapters;
    snprintf(folder, sizeof folder, "%s", scratch("broken"));
    snprintf(output, sizeof output, "%s", scratch("lora"));
    peft_model *model = open_new("rslora", "none", &adapters);
    adapters->layers[1].values[0].data[3] = INFINITY;
    save_new(model, adapters, "none", folder);
    ck_assert_int_eq(peft_convert_to_lora(&(peft_conversion){folder, output, NULL, NULL}, NULL, &error),
                     PEFT_ERR_NUMERIC);
    ck_assert_msg(strstr(error.message, "lora_A.weight: element 3 is inf") != NULL, "%s", error.message);
}
END_TEST

/* ---- experts ---- */

static const char *const mixtures[] = {"molora", "mola"};

/* The folder of expert e has its rows of A and of B on the layers that have so many experts. */
static void check_expert(const peft_adapter_contents *mixture, int64_t e, const char *folder)
{
    peft_adapter_contents lora;
    ck_assert_msg(!peft_adapter_read(&lora, folder, NULL, NULL, &error), "%s", error.message);
    for (int64_t i = 0; i < mixture->adapters->num_layers; i++) {
        const peft_adapter *of = &mixture->adapters->layers[i], *a = peft_adapters_find(lora.adapters, of->module);
        ck_assert_int_eq(a != NULL, e < of->num_experts);
        for (int v = 0; a && v < 2; v++) {
            int64_t count = peft_shape_count(&a->values[v].spec.shape);
            ck_assert_mem_eq(a->values[v].data, of->values[v].data + e * count, (size_t)count * sizeof(float));
        }
        if (a) ck_assert_double_eq(a->scaling, of->scaling);
    }
    ck_assert_int_eq(lora.num_others, mixture->num_others);
    peft_adapter_contents_free(&lora);
}

START_TEST(each_expert_becomes_a_folder)
{
    char folder[512], output[512], expert[600];
    peft_adapters *adapters;
    peft_adapter_contents mixture;
    json_t *report;
    snprintf(folder, sizeof folder, "%s", scratch("mixture"));
    snprintf(output, sizeof output, "%s", scratch("experts"));
    peft_model *model = open_new(mixtures[_i], "none", &adapters);
    int64_t count = peft_adapters_num_experts(adapters);
    save_new(model, adapters, "none", folder);
    ck_assert_msg(!peft_convert_to_experts(&(peft_conversion){folder, output, NULL, NULL}, &report, &error), "%s",
                  error.message);
    ck_assert_int_eq((int64_t)json_array_size(report), count);
    ck_assert(!peft_adapter_read(&mixture, folder, NULL, NULL, &error));
    for (int64_t e = 0; e < count; e++) {
        snprintf(expert, sizeof expert, "%s/expert-%lld", output, (long long)e);
        check_expert(&mixture, e, expert);
    }
    peft_adapter_contents_free(&mixture);
    json_decref(report);
    peft_adapters *plain;
    ck_assert_int_eq(peft_convert_to_lora(&(peft_conversion){folder, output, NULL, NULL}, NULL, &error),
                     PEFT_ERR_UNSUPPORTED);
    ck_assert_msg(strstr(error.message, "--to experts") != NULL, "%s", error.message);
    model = open_new(mixtures[_i], "none", &adapters);
    ck_assert_int_eq(peft_adapters_expert_to_lora(adapters, count, &plain, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_null(plain);
    peft_detach(model, adapters);
    peft_adapters_free(adapters);
    peft_model_close(model);
}
END_TEST

/* ---- refusals ---- */

static const struct {
    const char *golden, *message;
} refused[] = {{"variants/dora/adapter", "dora is no low-rank sum: y = m (W"},
               {"variants/ia3/adapter", "peft merge"},
               {"variants/vera/adapter", "the shapes of a vera adapter do not say the sizes of its layers"},
               {"variants/lokr/adapter", "give its base model"},
               {"models/bert", "a whole model, no adapter"},
               {"none", "adapter_config.json: cannot open"}};

START_TEST(what_is_no_lora_is_refused_with_the_reason)
{
    char folder[512], output[512];
    snprintf(folder, sizeof folder, "%s", tiny_golden(refused[_i].golden));
    snprintf(output, sizeof output, "%s", scratch("lora"));
    ck_assert_int_ne(peft_convert_to_lora(&(peft_conversion){folder, output, NULL, NULL}, NULL, &error), PEFT_OK);
    ck_assert_msg(strstr(error.message, refused[_i].message) != NULL, "%s", error.message);
}
END_TEST

static const char *const by_input[] = {"mor1e", "trex", "mov"};

START_TEST(an_update_that_depends_on_the_input_is_refused)
{
    char folder[512], output[512];
    peft_adapters *adapters;
    snprintf(folder, sizeof folder, "%s", scratch("mixture"));
    snprintf(output, sizeof output, "%s", scratch("lora"));
    peft_model *model = open_new(by_input[_i], "none", &adapters);
    save_new(model, adapters, "none", folder);
    const peft_conversion conversion = {folder, output, NULL, NULL};
    ck_assert_int_eq(peft_convert_to_lora(&conversion, NULL, &error), PEFT_ERR_UNSUPPORTED);
    ck_assert_msg(strstr(error.message, "depends on the input") != NULL, "%s", error.message);
    ck_assert_int_eq(peft_convert_to_experts(&conversion, NULL, &error), PEFT_ERR_UNSUPPORTED);
    ck_assert_msg(strstr(error.message, "has no experts that are LoRAs") != NULL, "%s", error.message);
}
END_TEST

START_TEST(failing_allocations_are_reported)
{
    char folder[512], output[512];
    snprintf(folder, sizeof folder, "%s", tiny_golden("variants/rank-pattern/adapter"));
    snprintf(output, sizeof output, "%s", scratch("lora"));
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        json_t *report;
        fail_allocation(call);
        peft_status status = peft_convert_to_lora(&(peft_conversion){folder, output, NULL, NULL}, &report, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(report != NULL, status == PEFT_OK);
        /* jansson takes a document for malformed, or drops letters of a long key, where its buffer cannot grow. */
        ck_assert_msg(failed || status == PEFT_OK, "without a failure: %s", peft_status_text(status));
        json_decref(report);
    }
    check_same_answers(folder, output);
}
END_TEST

TEST_MAIN("convert", tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
          tcase_add_loop_test(tc, a_converted_folder_gives_the_same_answers, 0, NUM_EXACT);
          tcase_add_test(tc, a_layer_without_an_update_is_left_out);
          tcase_add_test(tc, an_adapter_of_which_nothing_is_left_is_refused);
          tcase_add_test(tc, values_that_are_not_finite_are_refused);
          tcase_add_loop_test(tc, each_expert_becomes_a_folder, 0, sizeof mixtures / sizeof *mixtures);
          tcase_add_loop_test(tc, what_is_no_lora_is_refused_with_the_reason, 0, sizeof refused / sizeof *refused);
          tcase_add_loop_test(tc, an_update_that_depends_on_the_input_is_refused, 0,
                              sizeof by_input / sizeof *by_input);
          tcase_add_test(tc, failing_allocations_are_reported))
