/* Generators as folders: what was saved makes the same adapters, of every variant, and these are ordinary ones. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "ops/ops.h"
#include "ops/rng.h"
#include "peft/adapter_folder.h"
#include "peft/convert.h"
#include "peft/generator.h"
#include "peft/inject.h"
#include "peft/merge.h"
#include "tests/io/scratch.h"
#include "tests/peft/tiny_bert.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

enum { VECTOR = 6, TASKS = 3 };

static const char *const names[] = {"dogs", "cats", "a third"};

/* A network for adapters of a variant on the tiny model, and its folder. */
typedef struct made {
    peft_model *model;
    peft_adapters *adapters;
    peft_t2l net;
    float vectors[TASKS * VECTOR];
    peft_generator_task tasks[TASKS];
} made;

static int num_variants(void)
{
    int count = 0;
    while (peft_variant_at((size_t)count)) count++;
    return count;
}

static void set(const peft_option *table, void *values, const char *name, const char *text)
{
    peft_error error = {0};
    ck_assert_msg(!peft_options_find(table, name) || !peft_options_set_text(table, values, name, text, &error), "%s",
                  error.message);
}

static void open_adapters(made *m, const peft_variant *variant)
{
    peft_error error = {0};
    void *options = calloc(1, variant->options_bytes);
    ck_assert(!peft_variant_options_init(variant, options, &error));
    set(variant->options, options, "rank", "2");
    ck_assert_msg(!peft_inject(m->model, variant, options, NULL, 3, &m->adapters, NULL, &error), "%s", error.message);
    peft_options_free(variant->options, options);
    free(options);
}

static void open_made(made *m, const peft_variant *variant, const char *head, const char *start)
{
    peft_error error = {0};
    peft_t2l_options options;
    *m = (made){.model = tiny_open()};
    open_adapters(m, variant);
    ck_assert(!peft_options_init(peft_t2l_option_table, &options, &error));
    set(peft_t2l_option_table, &options, "head", head);
    set(peft_t2l_option_table, &options, "start", start);
    options.latent_size = 8;
    options.head_size = 6;
    ck_assert_msg(!peft_t2l_create(&m->net, &options, m->adapters, VECTOR, 7, &error), "%s", error.message);
    peft_options_free(peft_t2l_option_table, &options);
    peft_random_normal(m->vectors, TASKS * VECTOR, 0, 1, 1, peft_stream("vectors"));
    for (int k = 0; k < TASKS; k++) m->tasks[k] = (peft_generator_task){names[k], "a description"};
}

static void close_made(made *m)
{
    peft_t2l_free(&m->net);
    peft_adapters_free(m->adapters);
    peft_model_close(m->model);
}

static void save(const made *m, const char *folder)
{
    peft_error error = {0};
    const peft_generator_about about = {
        .encoder = "minilm", .tasks = m->tasks, .num_tasks = TASKS, .vectors = m->vectors};
    ck_assert_msg(!peft_generator_save(folder, &m->net, m->model, NULL, &about, &error), "%s", error.message);
}

static peft_generator *open_generator(const char *folder)
{
    peft_error error = {0};
    peft_generator *generator;
    ck_assert_msg(!peft_generator_open(&generator, folder, &error), "%s", error.message);
    return generator;
}

/* Where adapter `index` goes. */
typedef struct destination {
    peft_generator *generator;
    const char *folder;
    int64_t made;
} destination;

static peft_status write_one(void *argument, int64_t index, peft_error *error)
{
    destination *d = argument;
    char path[1024];
    ck_assert_int_eq(index, d->made++);
    snprintf(path, sizeof path, "%s/%d", d->folder, (int)index);
    return peft_generator_write(d->generator, path, error);
}

static void make(peft_generator *generator, const float *vectors, int64_t count, const char *folder, int threads)
{
    peft_error error = {0};
    peft_context *ctx;
    const peft_context_options options = {.threads = threads};
    destination d = {generator, folder, 0};
    ck_assert(!peft_context_open(&ctx, &options, &error));
    ck_assert_msg(!peft_generator_make(generator, ctx, vectors, count, write_one, &d, &error), "%s", error.message);
    ck_assert_int_eq(d.made, count);
    peft_context_close(ctx);
}

static void check_same_file(const char *a, const char *b, const char *name)
{
    char path[2][1024];
    peft_mapped_file files[2];
    snprintf(path[0], sizeof path[0], "%s/%s", a, name);
    snprintf(path[1], sizeof path[1], "%s/%s", b, name);
    for (int k = 0; k < 2; k++) ck_assert(!peft_file_map(path[k], &files[k], NULL));
    ck_assert_uint_eq(files[0].bytes, files[1].bytes);
    ck_assert_mem_eq(files[0].data, files[1].data, files[0].bytes);
    for (int k = 0; k < 2; k++) peft_file_unmap(&files[k]);
}

/* ---- the adapters ---- */

static void logits_with(const char *folder, float logits[TINY_LOGITS])
{
    peft_error error = {0};
    peft_adapters *adapters;
    peft_model *model = tiny_open();
    ck_assert_msg(!peft_adapter_load(model, folder, NULL, &adapters, NULL, &error), "%s", error.message);
    tiny_logits(model, logits);
    peft_detach(model, adapters);
    peft_adapters_free(adapters);
    peft_model_close(model);
}

static void check_logits(const char *what, const float *found, const float *expected)
{
    for (int i = 0; i < TINY_LOGITS; i++)
        ck_assert_msg(fabs((double)(found[i] - expected[i])) <= 1e-5 * (1 + fabs((double)expected[i])),
                      "%s: logit %d: expected %.9g, found %.9g", what, i, (double)expected[i], (double)found[i]);
}

/* What the network in memory emits for a task becomes the values of its adapters, which are on the model. */
static void emit_into_model(made *m, int task)
{
    enum { MOST_KINDS = 16 };
    peft_error error = {0};
    peft_graph *g;
    peft_context *ctx;
    peft_t2l_kind_output outputs[MOST_KINDS];
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    peft_tensor *vectors =
        peft_constant(g, PEFT_F32, peft_shape_2(1, VECTOR), m->vectors + (ptrdiff_t)task * VECTOR, "vectors");
    peft_t2l_emit(g, &m->net, vectors, false, 0, outputs);
    peft_t2l_finish(g, &m->net, 1, outputs);
    const peft_places *places = &m->net.places;
    for (int64_t k = 0; k < places->num_kinds; k++)
        for (int32_t v = 0; v < places->kinds[k].num_tensors; v++) peft_graph_keep(g, outputs[k].tensors[v]);
    ck_assert_msg(!peft_graph_status(g, &error) && !peft_graph_run(g, ctx, &error), "%s", error.message);
    for (int64_t k = 0; k < places->num_kinds; k++)
        for (int32_t v = 0; v < places->kinds[k].num_tensors; v++)
            for (int64_t p = 0; p < places->kinds[k].num_places; p++) {
                const peft_place_tensor *tensor = &places->kinds[k].tensors[v];
                memcpy(peft_place_value(places, &places->kinds[k], p, tensor)->data,
                       (const float *)outputs[k].tensors[v]->data + p * tensor->count,
                       (size_t)tensor->count * sizeof(float));
            }
    peft_graph_free(g);
    peft_context_close(ctx);
}

/* merge and convert take what is made as they take what was trained. */
static void check_verbs(const char *folder, const peft_variant *variant)
{
    peft_error error = {0};
    peft_adapters *adapters;
    peft_merge *merge = NULL;
    float logits[TINY_LOGITS], merged[TINY_LOGITS];
    peft_model *model = tiny_open();
    ck_assert_msg(!peft_adapter_load(model, folder, NULL, &adapters, NULL, &error), "%s", error.message);
    tiny_logits(model, logits);
    peft_status status = peft_model_merge(model, &merge, &error);
    ck_assert_int_eq(status, variant->merge || variant->to_lora ? PEFT_OK : PEFT_ERR_UNSUPPORTED);
    if (!status) {
        tiny_logits(model, merged);
        check_logits("merged", merged, logits);
    }
    peft_model_unmerge(merge);
    peft_detach(model, adapters);
    peft_adapters_free(adapters);
    peft_model_close(model);
    const peft_conversion conversion = {
        .adapter = folder, .output = scratch("plain"), .model = tiny_golden("models/bert")};
    status = peft_convert_to_lora(&conversion, NULL, &error);
    ck_assert_msg(status == (variant->to_lora ? PEFT_OK : PEFT_ERR_UNSUPPORTED), "%s: %s", variant->name,
                  error.message);
    if (!status) {
        logits_with(scratch("plain"), merged);
        check_logits("converted", merged, logits);
    }
}

static const char *const heads[] = {"L", "M", "S", "LR"};
enum { NUM_HEADS = sizeof heads / sizeof *heads };

START_TEST(a_generator_that_was_saved_makes_adapters_of_every_variant)
{
    const peft_variant *variant = peft_variant_at((size_t)_i / NUM_HEADS);
    made m;
    float expected[TINY_LOGITS], found[TINY_LOGITS], base[TINY_LOGITS];
    open_made(&m, variant, heads[_i % NUM_HEADS], "random");
    save(&m, scratch("generator"));
    peft_generator *generator = open_generator(scratch("generator"));
    make(generator, m.vectors, TASKS, scratch("out"), 1);
    peft_detach(m.model, m.adapters);
    tiny_logits(m.model, base);
    ck_assert(!peft_attach(m.model, m.adapters, NULL));
    for (int task = 0; task < TASKS; task++) {
        char folder[1024];
        snprintf(folder, sizeof folder, "%s/%d", scratch("out"), task);
        logits_with(folder, found);
        emit_into_model(&m, task);
        tiny_logits(m.model, expected);
        check_logits(variant->name, found, expected);
        ck_assert_mem_ne(found, base, sizeof base);
    }
    check_verbs(scratch("out/1"), variant);
    peft_generator_close(generator);
    close_made(&m);
}
END_TEST

START_TEST(with_start_zero_it_makes_adapters_that_change_nothing)
{
    const peft_variant *variant = peft_variant_at((size_t)_i / NUM_HEADS);
    made m;
    float found[TINY_LOGITS], base[TINY_LOGITS];
    open_made(&m, variant, heads[_i % NUM_HEADS], "zero");
    save(&m, scratch("generator"));
    peft_generator *generator = open_generator(scratch("generator"));
    make(generator, m.vectors, 1, scratch("out"), 2);
    peft_detach(m.model, m.adapters);
    tiny_logits(m.model, base);
    logits_with(scratch("out/0"), found);
    check_logits(variant->name, found, base);
    check_same_file(scratch("out/0"), scratch("generator/adapter"), "adapter_model.safetensors");
    check_same_file(scratch("out/0"), scratch("generator/adapter"), "adapter_config.json");
    peft_generator_close(generator);
    close_made(&m);
}
END_TEST

START_TEST(the_same_bits_for_any_number_of_threads_and_after_saving_again)
{
    made m;
    char folder[64];
    open_made(&m, peft_variant_find("lora"), heads[_i], "random");
    save(&m, scratch("generator"));
    peft_generator *generator = open_generator(scratch("generator"));
    for (int threads = 1; threads <= 3; threads++) {
        snprintf(folder, sizeof folder, "threads-%d", threads);
        make(generator, m.vectors, TASKS, scratch(folder), threads);
    }
    const peft_generator_about about = {
        .encoder = "minilm", .tasks = m.tasks, .num_tasks = TASKS, .vectors = m.vectors};
    ck_assert(!peft_generator_save(scratch("again"), peft_generator_network(generator), NULL, NULL, &about, NULL));
    check_same_file(scratch("generator"), scratch("again"), "generator.safetensors");
    check_same_file(scratch("generator"), scratch("again"), "generator.json");
    peft_generator_close(generator);
    generator = open_generator(scratch("again"));
    make(generator, m.vectors + 2 * VECTOR, 1, scratch("alone"), 1);
    for (int task = 0; task < TASKS; task++)
        for (int threads = 2; threads <= 3; threads++) {
            char one[64], other[64];
            snprintf(one, sizeof one, "threads-1/%d", task);
            snprintf(other, sizeof other, "threads-%d/%d", threads, task);
            check_same_file(scratch(one), scratch(other), "adapter_model.safetensors");
        }
    peft_generator_close(generator);
    close_made(&m);
}
END_TEST

START_TEST(the_nearest_task_is_known)
{
    made m;
    double cosine;
    open_made(&m, peft_variant_find("lora"), "L", "zero");
    save(&m, scratch("generator"));
    peft_generator *generator = open_generator(scratch("generator"));
    for (int task = 0; task < TASKS; task++) {
        float vector[VECTOR];
        for (int i = 0; i < VECTOR; i++) vector[i] = 3 * m.vectors[task * VECTOR + i];
        ck_assert_int_eq(peft_generator_nearest(generator, vector, &cosine), task);
        ck_assert_double_eq_tol(cosine, 1, 1e-6);
        ck_assert_str_eq(peft_generator_task_at(generator, task)->name, names[task]);
    }
    ck_assert_ptr_null(peft_generator_task_at(generator, TASKS));
    ck_assert_str_eq(peft_generator_encoder(generator), "minilm");
    peft_generator_close(generator);
    close_made(&m);
}
END_TEST

/* ---- what is no generator ---- */

static void expect_refused(peft_status status, const char *message)
{
    peft_generator *generator;
    peft_error error = {0};
    peft_status found = peft_generator_open(&generator, scratch("generator"), &error);
    ck_assert_msg(found == status && strstr(error.message, message), "expected %s, found %s: %s", message,
                  peft_status_text(found), error.message);
    ck_assert_ptr_null(generator);
}

/* A field of generator.json becomes another JSON text. */
static void edit(const char *key, const char *text)
{
    json_t *document, *value = json_loads(text, JSON_DECODE_ANY, NULL);
    ck_assert(!peft_json_load(scratch("generator/generator.json"), &document, NULL) && value);
    json_object_set_new(document, key, value);
    ck_assert(!peft_json_save(scratch("generator/generator.json"), document, PEFT_JSON_AS_IS, NULL));
    json_decref(document);
}

static const struct {
    const char *key, *text, *message;
    peft_status status;
} edits[] = {{"kind", "\"oral\"", "kind: expected \"t2l\", found \"oral\"", PEFT_ERR_UNSUPPORTED},
             {"version", "2", "version: expected 1, found 2", PEFT_ERR_UNSUPPORTED},
             {"vector_size", "7", "tensor task_encoder.mlp.0.weight: expected [4, 7], found [4, 6]", PEFT_ERR_FORMAT},
             {"vector_size", "null", "vector_size: expected a number from 1 on, found nothing", PEFT_ERR_FORMAT},
             {"network", "{\"head\": \"XL\"}", "head: expected one of L, M, S, LR, found \"XL\"", PEFT_ERR_ARGUMENT},
             {"network", "null", "network: expected an object, found nothing", PEFT_ERR_FORMAT},
             {"kinds", "[\"value\", \"query\"]", "kinds: are not those of the layers, in their order", PEFT_ERR_FORMAT},
             {"layers", "[]", "layers: expected a list of 1 to", PEFT_ERR_FORMAT},
             {"layers", "[{\"module\": \"a\"}]", "layers[0]: expected an object with module", PEFT_ERR_FORMAT},
             {"layers", "[{\"module\": \"a\", \"in_features\": 3, \"out_features\": 3}]", "a", PEFT_ERR_FORMAT},
             {"network", "{\"latent_size\": 65536, \"head_size\": 65536}", "numbers, as generator.json says, found",
              PEFT_ERR_FORMAT},
             {"vector_size", "1048576", "numbers, as generator.json says, found", PEFT_ERR_FORMAT},
             {"tasks", "[]", "expected a tensor vectors [0, 6]", PEFT_ERR_FORMAT}};

START_TEST(what_does_not_fit_together_is_refused)
{
    made m;
    open_made(&m, peft_variant_find("lora"), "L", "zero");
    save(&m, scratch("generator"));
    edit(edits[_i].key, edits[_i].text);
    expect_refused(edits[_i].status, edits[_i].message);
    close_made(&m);
}
END_TEST

START_TEST(what_is_missing_or_damaged_is_refused)
{
    made m;
    peft_mapped_file file;
    expect_refused(PEFT_ERR_FILE, "has no generator.json; is it the folder of a generator?");
    open_made(&m, peft_variant_find("lora"), "L", "zero");
    save(&m, scratch("generator"));
    ck_assert(!peft_file_map(scratch("generator/generator.safetensors"), &file, NULL));
    char *copy = malloc(file.bytes);
    size_t bytes = file.bytes;
    memcpy(copy, file.data, bytes);
    peft_file_unmap(&file);
    copy[bytes - 1] ^= 1;
    scratch_write("generator/generator.safetensors", copy, bytes);
    expect_refused(PEFT_ERR_FORMAT, "generator.safetensors");
    copy[bytes - 1] ^= 1;
    scratch_write("generator/generator.safetensors", copy, bytes / 2);
    expect_refused(PEFT_ERR_FORMAT, "generator.safetensors");
    ck_assert_int_eq(remove(scratch("generator/adapter/adapter_config.json")), 0);
    expect_refused(PEFT_ERR_FILE, "adapter_config.json");
    free(copy);
    close_made(&m);
}
END_TEST

START_TEST(adapters_whose_files_hold_other_values_are_refused)
{
    made m = {.model = tiny_open()};
    peft_error error = {0};
    const peft_variant *lora = peft_variant_find("lora");
    void *options = calloc(1, lora->options_bytes);
    peft_t2l_options network;
    const peft_generator_about about = {0};
    ck_assert(!peft_variant_options_init(lora, options, &error));
    set(lora->options, options, "init", "pissa");
    ck_assert_msg(!peft_inject(m.model, lora, options, NULL, 3, &m.adapters, NULL, &error), "%s", error.message);
    ck_assert(!peft_options_init(peft_t2l_option_table, &network, &error));
    ck_assert_msg(!peft_t2l_create(&m.net, &network, m.adapters, VECTOR, 7, &error), "%s", error.message);
    ck_assert_int_eq(peft_generator_save(scratch("generator"), &m.net, m.model, NULL, &about, &error),
                     PEFT_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "take another --init"));
    peft_options_free(peft_t2l_option_table, &network);
    peft_options_free(lora->options, options);
    free(options);
    close_made(&m);
}
END_TEST

START_TEST(every_allocation_of_opening_may_fail)
{
    made m;
    open_made(&m, peft_variant_find("lora"), "S", "zero");
    save(&m, scratch("generator"));
    bool failed = true;
    const char *folder = scratch("generator");
    for (int64_t call = 0; failed; call++) {
        peft_generator *generator;
        fail_own_allocation(call);
        peft_status status = peft_generator_open(&generator, folder, NULL);
        failed = allocation_failed();
        ck_assert_msg(status == (failed ? PEFT_ERR_MEMORY : PEFT_OK), "call %d: %s", (int)call,
                      peft_status_text(status));
        peft_generator_close(generator);
    }
    close_made(&m);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("generator");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    const int all = num_variants() * NUM_HEADS;
    tcase_add_loop_test(tc, a_generator_that_was_saved_makes_adapters_of_every_variant, 0, all);
    tcase_add_loop_test(tc, with_start_zero_it_makes_adapters_that_change_nothing, 0, all);
    tcase_add_loop_test(tc, the_same_bits_for_any_number_of_threads_and_after_saving_again, 0, NUM_HEADS);
    tcase_add_test(tc, the_nearest_task_is_known);
    tcase_add_loop_test(tc, what_does_not_fit_together_is_refused, 0, sizeof edits / sizeof *edits);
    tcase_add_test(tc, what_is_missing_or_damaged_is_refused);
    tcase_add_test(tc, adapters_whose_files_hold_other_values_are_refused);
    tcase_add_test(tc, every_allocation_of_opening_may_fail);
    return run_tests(tc);
}
