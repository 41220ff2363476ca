/* Start values from training data: those of PEFT on the same data, whatever the number of threads and passes; and what
 * becomes of ranks that are handed out anew. */
#include "peft/calibrate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/safetensors.h"
#include "peft/adapter_folder.h"
#include "peft/inject.h"
#include "tests/io/scratch.h"
#include "tests/peft/tiny_bert.h"
#include "tests/support/main.h"
#include "variants/lora.h"

enum { EXAMPLES = 24, LENGTH = 10, RANK = 4 };

static peft_error error;

/* The inputs of goldens/train/lora.json, from which PEFT's start values were computed. */
static struct {
    peft_tokens tokens;
    int64_t offsets[EXAMPLES + 1];
    int32_t ids[EXAMPLES * LENGTH], types[EXAMPLES * LENGTH];
    int32_t classes[EXAMPLES];
} data;

static peft_model *model;
static peft_adapters *adapters;
static peft_safetensors *expected; /* goldens/starts */

static void setup(void)
{
    json_t *document;
    scratch_setup();
    ck_assert_msg(!peft_json_load(tiny_golden("train/lora.json"), &document, &error), "%s", error.message);
    for (size_t s = 0; s < EXAMPLES; s++) {
        const json_t *ids = json_array_get(json_object_get(document, "input_ids"), s);
        for (size_t k = 0; k < LENGTH; k++)
            data.ids[s * LENGTH + k] = (int32_t)json_integer_value(json_array_get(ids, k));
        data.classes[s] = (int32_t)json_integer_value(json_array_get(json_object_get(document, "labels"), s));
        data.offsets[s + 1] = (int64_t)(s + 1) * LENGTH;
    }
    json_decref(document);
    data.tokens = (peft_tokens){.count = EXAMPLES,
                                .offsets = data.offsets,
                                .input_ids = data.ids,
                                .token_type_ids = data.types,
                                .classes = data.classes,
                                .longest = LENGTH};
    ck_assert_msg(!peft_safetensors_open(tiny_golden("starts/starts.safetensors"), &expected, &error), "%s",
                  error.message);
    model = tiny_open();
}

static void unload(void)
{
    peft_detach(model, adapters);
    peft_adapters_free(adapters);
    adapters = NULL;
}

static void teardown(void)
{
    unload();
    peft_model_close(model);
    peft_safetensors_close(expected);
    scratch_teardown();
}

static void set(const peft_variant *variant, void *options, const char *name, const char *value)
{
    ck_assert_msg(!peft_options_set_text(variant->options, options, name, value, &error), "%s", error.message);
}

typedef struct request {
    const char *variant, *init, *targets;
    const char *option, *value; /* one more, or NULL */
    int64_t examples, most_numbers;
    int threads;
} request;

/* Adapters of rank 4 and alpha 6 on the layers that `targets` says, with their start values. */
static peft_status start(const request *r)
{
    const peft_variant *variant = peft_variant_find(r->variant);
    peft_adapter_config config;
    peft_train_options options;
    peft_context *ctx;
    ck_assert(!peft_adapter_config_init(&config, variant, &error));
    set(variant, config.options, "rank", "4");
    set(variant, config.options, "alpha", "6");
    set(variant, config.options, "init", r->init);
    if (r->option) set(variant, config.options, r->option, r->value);
    config.targets.target_modules = json_string(r->targets);
    ck_assert_msg(!peft_inject(model, variant, config.options, &config.targets, 3, &adapters, NULL, &error), "%s",
                  error.message);
    ck_assert(!peft_options_init(peft_train_option_table, &options, &error));
    options.batch_size = 8;
    ck_assert(!peft_context_open(&ctx, &(peft_context_options){.threads = r->threads}, &error));
    peft_tokens tokens = data.tokens;
    tokens.count = r->examples;
    const peft_calibration calibration = {ctx, model, &options, &tokens, false, r->most_numbers};
    size_t bytes;
    peft_status status = peft_calibrate(&calibration, &adapters, &bytes, &error);
    peft_context_close(ctx);
    peft_options_free(peft_train_option_table, &options);
    peft_adapter_config_free(&config);
    return status;
}

static void begin(const request *r)
{
    ck_assert_msg(!start(r), "%s: %s", r->init, error.message);
}

static const peft_file_tensor *find(const char *prefix, const char *module, const char *end)
{
    char name[256];
    snprintf(name, sizeof name, "%s.%s%s", prefix, module, end);
    return peft_safetensors_find(expected, name);
}

/* ---- PEFT's values ---- */

static const char three_kinds[] = ".*(query|value|intermediate\\.dense)", all_six[] = "bert\\.encoder\\..*",
                  six_but_keys[] = "bert\\.encoder\\..*(query|value|dense)", keys_and_values[] = ".*(key|value)";

static double dot(const float *a, const float *b, int64_t count, int64_t stride)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)a[i * stride] * (double)b[i * stride];
    return sum;
}

/* Singular vectors have no sign of their own. */
static void check_parallel(const float *found, const float *wanted, int64_t count, int64_t stride)
{
    double length = sqrt(dot(wanted, wanted, count, stride)), cross = dot(found, wanted, count, stride);
    ck_assert_double_eq_tol(sqrt(dot(found, found, count, stride)), length, 1e-3 * length);
    ck_assert_double_ge(fabs(cross), 0.999 * length * length);
}

START_TEST(lora_ga_is_that_of_peft)
{
    begin(&(request){"lora", "lora_ga", three_kinds, NULL, NULL, EXAMPLES, 0, 1});
    ck_assert_int_eq(adapters->num_layers, 6);
    for (int64_t l = 0; l < adapters->num_layers; l++) {
        const peft_adapter *a = &adapters->layers[l];
        const float *A = find("lora_ga", a->module, ".lora_A.weight")->data;
        const float *B = find("lora_ga", a->module, ".lora_B.weight")->data;
        for (int64_t j = 0; j < RANK; j++) {
            const int64_t row = j * a->in_features;
            check_parallel(a->values[PEFT_LORA_A].data + row, A + row, a->in_features, 1);
            check_parallel(a->values[PEFT_LORA_B].data + j, B + j, a->out_features, RANK);
        }
    }
}
END_TEST

static const char *const corda_methods[] = {"ipm", "kpm"};

/* The product does not depend on the units of C. PEFT inverts C in single precision. */
START_TEST(corda_takes_what_peft_takes)
{
    const double tolerance = 2e-3;
    char prefix[32];
    snprintf(prefix, sizeof prefix, "corda_%s", corda_methods[_i]);
    begin(&(request){"lora", "corda", three_kinds, "corda_method", corda_methods[_i], 1, 0, 1});
    for (int64_t l = 0; l < adapters->num_layers; l++) {
        const peft_adapter *a = &adapters->layers[l];
        const float *A = a->values[PEFT_LORA_A].data, *B = a->values[PEFT_LORA_B].data;
        const float *product = find(prefix, a->module, "")->data;
        double largest = 0;
        for (int64_t k = 0; k < a->in_features * a->out_features; k++)
            largest = fmax(largest, fabs((double)product[k]));
        for (int64_t o = 0; o < a->out_features; o++)
            for (int64_t i = 0; i < a->in_features; i++) {
                double sum = 0;
                for (int64_t j = 0; j < RANK; j++) sum += (double)B[o * RANK + j] * (double)A[j * a->in_features + i];
                ck_assert_double_eq_tol(sum, (double)product[o * a->in_features + i], tolerance * largest);
            }
    }
}
END_TEST

/* The axes in double, from the inputs that PEFT's model has. */
START_TEST(eva_finds_the_principal_axes_and_hands_out_ranks)
{
    int64_t ranks = 0;
    begin(&(request){"lora", "eva", six_but_keys, NULL, NULL, EXAMPLES, 0, 1});
    for (int64_t l = 0; l < adapters->num_layers; l++) {
        const peft_adapter *a = &adapters->layers[l];
        ranks += a->rank;
        const peft_file_tensor *axes = find("eva", a->module, "");
        ck_assert_msg(axes && axes->shape.size[0] == a->rank, "%s: rank %lld", a->module, (long long)a->rank);
        for (int64_t k = 0; k < a->rank * a->in_features; k++)
            ck_assert_double_eq_tol((double)a->values[PEFT_LORA_A].data[k], (double)((const float *)axes->data)[k],
                                    1e-3);
    }
    ck_assert_int_eq(ranks, RANK * adapters->num_layers);
}
END_TEST

/* ---- what is true of all ---- */

static const char *const starts[] = {"eva", "corda", "lora_ga"}, *const kinds[] = {"lora", "rslora"};
static const char *const some_layers[] = {all_six, keys_and_values};
enum { NUM_STARTS = 3, NUM_KINDS = 2, NUM_TARGETS = 2, NUM_ALL = NUM_STARTS * NUM_KINDS * NUM_TARGETS };

START_TEST(the_model_starts_as_it_is)
{
    float before[TINY_LOGITS], after[TINY_LOGITS];
    tiny_logits(model, before);
    const char *kind = kinds[_i % NUM_KINDS], *layers = some_layers[_i / NUM_KINDS % NUM_TARGETS];
    begin(&(request){kind, starts[_i / NUM_KINDS / NUM_TARGETS], layers, NULL, NULL, EXAMPLES, 0, 1});
    tiny_logits(model, after);
    for (int k = 0; k < TINY_LOGITS; k++) ck_assert_double_eq_tol((double)after[k], (double)before[k], 1e-5);
}
END_TEST

static peft_status append_values(void *argument, const char *module, peft_value *value, peft_error *failure)
{
    FILE *file = argument;
    (void)module;
    (void)failure;
    fwrite(value->data, sizeof(float), (size_t)peft_shape_count(&value->spec.shape), file);
    return PEFT_OK;
}

/* All values as bytes; the caller frees them. */
static char *take_values(size_t *bytes)
{
    char *values = NULL;
    FILE *file = open_memstream(&values, bytes);
    peft_adapters_each_value(adapters, append_values, file, NULL);
    fclose(file);
    unload();
    return values;
}

START_TEST(threads_and_passes_change_no_bit)
{
    size_t bytes, other_bytes;
    const request once = {"lora", starts[_i], all_six, NULL, NULL, EXAMPLES, 0, 1};
    request other = once;
    begin(&once);
    char *values = take_values(&bytes);
    static const struct {
        int threads;
        int64_t most_numbers; /* 3000: a layer or two at a time */
    } changes[] = {{2, 0}, {1, 3000}, {5, 3000}};
    for (int change = 0; change < 3; change++) {
        other.threads = changes[change].threads;
        other.most_numbers = changes[change].most_numbers;
        begin(&other);
        char *same = take_values(&other_bytes);
        ck_assert_uint_eq(bytes, other_bytes);
        ck_assert_mem_eq(values, same, bytes);
        free(same);
    }
    free(values);
}
END_TEST

static void save_and_load(const char *folder, peft_target_options *targets)
{
    ck_assert_msg(!peft_adapter_save(model, adapters, targets, folder, &error), "%s", error.message);
    unload();
    ck_assert_msg(!peft_adapter_load(model, folder, NULL, &adapters, NULL, &error), "%s", error.message);
}

START_TEST(files_are_right_on_the_unchanged_model)
{
    float before[TINY_LOGITS], after[TINY_LOGITS];
    peft_target_options targets = {.target_modules = json_string(all_six), .bias = (char[]){"none"}};
    json_t *config;
    begin(&(request){"lora", starts[_i], all_six, NULL, NULL, EXAMPLES, 0, 1});
    for (int64_t i = 0; i < adapters->set.num_trained; i++) adapters->set.memory[i] += 0.1F * (float)(i % 7 - 3);
    tiny_logits(model, before);
    save_and_load(scratch("run"), &targets);
    tiny_logits(model, after);
    for (int k = 0; k < TINY_LOGITS; k++) ck_assert_double_eq_tol((double)after[k], (double)before[k], 1e-5);
    ck_assert(!peft_json_load(scratch("run/adapter_config.json"), &config, &error));
    const json_t *init = json_object_get(config, "init_lora_weights");
    ck_assert(_i == 0 ? json_is_string(init) : json_is_true(init));
    /* The expression meets LayerNorms, too, which PEFT would refuse. */
    ck_assert_uint_eq(json_array_size(json_object_get(config, "target_modules")), (size_t)adapters->num_layers);
    const json_t *eva = json_object_get(config, "eva_config");
    ck_assert(_i == 0 ? json_number_value(json_object_get(eva, "rho")) > 1 : json_is_null(eva));
    json_decref(config);
    json_decref(targets.target_modules);
}
END_TEST

/* ---- ranks ---- */

START_TEST(eva_may_leave_ranks_alone)
{
    begin(&(request){"lora", "eva", all_six, "eva_rho", "1", EXAMPLES, 0, 1});
    for (int64_t l = 0; l < adapters->num_layers; l++) ck_assert_int_eq(adapters->layers[l].rank, RANK);
}
END_TEST

START_TEST(the_scale_does_not_change_with_the_rank)
{
    int64_t others = 0;
    begin(&(request){"lora", "eva", all_six, NULL, NULL, EXAMPLES, 0, 1});
    for (int64_t l = 0; l < adapters->num_layers; l++) {
        ck_assert_double_eq(adapters->layers[l].scaling, 1.5);
        ck_assert_int_le(adapters->layers[l].rank, 2 * RANK);
        others += adapters->layers[l].rank != RANK;
    }
    ck_assert_int_gt(others, 0);
}
END_TEST

/* Of one sequence the two layers behind the encoder see one token, which has no variance. */
START_TEST(a_layer_that_gets_no_rank_is_left_out)
{
    float before[TINY_LOGITS], after[TINY_LOGITS];
    peft_target_options targets = {.target_modules = json_string("all-linear"), .bias = (char[]){"none"}};
    begin(&(request){"lora", "eva", "all-linear", NULL, NULL, 1, 0, 1});
    ck_assert_int_eq(adapters->num_layers, 12);
    ck_assert_ptr_null(peft_adapters_find(adapters, "bert.pooler.dense"));
    for (int64_t i = 0; i < adapters->set.num_trained; i++) adapters->set.memory[i] += 0.1F * (float)(i % 7 - 3);
    tiny_logits(model, before);
    save_and_load(scratch("run"), &targets);
    ck_assert_int_eq(adapters->num_layers, 12);
    tiny_logits(model, after);
    for (int k = 0; k < TINY_LOGITS; k++) ck_assert_double_eq_tol((double)after[k], (double)before[k], 1e-5);
    json_decref(targets.target_modules);
}
END_TEST

START_TEST(dora_takes_ranks_too)
{
    float before[TINY_LOGITS], after[TINY_LOGITS];
    tiny_logits(model, before);
    begin(&(request){"dora", "eva", all_six, NULL, NULL, EXAMPLES, 0, 1});
    tiny_logits(model, after);
    for (int k = 0; k < TINY_LOGITS; k++) ck_assert_double_eq_tol((double)after[k], (double)before[k], 1e-5);
    ck_assert_int_eq(adapters->layers[0].num_values, 4);
}
END_TEST

/* ---- failures ---- */

START_TEST(what_cannot_be_started_stays_as_it_was)
{
    const request r = {"lora", "corda", all_six, "alpha", "-1", EXAMPLES, 0, 1 + _i};
    ck_assert_int_eq(start(&r), PEFT_ERR_ARGUMENT);
    ck_assert_msg(
        strstr(error.message, "bert.encoder.layer.0.attention.self.query: init: expected an alpha above 0, found -1") !=
            NULL,
        "%s", error.message);
    int64_t count;
    const peft_linear_layer *linears = peft_model_linears(model, &count);
    ck_assert_ptr_eq(linears[0].adapter, &adapters->layers[0]);
}
END_TEST

START_TEST(other_starts_do_not_look_at_data)
{
    begin(&(request){"lora", "pissa", all_six, NULL, NULL, EXAMPLES, 0, 1});
    size_t bytes, other_bytes;
    char *values = take_values(&bytes);
    begin(&(request){"lora", "pissa", all_six, NULL, NULL, 1, 0, 1});
    char *others = take_values(&other_bytes);
    ck_assert(bytes == other_bytes && memcmp(values, others, bytes) == 0);
    free(values);
    free(others);
}
END_TEST

TEST_MAIN("calibrate", tcase_add_checked_fixture(tc, setup, teardown); tcase_add_test(tc, lora_ga_is_that_of_peft);
          tcase_add_loop_test(tc, corda_takes_what_peft_takes, 0, 2);
          tcase_add_test(tc, eva_finds_the_principal_axes_and_hands_out_ranks);
          tcase_add_loop_test(tc, the_model_starts_as_it_is, 0, NUM_ALL);
          tcase_add_loop_test(tc, threads_and_passes_change_no_bit, 0, NUM_STARTS);
          tcase_add_loop_test(tc, files_are_right_on_the_unchanged_model, 0, NUM_STARTS);
          tcase_add_test(tc, eva_may_leave_ranks_alone); tcase_add_test(tc, the_scale_does_not_change_with_the_rank);
          tcase_add_test(tc, a_layer_that_gets_no_rank_is_left_out); tcase_add_test(tc, dora_takes_ranks_too);
          tcase_add_loop_test(tc, what_cannot_be_started_stays_as_it_was, 0, 2);
          tcase_add_test(tc, other_starts_do_not_look_at_data))
