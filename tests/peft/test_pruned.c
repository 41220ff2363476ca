/* Files of adapters whose ranks were pruned, and of LoRA2 under other names. */
#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "peft/adapter_folder.h"
#include "peft/adapter_read.h"
#include "peft/inject.h"
#include "tests/io/scratch.h"
#include "tests/support/main.h"
#include "tests/support/read.h"

enum { TOKENS = 5, LABELS = 3 };

static peft_error error;
static peft_model *model;
static peft_adapters *adapters;

static void setup(void)
{
    char path[512];
    scratch_setup();
    snprintf(path, sizeof path, "%s/goldens/models/bert", getenv("PEFT_FIXTURES"));
    ck_assert_msg(!peft_model_open(&model, path, NULL, &error), "%s", error.message);
}

static void unload(void)
{
    peft_detach(model, adapters);
    peft_adapters_free(adapters);
    adapters = NULL;
}

static void teardown(void)
{
    if (adapters) unload();
    peft_model_close(model);
    scratch_teardown();
}

static void load(const char *folder)
{
    ck_assert_msg(!peft_adapter_load(model, folder, NULL, &adapters, NULL, &error), "%s", error.message);
}

static void save(const char *folder)
{
    ck_assert_msg(!peft_adapter_save(model, adapters, NULL, folder, &error), "%s", error.message);
}

static void make(const char *variant_name)
{
    const peft_variant *variant = peft_variant_find(variant_name);
    peft_adapter_config config;
    ck_assert(!peft_adapter_config_init(&config, variant, &error));
    ck_assert(!peft_options_set_text(variant->options, config.options, "rank", "4", &error));
    ck_assert_msg(!peft_inject(model, variant, config.options, &config.targets, 3, &adapters, NULL, &error), "%s",
                  error.message);
    peft_adapter_config_free(&config);
    for (int64_t i = 0; i < adapters->set.num_trained; i++) adapters->set.memory[i] += 0.1F * (float)(i % 7 - 3);
}

static void compute_logits(float *logits)
{
    static const int32_t starts[] = {0, TOKENS}, types[TOKENS], ids[] = {2, 17, 45, 99, 3},
                         positions[] = {0, 1, 2, 3, 4};
    const peft_batch batch = {.num_tokens = TOKENS, .num_sequences = 1, .starts = starts};
    const peft_model_input input = {ids, types, positions};
    peft_graph *g;
    peft_context *ctx;
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    peft_tensor *y = peft_graph_keep(g, peft_model_logits(g, model, &(peft_model_run){&batch, &input, false}));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    memcpy(logits, read_values(g, y), LABELS * sizeof *logits);
    peft_graph_free(g);
    peft_context_close(ctx);
}

/* The masks that are settled in the last step of a run: all of the first layer, and in the second all but two. */
static void prune(void)
{
    const char *const E = strcmp(adapters->variant->name, "lora2") ? "lora_E" : "lora2_E";
    for (int64_t l = 0; l < 2; l++)
        for (int32_t v = 0; v < adapters->layers[l].num_values; v++) {
            const peft_value *value = &adapters->layers[l].values[v];
            if (strcmp(value->spec.name, E) != 0 && strcmp(value->spec.name, "kept") != 0) continue;
            value->data[0] = value->data[2] = 0;
            if (l == 0) value->data[1] = value->data[3] = 0;
        }
}

static const struct {
    const char *variant, *key;
} budgeted[] = {{"adalora", "lora_E"}, {"lora2", "lora2_E"}};

static void check_pattern(const char *key)
{
    static const char *const kept[] = {"[false, false, false, false]", "[false, true, false, true]"};
    json_t *root;
    char name[256];
    ck_assert(!peft_json_load(scratch("first/adapter_config.json"), &root, &error));
    for (int l = 0; l < 2; l++) {
        json_t *expected = json_loads(kept[l], 0, NULL);
        snprintf(name, sizeof name, "%s.%s", adapters->layers[l].module, key);
        ck_assert(json_equal(json_object_get(json_object_get(root, "rank_pattern"), name), expected));
        json_decref(expected);
    }
    json_decref(root);
}

static void check_same_file(const char *a_path, const char *b_path)
{
    peft_mapped_file a, b;
    ck_assert(!peft_file_map(a_path, &a, &error) && !peft_file_map(b_path, &b, &error));
    ck_assert_uint_eq(a.bytes, b.bytes);
    ck_assert_mem_eq(a.data, b.data, a.bytes);
    peft_file_unmap(&a);
    peft_file_unmap(&b);
}

START_TEST(files_hold_what_is_left_and_mean_the_same)
{
    float before[LABELS], after[LABELS];
    make(budgeted[_i].variant);
    prune();
    compute_logits(before);
    save(scratch("first"));
    check_pattern(budgeted[_i].key);
    unload();

    load(scratch("first"));
    ck_assert_int_eq(adapters->layers[0].rank, 0);
    ck_assert_int_eq(adapters->layers[1].rank, 2);
    ck_assert_int_eq(adapters->layers[2].rank, 4);
    compute_logits(after);
    for (int k = 0; k < LABELS; k++) ck_assert_double_eq_tol((double)after[k], (double)before[k], 1e-5);
    save(scratch("second"));
    check_same_file(scratch("first/adapter_config.json"), scratch("second/adapter_config.json"));
    check_same_file(scratch("first/adapter_model.safetensors"), scratch("second/adapter_model.safetensors"));

    peft_adapter_contents alone;
    ck_assert_msg(!peft_adapter_read(&alone, scratch("first"), NULL, NULL, &error), "%s", error.message);
    for (int64_t l = 0; l < adapters->num_layers; l++) {
        const peft_adapter *found = peft_adapters_find(alone.adapters, adapters->layers[l].module);
        ck_assert(found->rank == adapters->layers[l].rank && found->in_features == adapters->layers[l].in_features);
        ck_assert_int_eq(found->out_features, adapters->layers[l].out_features);
    }
    peft_adapter_contents_free(&alone);
}
END_TEST

/* ---- the authors' names of LoRA2 ---- */

static const char *const renamed[][2] = {{"lora2_A2", "lora_A"},
                                         {"lora2_A1", "lora_B"},
                                         {"lora2_E", "lora_E"},
                                         {"lora2_B1", "lora_aa"},
                                         {"lora2_B2", "lora_bb"}};
enum { NUM_RENAMED = sizeof renamed / sizeof *renamed };

/* The same file with each value under the authors' name. */
static void rename_tensors(const char *path)
{
    peft_safetensors *file;
    static char names[256][256];
    peft_file_tensor list[256];
    ck_assert(!peft_safetensors_open(path, &file, &error));
    size_t count = peft_safetensors_count(file);
    ck_assert_uint_le(count, 256);
    for (size_t i = 0; i < count; i++) {
        list[i] = *peft_safetensors_at(file, i);
        snprintf(names[i], sizeof names[i], "%s", list[i].name);
        for (int k = 0; k < NUM_RENAMED; k++) {
            char *end = strstr(names[i], renamed[k][0]);
            if (!end) continue;
            strcpy(end, renamed[k][1]);
            break;
        }
        list[i].name = names[i];
    }
    const peft_key_value format = {"format", "pt"};
    char other[600];
    snprintf(other, sizeof other, "%s.renamed", path);
    ck_assert_msg(!peft_safetensors_write(other, list, count, &format, 1, &error), "%s", error.message);
    peft_safetensors_close(file);
    ck_assert_int_eq(rename(other, path), 0);
}

START_TEST(the_authors_names_are_read)
{
    make("lora2");
    size_t bytes = (size_t)adapters->set.num_trained * sizeof(float);
    float *values = malloc(bytes);
    memcpy(values, adapters->set.memory, bytes);
    save(scratch("authors"));
    unload();
    rename_tensors(scratch("authors/adapter_model.safetensors"));
    load(scratch("authors"));
    ck_assert_mem_eq(adapters->set.memory, values, bytes);
    peft_adapter_contents alone;
    ck_assert_msg(!peft_adapter_read(&alone, scratch("authors"), NULL, NULL, &error), "%s", error.message);
    ck_assert_int_eq(alone.adapters->set.num_trained, adapters->set.num_trained);
    ck_assert_uint_eq(alone.num_others, 2);
    peft_adapter_contents_free(&alone);
    free(values);
}
END_TEST

TEST_MAIN("pruned", tcase_add_checked_fixture(tc, setup, teardown);
          tcase_add_loop_test(tc, files_hold_what_is_left_and_mean_the_same, 0, sizeof budgeted / sizeof *budgeted);
          tcase_add_test(tc, the_authors_names_are_read))
