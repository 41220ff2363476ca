/* Adapters of PEFT 0.21.2 on its own small BERT, our own copies of them, and everything that may be wrong with either.
 */
#include "peft/adapter_folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "peft/inject.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

static const char *const goldens[] = {"lora-all", "rslora",  "rank-pattern", "layers", "dora",
                                      "ia3",      "adalora", "loha",         "lokr",   "vera"};
enum { NUM_GOLDENS = sizeof goldens / sizeof *goldens };

static peft_error error;
static peft_model *model;

static const char *fixture(const char *kind, const char *name, const char *rest)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/goldens/%s/%s%s", getenv("PEFT_FIXTURES"), kind, name, rest);
    return path;
}

static const char *golden(const char *name)
{
    return fixture("variants", name, "/adapter");
}

static void open_model(bool without_head)
{
    const peft_model_options options = {.part = without_head ? PEFT_MODEL_HIDDEN : PEFT_MODEL_WITH_HEAD};
    ck_assert_msg(!peft_model_open(&model, fixture("models", "bert", ""), &options, &error), "%s", error.message);
}

static void setup(void)
{
    scratch_setup();
    open_model(false);
}

static void teardown(void)
{
    peft_model_close(model);
    scratch_teardown();
}

static int64_t num_attached(void)
{
    int64_t count, attached = 0;
    const peft_linear_layer *linears = peft_model_linears(model, &count);
    for (int64_t i = 0; i < count; i++) attached += linears[i].adapter != NULL;
    return attached;
}

static const peft_weight *weight_of(const char *name)
{
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    for (int64_t i = 0; i < count; i++)
        if (strcmp(weights[i].name, name) == 0) return &weights[i];
    ck_abort_msg("%s: no such weight", name);
}

static peft_adapters *load(const char *folder)
{
    peft_adapters *adapters;
    ck_assert_msg(!peft_adapter_load(model, folder, NULL, &adapters, NULL, &error), "%s", error.message);
    return adapters;
}

static void unload(peft_adapters *adapters)
{
    peft_detach(model, adapters);
    peft_adapters_free(adapters);
}

/* ---- round trips ---- */

static void check_same_tensors(const char *a_path, const char *b_path)
{
    peft_safetensors *a, *b;
    ck_assert(!peft_safetensors_open(a_path, &a, &error) && !peft_safetensors_open(b_path, &b, &error));
    ck_assert_uint_eq(peft_safetensors_count(a), peft_safetensors_count(b));
    for (size_t i = 0; i < peft_safetensors_count(a); i++) {
        const peft_file_tensor *x = peft_safetensors_at(a, i), *y = peft_safetensors_at(b, i);
        ck_assert_str_eq(x->name, y->name);
        ck_assert(x->dtype == y->dtype && peft_shape_equal(&x->shape, &y->shape));
        ck_assert_mem_eq(x->data, y->data, x->bytes);
    }
    ck_assert_str_eq(peft_safetensors_metadata(b, "format"), "pt");
    peft_safetensors_close(a);
    peft_safetensors_close(b);
}

static void check_same_bytes(const char *a_path, const char *b_path)
{
    peft_mapped_file a, b;
    ck_assert(!peft_file_map(a_path, &a, &error) && !peft_file_map(b_path, &b, &error));
    ck_assert_uint_eq(a.bytes, b.bytes);
    ck_assert_mem_eq(a.data, b.data, a.bytes);
    peft_file_unmap(&a);
    peft_file_unmap(&b);
}

START_TEST(what_peft_wrote_is_read_and_written_again)
{
    peft_adapter_config config;
    peft_adapters *adapters;
    char path[600];
    const char *folder = golden(goldens[_i]);
    ck_assert_msg(!peft_adapter_load(model, folder, &(peft_load_options){.strict = true}, &adapters, &config, &error),
                  "%s", error.message);
    ck_assert_int_eq(num_attached(), adapters->num_layers);
    ck_assert_msg(!peft_adapter_save(model, adapters, &config.targets, scratch("first"), &error), "%s", error.message);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    check_same_tensors(path, scratch("first/adapter_model.safetensors"));
    unload(adapters);
    peft_adapter_config_free(&config);

    ck_assert(!peft_adapter_load(model, scratch("first"), NULL, &adapters, &config, &error));
    ck_assert(!peft_adapter_save(model, adapters, &config.targets, scratch("second"), &error));
    check_same_bytes(scratch("first/adapter_model.safetensors"), scratch("second/adapter_model.safetensors"));
    check_same_bytes(scratch("first/adapter_config.json"), scratch("second/adapter_config.json"));
    unload(adapters);
    peft_adapter_config_free(&config);
}
END_TEST

START_TEST(every_variant_is_read_as_it_was_written)
{
    const peft_variant *variant = peft_variant_at((size_t)_i);
    peft_adapter_config config;
    peft_adapters *adapters;
    ck_assert(!peft_adapter_config_init(&config, variant, &error));
    ck_assert_msg(!peft_inject(model, variant, config.options, &config.targets, 3, &adapters, NULL, &error), "%s",
                  error.message);
    for (int64_t i = 0; i < adapters->set.num_trained; i++) adapters->set.memory[i] += 0.01F * (float)(i % 89);
    ck_assert(!peft_adapter_save(model, adapters, NULL, scratch("first"), &error));
    float *values = malloc((size_t)adapters->set.num_trained * sizeof *values);
    memcpy(values, adapters->set.memory, (size_t)adapters->set.num_trained * sizeof *values);
    unload(adapters);
    peft_adapter_config_free(&config);

    adapters = load(scratch("first"));
    ck_assert_ptr_eq(adapters->variant, variant);
    ck_assert_mem_eq(adapters->set.memory, values, (size_t)adapters->set.num_trained * sizeof *values);
    ck_assert(!peft_adapter_save(model, adapters, NULL, scratch("second"), &error));
    check_same_bytes(scratch("first/adapter_model.safetensors"), scratch("second/adapter_model.safetensors"));
    check_same_bytes(scratch("first/adapter_config.json"), scratch("second/adapter_config.json"));
    free(values);
    unload(adapters);
}
END_TEST

START_TEST(ranks_and_scales_follow_the_patterns)
{
    peft_adapters *adapters = load(golden("rank-pattern"));
    const peft_adapter *query = peft_adapters_find(adapters, "bert.encoder.layer.0.attention.self.query");
    const peft_adapter *dense = peft_adapters_find(adapters, "bert.encoder.layer.1.output.dense");
    const peft_adapter *other = peft_adapters_find(adapters, "bert.encoder.layer.0.output.dense");
    ck_assert(query && dense && other);
    ck_assert_int_eq(query->rank, 2);
    ck_assert_double_eq(query->scaling, 1.5);
    ck_assert_int_eq(dense->rank, 6);
    ck_assert_int_eq(other->rank, 4);
    ck_assert_double_eq(other->scaling, 2);
    unload(adapters);
}
END_TEST

static peft_adapters *make(const char *const settings[][2], peft_adapter_config *config)
{
    const peft_variant *lora = peft_variant_find("lora");
    peft_adapters *adapters;
    ck_assert(!peft_adapter_config_init(config, lora, &error));
    for (; (*settings)[0]; settings++) {
        bool of_targets = peft_options_find(peft_target_option_table, (*settings)[0]) != NULL;
        ck_assert_msg(!peft_options_set_text(of_targets ? peft_target_option_table : lora->options,
                                             of_targets ? (void *)&config->targets : config->options, (*settings)[0],
                                             (*settings)[1], &error),
                      "%s", error.message);
    }
    ck_assert_msg(!peft_inject(model, lora, config->options, &config->targets, 1, &adapters, NULL, &error), "%s",
                  error.message);
    return adapters;
}

/* What a file says of a setting after training with `settings`; the caller's (json_decref). */
static json_t *written(const char *const settings[][2], const char *field)
{
    peft_adapter_config config;
    json_t *root;
    peft_adapters *adapters = make(settings, &config);
    ck_assert_msg(!peft_adapter_save(model, adapters, &config.targets, scratch("new"), &error), "%s", error.message);
    unload(adapters);
    peft_adapter_config_free(&config);
    ck_assert(!peft_json_load(scratch("new/adapter_config.json"), &root, &error));
    json_t *value = json_incref(json_object_get(root, field));
    json_decref(root);
    return value;
}

/* Files are sorted, so no module may depend on which of two patterns comes first. */
START_TEST(patterns_that_meet_become_names)
{
    static const char *const settings[][2] = {
        {"rank_pattern", "{\"query\": 3, \"layer.1.attention.self.query\": 5, \"value\": 2}"},
        {"alpha_pattern", "{\"query\": 3, \"layer.1.attention.self.query\": 640}"},
        {NULL, NULL}};
    json_t *ranks = written(settings, "rank_pattern");
    peft_adapters *adapters = load(scratch("new"));
    for (int64_t i = 0; i < adapters->num_layers; i++) {
        bool query = strstr(adapters->layers[i].module, "query") != NULL;
        ck_assert_int_eq(adapters->layers[i].rank, query ? 3 : 2);
        ck_assert_double_eq(adapters->layers[i].scaling, query ? 1 : 8);
    }
    unload(adapters);
    ck_assert_uint_eq(json_object_size(ranks), 4);
    ck_assert_int_eq(
        json_integer_value(json_object_get(ranks, "^bert\\.encoder\\.layer\\.1\\.attention\\.self\\.query")), 3);
    json_decref(ranks);
}
END_TEST

START_TEST(patterns_that_do_not_meet_are_written_as_given)
{
    static const char *const settings[][2] = {{"rank_pattern", "{\"value\": 3, \"query\": 5}"}, {NULL, NULL}};
    json_t *ranks = written(settings, "rank_pattern"), *expected = json_pack("{s:i, s:i}", "query", 5, "value", 3);
    ck_assert(json_equal(ranks, expected));
    json_decref(ranks);
    json_decref(expected);
}
END_TEST

/* The ranks of a file whose patterns were sorted on its way: the shapes know. */
START_TEST(shapes_decide_between_ranks)
{
    static const char *const settings[][2] = {{"rank_pattern", "{\"query\": 3, \"attention.self.query\": 5}"},
                                              {NULL, NULL}};
    json_decref(written(settings, "rank_pattern"));
    json_t *root;
    ck_assert(!peft_json_load(scratch("new/adapter_config.json"), &root, &error));
    json_object_set_new(root, "rank_pattern", json_pack("{s:i, s:i}", "attention.self.query", 5, "query", 3));
    ck_assert(!peft_json_save(scratch("new/adapter_config.json"), root, PEFT_JSON_AS_IS, &error));
    json_decref(root);
    peft_adapters *adapters = load(scratch("new"));
    ck_assert_int_eq(peft_adapters_find(adapters, "bert.encoder.layer.0.attention.self.query")->rank, 3);
    unload(adapters);
}
END_TEST

/* PEFT looks at all modules, and refuses those that are not linear. */
static const struct {
    const char *targets;
    bool as_given;
} expressions[] = {{".*\\.query", true},        {".*attention.*", false},     {".*(query|dropout)", false},
                   {"bert\\.enc.*dense", true}, {".*(key|LayerNorm)", false}, {"all-linear", true}};

START_TEST(expressions_that_mean_other_modules_become_names)
{
    const char *const settings[][2] = {{"target_modules", expressions[_i].targets}, {NULL, NULL}};
    json_t *targets = written(settings, "target_modules");
    ck_assert_msg(json_is_string(targets) == expressions[_i].as_given, "%s", expressions[_i].targets);
    json_decref(targets);
}
END_TEST

/* To PEFT pre_classifier is a part of the classifier that is saved in full, and one of all-linear's layers as well. */
START_TEST(all_linear_becomes_names_where_one_is_saved_in_full)
{
    static const char *const settings[][2] = {{"target_modules", "all-linear"}, {NULL, NULL}};
    peft_model_close(model);
    ck_assert_msg(!peft_model_open(&model, fixture("models", "distilbert", ""), NULL, &error), "%s", error.message);
    json_t *targets = written(settings, "target_modules");
    ck_assert_uint_eq(json_array_size(targets), 12); /* six in each of two layers */
    json_decref(targets);
}
END_TEST

START_TEST(layers_to_transform_leave_the_others_alone)
{
    peft_adapters *adapters = load(golden("layers"));
    ck_assert_int_eq(adapters->num_layers, 2);
    ck_assert_ptr_nonnull(peft_adapters_find(adapters, "bert.encoder.layer.1.attention.self.query"));
    ck_assert_ptr_null(peft_adapters_find(adapters, "bert.encoder.layer.0.attention.self.query"));
    unload(adapters);
}
END_TEST

START_TEST(a_head_alone_is_a_folder_too)
{
    float *head = weight_of("classifier.weight")->value;
    head[5] = 0.25F;
    ck_assert_msg(!peft_adapter_save(model, NULL, NULL, scratch("head"), &error), "%s", error.message);
    head[5] = 0;
    ck_assert_ptr_null(load(scratch("head")));
    ck_assert(head[5] == 0.25F);
}
END_TEST

START_TEST(biases_are_saved_under_their_places)
{
    const peft_variant *lora = peft_variant_find("lora");
    peft_adapter_config config;
    peft_adapters *adapters;
    peft_safetensors *file;
    ck_assert(!peft_adapter_config_init(&config, lora, &error));
    ck_assert(
        !peft_options_set_text(peft_target_option_table, &config.targets, "bias", _i ? "all" : "lora_only", NULL));
    ck_assert(!peft_inject(model, lora, config.options, &config.targets, 1, &adapters, NULL, &error));
    const peft_weight *bias = weight_of("bert.encoder.layer.0.attention.self.query.bias");
    bias->value[3] = 7;
    ck_assert(!peft_adapter_save(model, adapters, &config.targets, scratch("bias"), &error));
    ck_assert(!peft_safetensors_open(scratch("bias/adapter_model.safetensors"), &file, &error));
    ck_assert_ptr_nonnull(
        peft_safetensors_find(file, "base_model.model.bert.encoder.layer.0.attention.self.query.base_layer.bias"));
    ck_assert_int_eq(peft_safetensors_find(file, "base_model.model.bert.encoder.layer.0.output.LayerNorm.bias") != NULL,
                     _i);
    peft_safetensors_close(file);
    unload(adapters);
    bias->value[3] = 0;
    adapters = load(scratch("bias"));
    ck_assert(bias->value[3] == 7);
    unload(adapters);
    peft_adapter_config_free(&config);
}
END_TEST

/* PEFT's IA3 has neither layers_to_transform nor bias. */
START_TEST(what_a_file_has_no_field_for_is_written_otherwise_or_refused)
{
    const peft_variant *ia3 = peft_variant_find("ia3");
    peft_adapter_config config;
    peft_adapters *adapters;
    ck_assert(!peft_adapter_config_init(&config, ia3, &error));
    peft_target_options *targets = &config.targets;
    ck_assert(!peft_options_set_text(peft_target_option_table, targets, "target_modules", "query,value", NULL));
    ck_assert(!peft_options_set_text(peft_target_option_table, targets, "layers_to_transform", "1", NULL));
    ck_assert(!peft_inject(model, ia3, config.options, targets, 1, &adapters, NULL, &error));
    ck_assert(!peft_adapter_save(model, adapters, targets, scratch("one"), &error));
    unload(adapters);
    json_t *root;
    ck_assert(!peft_json_load(scratch("one/adapter_config.json"), &root, &error));
    ck_assert_ptr_null(json_object_get(root, "layers_to_transform"));
    json_decref(root);
    adapters = load(scratch("one"));
    ck_assert_int_eq(adapters->num_layers, 2);
    ck_assert_ptr_nonnull(peft_adapters_find(adapters, "bert.encoder.layer.1.attention.self.query"));
    unload(adapters);

    ck_assert(!peft_options_set_text(peft_target_option_table, targets, "bias", "all", NULL));
    ck_assert_int_eq(peft_inject(model, ia3, config.options, targets, 1, &adapters, NULL, &error),
                     PEFT_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "bias: files of ia3 have no place for \"all\": expected none"));
    peft_adapter_config_free(&config);
}
END_TEST

START_TEST(a_model_without_its_head_leaves_the_heads_tensors_out)
{
    peft_model_close(model);
    open_model(true);
    peft_load_options options = {.notes = json_array()};
    peft_adapters *adapters;
    ck_assert_msg(!peft_adapter_load(model, golden("rslora"), &options, &adapters, NULL, &error), "%s", error.message);
    ck_assert_uint_eq(json_array_size(options.notes), 2);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(options.notes, 0)), "classifier.bias: left out"));
    json_decref(options.notes);
    unload(adapters);
}
END_TEST

/* ---- folders changed on the way ---- */

enum { MAX_TENSORS = 64 };

/* A golden adapter in memory of its own, to be changed and written as another folder. */
typedef struct copy {
    peft_safetensors *file;
    peft_file_tensor tensors[MAX_TENSORS];
    size_t count;
    json_t *config;
} copy;

static copy copied;

static void read_copy(const char *name)
{
    char path[600];
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", golden(name));
    ck_assert(!peft_safetensors_open(path, &copied.file, &error));
    copied.count = peft_safetensors_count(copied.file);
    for (size_t i = 0; i < copied.count; i++) copied.tensors[i] = *peft_safetensors_at(copied.file, i);
    snprintf(path, sizeof path, "%s/adapter_config.json", golden(name));
    ck_assert(!peft_json_load(path, &copied.config, &error));
}

static const char *write_copy(void)
{
    ck_assert(!peft_make_directories(scratch("changed"), &error));
    ck_assert_msg(!peft_safetensors_write(scratch("changed/adapter_model.safetensors"), copied.tensors, copied.count,
                                          NULL, 0, &error),
                  "%s", error.message);
    ck_assert(!peft_json_save(scratch("changed/adapter_config.json"), copied.config, PEFT_JSON_AS_IS, &error));
    peft_safetensors_close(copied.file);
    json_decref(copied.config);
    return scratch("changed");
}

static peft_file_tensor *tensor_of(const char *end)
{
    for (size_t i = 0; i < copied.count; i++) {
        const char *name = copied.tensors[i].name;
        if (strlen(name) >= strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0)
            return &copied.tensors[i];
    }
    ck_abort_msg("%s: no such tensor", end);
}

static void drop_tensor(void)
{
    *tensor_of("layer.0.attention.self.value.lora_B.weight") = copied.tensors[--copied.count];
}

static void drop_head(void)
{
    *tensor_of("classifier.bias") = copied.tensors[--copied.count];
}

static void add_tensor(void)
{
    peft_file_tensor extra = copied.tensors[0];
    extra.name = "base_model.model.bert.encoder.layer.7.attention.self.value.lora_B.weight";
    copied.tensors[copied.count++] = extra;
}

static void reshape_tensor(void)
{
    tensor_of("layer.0.attention.self.value.lora_B.weight")->shape = peft_shape_2(4, 32);
}

static void poison_tensor(void)
{
    static float values[32 * 4];
    values[17] = NAN;
    tensor_of("layer.0.attention.self.value.lora_B.weight")->data = values;
}

static void use_integers(void)
{
    static const int32_t values[3] = {0};
    peft_file_tensor *t = tensor_of("classifier.bias");
    t->dtype = PEFT_I32;
    t->data = values;
}

static void rename_all(void)
{
    static char names[MAX_TENSORS][300];
    for (size_t i = 0; i < copied.count; i++) {
        snprintf(names[i], sizeof names[i], "base_model.model.other.%s",
                 copied.tensors[i].name + strlen("base_model.model."));
        copied.tensors[i].name = names[i];
    }
}

static void ask_for_other_targets(void)
{
    json_object_set_new(copied.config, "target_modules", json_pack("[s, s]", "q_proj", "v_proj"));
}

static void ask_for_more_targets(void)
{
    json_object_set_new(copied.config, "target_modules", json_pack("[s, s, s]", "query", "value", "key"));
}

static void ask_for_a_missing_module(void)
{
    json_object_set_new(copied.config, "modules_to_save", json_pack("[s, s]", "classifier", "poller"));
}

static void ask_for_an_unmatched_rank(void)
{
    json_object_set_new(copied.config, "rank_pattern", json_pack("{s:i}", "keyy", 3));
}

static void ask_for_another_rank(void)
{
    json_object_set_new(copied.config, "r", json_integer(8));
}

static void ask_for_the_largest_rank(void)
{
    json_object_set_new(copied.config, "r", json_integer(65536));
}

static void exclude_another_module(void)
{
    json_object_set_new(copied.config, "exclude_modules", json_pack("[s]", "keyy"));
}

static void ask_for_another_layer(void)
{
    json_object_set_new(copied.config, "layers_to_transform", json_pack("[i, i, i]", 0, 1, 7));
}

static void ask_for_two_alphas(void)
{
    json_object_set_new(copied.config, "alpha_pattern",
                        json_pack("{s:i, s:i}", "query", 3, "layer.0.attention.self.query", 640));
}

/* As PEFT 0.6 to 0.19 wrote it. */
static void lack_biases(void)
{
    json_object_set_new(copied.config, "bias", json_string("lora_only"));
}

static void add_like(const char *end, const char *name)
{
    peft_file_tensor extra = *tensor_of(end);
    extra.name = name;
    copied.tensors[copied.count++] = extra;
}

static void keep_what_was_before(void)
{
    add_like("classifier.bias", "base_model.model.classifier.original_module.bias");
    add_like("classifier.weight", "base_model.model.classifier.original_module.weight");
    add_like("classifier.bias", "base_model.model.classifier.modules_to_save.bias");
    add_like("classifier.bias", "base_model.model.classifier.modules_to_save.default.bias");
}

/* The name that sorts last is the plain one. */
static void keep_the_wrapped_name_first(void)
{
    add_like("classifier.weight", "base_model.model.classifier.modules_to_save.default.weight");
}

static const struct {
    void (*change)(void);
    peft_status status;
    const char *messages[2];
} broken[] = {
    {drop_tensor,
     PEFT_ERR_FORMAT,
     {"tensors missing: 1: base_model.model.bert.encoder.layer.0.attention.self.value.lora_B.weight", "unexpected: 0"}},
    {drop_head, PEFT_ERR_FORMAT, {"tensors missing: 1: base_model.model.classifier.bias; unexpected: 0"}},
    {add_tensor,
     PEFT_ERR_FORMAT,
     {"tensors missing: 0; unexpected: 1: "
      "base_model.model.bert.encoder.layer.7.attention.self.value.lora_B.weight"}},
    {reshape_tensor,
     PEFT_ERR_FORMAT,
     {"adapter_model.safetensors: base_model.model.bert.encoder.layer.0.attention.self.value.lora_B.weight: expected "
      "[32, 4], found [4, 32]"}},
    {poison_tensor, PEFT_ERR_NUMERIC, {"value.lora_B.weight: element 17 is nan"}},
    {use_integers, PEFT_ERR_DTYPE, {"classifier.bias"}},
    {rename_all,
     PEFT_ERR_FORMAT,
     {"none of its 10 tensors belongs to this bert model", "base_model.model.other.bert.encoder"}},
    {ask_for_more_targets,
     PEFT_ERR_FORMAT,
     {"tensors missing: 4: base_model.model.bert.encoder.layer.0.attention.self.key.lora_A.weight", "key.lora_B"}},
    {ask_for_another_rank, PEFT_ERR_FORMAT, {"expected [8, 32], found [4, 32]"}},
    {ask_for_the_largest_rank, PEFT_ERR_FORMAT, {"expected [65536, 32], found [4, 32]"}},
};

START_TEST(broken_folders_are_refused_and_change_nothing)
{
    const peft_weight *head = weight_of("classifier.weight");
    float before[3 * 32];
    memcpy(before, head->value, sizeof before);
    read_copy("rslora");
    broken[_i].change();
    peft_adapters *adapters;
    ck_assert_int_eq(peft_adapter_load(model, write_copy(), NULL, &adapters, NULL, &error), broken[_i].status);
    for (int i = 0; i < 2 && broken[_i].messages[i]; i++)
        ck_assert_msg(strstr(error.message, broken[_i].messages[i]) != NULL, "found: %s", error.message);
    ck_assert_ptr_null(adapters);
    ck_assert_int_eq(num_attached(), 0);
    ck_assert_mem_eq(head->value, before, sizeof before);
}
END_TEST

static const struct {
    const char *file, *text, *message;
    peft_status status;
} unreadable[] = {
    {NULL, NULL, "adapter_config.json: cannot open", PEFT_ERR_FILE},
    {"adapter_config.json", "{\"peft_type\": \"LORA\"", "adapter_config.json:1:", PEFT_ERR_FORMAT},
    {"adapter_config.json", "{\"peft_type\": \"LORA\"}", "adapter_model.safetensors: cannot open", PEFT_ERR_FILE},
};

START_TEST(missing_and_malformed_files_are_named)
{
    peft_adapters *adapters;
    char name[64];
    ck_assert(!peft_make_directories(scratch("folder"), &error));
    if (unreadable[_i].file) {
        snprintf(name, sizeof name, "folder/%s", unreadable[_i].file);
        scratch_write(name, unreadable[_i].text, strlen(unreadable[_i].text));
    }
    ck_assert_int_eq(peft_adapter_load(model, scratch("folder"), NULL, &adapters, NULL, &error), unreadable[_i].status);
    ck_assert_msg(strstr(error.message, unreadable[_i].message) != NULL, "found: %s", error.message);
    ck_assert_int_eq(num_attached(), 0);
}
END_TEST

static const char *shorter(const char *name)
{
    static char names[MAX_TENSORS][300];
    static size_t next;
    const char *at = strstr(name, "model.bert.");
    if (!at) return name;
    char *text = names[next++ % MAX_TENSORS];
    snprintf(text, sizeof names[0], "base_model.model.%s", at + strlen("model.bert."));
    return text;
}

START_TEST(names_of_the_bare_encoder_are_taken_and_noted)
{
    peft_load_options options = {.notes = json_array()};
    peft_adapters *adapters;
    read_copy("rslora");
    for (size_t i = 0; i < copied.count; i++) copied.tensors[i].name = shorter(copied.tensors[i].name);
    ck_assert_msg(!peft_adapter_load(model, write_copy(), &options, &adapters, NULL, &error), "%s", error.message);
    ck_assert_uint_eq(json_array_size(options.notes), 1);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(options.notes, 0)), "its modules lack \"bert.\""));
    const peft_adapter *a = peft_adapters_find(adapters, "bert.encoder.layer.0.attention.self.query");
    ck_assert_ptr_nonnull(a);
    ck_assert(a->values[1].data[0] < 0 || a->values[1].data[0] > 0); /* B starts at zero and was filled */
    unload(adapters);
    json_decref(options.notes);
}
END_TEST

START_TEST(full_weights_beyond_the_list_are_taken_and_noted)
{
    peft_load_options options = {.notes = json_array()};
    peft_adapters *adapters;
    static float values[120 * 32];
    values[0] = 5;
    read_copy("rslora");
    copied.tensors[copied.count++] = (peft_file_tensor){"base_model.model.bert.embeddings.word_embeddings.weight",
                                                        PEFT_F32,
                                                        peft_shape_2(120, 32),
                                                        values,
                                                        sizeof values,
                                                        NULL};
    ck_assert_msg(!peft_adapter_load(model, write_copy(), &options, &adapters, NULL, &error), "%s", error.message);
    ck_assert_uint_eq(json_array_size(options.notes), 1);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(options.notes, 0)), "a full weight (15360 bytes)"));
    ck_assert(weight_of("bert.embeddings.word_embeddings.weight")->value[0] == 5);
    unload(adapters);
    json_decref(options.notes);
}
END_TEST

/* The tensors say what is adapted: settings that do not change it are noted. */
static void exclude_an_adapted_module(void)
{
    json_object_set_new(copied.config, "exclude_modules", json_pack("[s]", "query"));
}

static const struct {
    void (*change)(void);
    const char *notes[2];
} passed_over[] = {
    {exclude_an_adapted_module, {"the settings leave out bert.encoder.layer.1.attention.self.query, but its tensors"}},
    {ask_for_other_targets, {"target_modules: \"q_proj\" matches no linear", "target_modules: \"v_proj\""}},
    {exclude_another_module, {"exclude_modules: \"keyy\" matches no linear layer"}},
    {ask_for_another_layer, {"layers_to_transform: \"7\" matches no linear layer"}},
    {ask_for_a_missing_module, {"modules_to_save: the model has no module \"poller\""}},
    {ask_for_an_unmatched_rank, {"rank_pattern: \"keyy\" matches no adapted module"}},
    {ask_for_two_alphas,
     {"both \"query\" and \"layer.0.attention.self.query\" match bert.encoder.layer.0.attention.self.query"}},
    {lack_biases, {"has none of the biases that bias \"lora_only\" trains"}},
    {keep_what_was_before, {NULL}},
    {keep_the_wrapped_name_first, {NULL}},
};

START_TEST(what_the_tensors_do_not_bear_out_is_noted)
{
    peft_load_options options = {.notes = json_array()};
    peft_adapters *adapters;
    size_t count = 0;
    read_copy("rslora");
    passed_over[_i].change();
    const char *folder = write_copy();
    ck_assert_msg(!peft_adapter_load(model, folder, &options, &adapters, NULL, &error), "%s", error.message);
    ck_assert_int_eq(adapters->num_layers, 4);
    for (; count < 2 && passed_over[_i].notes[count]; count++) {
        const char *note = json_string_value(json_array_get(options.notes, count));
        ck_assert_msg(note && strstr(note, passed_over[_i].notes[count]), "found: %s", note ? note : "no note");
    }
    ck_assert_uint_eq(json_array_size(options.notes), count);
    unload(adapters);
    options.strict = true;
    ck_assert_int_eq(peft_adapter_load(model, folder, &options, &adapters, NULL, &error),
                     count ? PEFT_ERR_UNSUPPORTED : PEFT_OK);
    unload(adapters);
    ck_assert_int_eq(num_attached(), 0);
    json_decref(options.notes);
}
END_TEST

/* transformers draws a pooler for a RoBERTa that has none in its files, and PEFT adapts it; nothing depends on it. */
START_TEST(tensors_of_a_pooler_that_the_model_lacks_are_left_out)
{
    static const char *const of_roberta = "base_model.model.roberta.pooler.dense.lora_A.weight";
    static const char *const of_bert = "base_model.model.bert.pooler.dense.lora_C.weight";
    peft_load_options options = {.notes = json_array()};
    peft_adapters *adapters;
    read_copy("rslora");
    add_like("layer.0.attention.self.value.lora_A.weight", of_bert);
    ck_assert_int_eq(peft_adapter_load(model, write_copy(), NULL, &adapters, NULL, &error), PEFT_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, of_bert));
    peft_model_close(model);
    ck_assert_msg(!peft_model_open(&model, fixture("models", "roberta", ""), NULL, &error), "%s", error.message);
    read_copy("../models/roberta");
    add_like("layer.0.attention.self.value.lora_A.weight", of_roberta);
    ck_assert_msg(!peft_adapter_load(model, write_copy(), &options, &adapters, NULL, &error), "%s", error.message);
    ck_assert_int_eq(adapters->num_layers, 4);
    ck_assert_uint_eq(json_array_size(options.notes), 1);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(options.notes, 0)), "the model has no pooler"));
    unload(adapters);
    json_decref(options.notes);
}
END_TEST

/* Hidden states are the same whatever an adapter was trained for. */
START_TEST(the_head_of_another_task_is_left_out_where_the_model_has_none)
{
    peft_adapters *adapters;
    for (int without_head = 0; without_head < 2; without_head++) {
        peft_load_options options = {.notes = json_array()};
        peft_model_close(model);
        open_model(without_head);
        read_copy("rslora");
        add_like("classifier.weight", "base_model.model.cls.predictions.decoder.lora_A.weight");
        const char *folder = write_copy();
        ck_assert_int_eq(peft_adapter_load(model, folder, &options, &adapters, NULL, &error),
                         without_head ? PEFT_OK : PEFT_ERR_FORMAT);
        if (!without_head) ck_assert_ptr_nonnull(strstr(error.message, "unexpected: 1: base_model.model.cls."));
        ck_assert_uint_eq(json_array_size(options.notes), without_head ? 3 : 0);
        unload(adapters);
        json_array_clear(options.notes);
        options.hidden_only = true;
        (void)peft_adapter_load(model, folder, &options, &adapters, NULL, &error);
        ck_assert_uint_eq(json_array_size(options.notes), 0);
        unload(adapters);
        json_decref(options.notes);
    }
    read_copy("rslora"); /* layers of another model are no head */
    add_like("classifier.weight", "base_model.model.roberta.encoder.layer.0.output.dense.lora_A.weight");
    ck_assert_int_eq(peft_adapter_load(model, write_copy(), NULL, &adapters, NULL, &error), PEFT_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "unexpected: 1: base_model.model.roberta."));
}
END_TEST

/* LoRA on the classifier and nothing else. */
START_TEST(an_adapter_of_the_head_alone_is_none_without_it)
{
    peft_adapters *adapters;
    read_copy("rslora");
    copied.tensors[0] = *tensor_of("layer.0.attention.self.query.lora_A.weight");
    copied.tensors[0].name = "base_model.model.classifier.lora_A.weight";
    copied.count = 1;
    json_object_set_new(copied.config, "target_modules", json_pack("[s]", "classifier"));
    json_object_set_new(copied.config, "modules_to_save", json_null());
    const char *folder = write_copy();
    peft_model_close(model);
    open_model(true);
    peft_load_options options = {.strict = true, .hidden_only = true};
    ck_assert_msg(!peft_adapter_load(model, folder, &options, &adapters, NULL, &error), "%s", error.message);
    ck_assert_ptr_null(adapters);
}
END_TEST

START_TEST(half_precision_is_read_exactly)
{
    static const uint16_t halves[3] = {0x3F80, 0xC000, 0x0000}; /* BF16: 1, -2, 0 */
    read_copy("rslora");
    peft_file_tensor *t = tensor_of("classifier.bias");
    t->dtype = PEFT_BF16;
    t->data = halves;
    t->bytes = sizeof halves;
    peft_adapters *adapters = load(write_copy());
    const float *bias = weight_of("classifier.bias")->value;
    ck_assert(bias[0] == 1 && bias[1] == -2 && bias[2] == 0);
    unload(adapters);
}
END_TEST

START_TEST(a_second_adapter_on_the_same_layers_is_refused)
{
    peft_adapters *adapters = load(golden("rslora")), *second;
    ck_assert_int_eq(peft_adapter_load(model, golden("lora-all"), NULL, &second, NULL, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "this layer has an adapter"));
    ck_assert_int_eq(num_attached(), 4);
    unload(adapters);
    ck_assert_int_eq(num_attached(), 0);
}
END_TEST

/* A folder that cannot be written keeps what it held. */
START_TEST(a_failed_save_leaves_the_old_files)
{
    peft_adapters *adapters = load(golden("rslora"));
    ck_assert(!peft_adapter_save(model, adapters, NULL, scratch("kept"), &error));
    ck_assert(!peft_make_directories(scratch("kept/.peft-new-adapter_config.json.tmp/x"), &error));
    adapters->set.memory[0] += 1;
    ck_assert_int_ne(peft_adapter_save(model, adapters, NULL, scratch("kept"), &error), PEFT_OK);
    unload(adapters);
    adapters = load(golden("rslora"));
    ck_assert(!peft_adapter_save(model, adapters, NULL, scratch("fresh"), &error));
    check_same_bytes(scratch("kept/adapter_model.safetensors"), scratch("fresh/adapter_model.safetensors"));
    unload(adapters);
}
END_TEST

START_TEST(failing_allocations_leave_nothing_behind)
{
    const char *folder = golden("layers"), *out = scratch("out");
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_adapters *adapters;
        fail_allocation(call);
        peft_status status = peft_adapter_load(model, folder, NULL, &adapters, NULL, NULL);
        if (status == PEFT_OK) status = peft_adapter_save(model, adapters, NULL, out, NULL);
        failed = allocation_failed();
        /* jansson takes a document for malformed, or drops letters of a long key, where its buffer cannot grow. */
        ck_assert_msg(failed || status == PEFT_OK, "without a failure: %s", peft_status_text(status));
        unload(adapters);
        ck_assert_int_eq(num_attached(), 0);
    }
}
END_TEST

static int num_variants(void)
{
    int count = 0;
    while (peft_variant_at((size_t)count)) count++;
    return count;
}

TEST_MAIN(
    "adapter_folder", tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, what_peft_wrote_is_read_and_written_again, 0, NUM_GOLDENS);
    tcase_add_loop_test(tc, every_variant_is_read_as_it_was_written, 0, num_variants());
    tcase_add_test(tc, ranks_and_scales_follow_the_patterns); tcase_add_test(tc, patterns_that_meet_become_names);
    tcase_add_test(tc, patterns_that_do_not_meet_are_written_as_given); tcase_add_test(tc, shapes_decide_between_ranks);
    tcase_add_loop_test(tc, expressions_that_mean_other_modules_become_names, 0,
                        sizeof expressions / sizeof *expressions);
    tcase_add_test(tc, all_linear_becomes_names_where_one_is_saved_in_full);
    tcase_add_test(tc, layers_to_transform_leave_the_others_alone); tcase_add_test(tc, a_head_alone_is_a_folder_too);
    tcase_add_loop_test(tc, biases_are_saved_under_their_places, 0, 2);
    tcase_add_test(tc, what_a_file_has_no_field_for_is_written_otherwise_or_refused);
    tcase_add_test(tc, a_model_without_its_head_leaves_the_heads_tensors_out);
    tcase_add_loop_test(tc, broken_folders_are_refused_and_change_nothing, 0, sizeof broken / sizeof *broken);
    tcase_add_loop_test(tc, missing_and_malformed_files_are_named, 0, sizeof unreadable / sizeof *unreadable);
    tcase_add_test(tc, names_of_the_bare_encoder_are_taken_and_noted);
    tcase_add_test(tc, full_weights_beyond_the_list_are_taken_and_noted);
    tcase_add_loop_test(tc, what_the_tensors_do_not_bear_out_is_noted, 0, sizeof passed_over / sizeof *passed_over);
    tcase_add_test(tc, tensors_of_a_pooler_that_the_model_lacks_are_left_out);
    tcase_add_test(tc, the_head_of_another_task_is_left_out_where_the_model_has_none);
    tcase_add_test(tc, an_adapter_of_the_head_alone_is_none_without_it);
    tcase_add_test(tc, half_precision_is_read_exactly);
    tcase_add_test(tc, a_second_adapter_on_the_same_layers_is_refused);
    tcase_add_test(tc, a_failed_save_leaves_the_old_files);
    tcase_add_test(tc, failing_allocations_leave_nothing_behind))
