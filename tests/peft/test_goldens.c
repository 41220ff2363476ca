/* Logits, losses and every gradient of Hugging Face's own models with PEFT's own adapters, to 1e-5 of each tensor's
 * largest value: float32 sums of a few hundred products in another order. And 30 steps of training. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "ops/ops.h"
#include "ops/side.h"
#include "peft/adapter_folder.h"
#include "peft/merge.h"
#include "peft/parameters.h"
#include "tests/peft/trained.h"
#include "tests/support/main.h"
#include "tests/support/read.h"

static const double TOLERANCE = 1e-5;

enum { MAX_PATH = 1024, MAX_NAME = 256 };

static void fixture(char path[MAX_PATH], const char *name)
{
    int length = snprintf(path, MAX_PATH, "%s/goldens/%s", getenv("PEFT_FIXTURES"), name);
    ck_assert_int_lt(length, MAX_PATH);
}

/* The padded batch of a golden file, without its padding. */
typedef struct golden {
    peft_safetensors *file;
    int32_t starts[65], ids[4096], types[4096], positions[4096];
    peft_batch batch;
    peft_model_input input;
    const int32_t *labels;
} golden;

static const int32_t *ints(const golden *x, const char *name)
{
    const peft_file_tensor *t = peft_safetensors_find(x->file, name);
    ck_assert_msg(t && t->dtype == PEFT_I32, "%s: missing", name);
    return t->data;
}

static void open_golden(golden *x, const char *path)
{
    peft_error error = {0};
    ck_assert_msg(!peft_safetensors_open(path, &x->file, &error), "%s", error.message);
    const peft_shape *shape = &peft_safetensors_find(x->file, "in.input_ids")->shape;
    const int32_t *ids = ints(x, "in.input_ids"), *mask = ints(x, "in.attention_mask");
    bool has_types = peft_safetensors_find(x->file, "in.token_type_ids");
    const int32_t *types = has_types ? ints(x, "in.token_type_ids") : NULL;
    int32_t at = 0;
    for (int64_t s = 0; s < shape->size[0]; s++) {
        x->starts[s] = at;
        for (int64_t p = 0; p < shape->size[1]; p++) {
            int64_t from = s * shape->size[1] + p;
            if (!mask[from]) continue;
            x->ids[at] = ids[from];
            x->types[at] = has_types ? types[from] : 0;
            x->positions[at++] = (int32_t)p;
        }
    }
    x->starts[shape->size[0]] = at;
    x->batch = (peft_batch){.num_tokens = at, .num_sequences = shape->size[0], .starts = x->starts};
    x->input = (peft_model_input){x->ids, x->types, x->positions};
    x->labels = ints(x, "in.labels");
}

static void check_equal(const golden *x, const char *name, const float *found)
{
    const peft_file_tensor *expected = peft_safetensors_find(x->file, name);
    ck_assert_msg(expected != NULL, "%s: not in the golden file", name);
    const float *values = expected->data;
    int64_t count = peft_shape_count(&expected->shape);
    double largest = 0;
    for (int64_t k = 0; k < count; k++) largest = fmax(largest, fabs((double)values[k]));
    for (int64_t k = 0; k < count; k++)
        ck_assert_msg(fabs((double)found[k] - (double)values[k]) <= TOLERANCE * largest,
                      "%s[%lld]: expected %.9g, found %.9g", name, (long long)k, (double)values[k], (double)found[k]);
}

/* The golden's name of a trained tensor's gradient. */
static void gradient_name(char name[MAX_NAME], const peft_value_item *item)
{
    const char *head = strstr(item->name, "classifier."); /* pre_classifier, too */
    size_t module = strcspn(item->name, ".");
    if (head)
        snprintf(name, MAX_NAME, "grad.base_model.model.%.*s.modules_to_save.%s", (int)module, item->name,
                 item->name + module + 1);
    else /* DoRA's magnitude is a module to PEFT, which the file does not show */
        snprintf(name, MAX_NAME, "grad.base_model.model.%s%s", item->name,
                 strstr(item->name, "lora_magnitude_vector") ? ".weight" : "");
}

static void run_model(golden *x, peft_model *model, peft_context *ctx, bool backward, const char *prefix)
{
    x->batch.training = backward; /* the fixtures' dropout is 0 */
    peft_error error = {0};
    peft_graph *g;
    ck_assert(!peft_graph_create(&g, &error));
    const peft_model_run run = {&x->batch, &x->input, false};
    peft_tensor *logits = peft_graph_keep(g, peft_model_logits(g, model, &run));
    peft_tensor *labels = peft_constant(g, PEFT_I32, peft_shape_1(x->batch.num_sequences), x->labels, "labels");
    peft_tensor *loss = peft_cross_entropy(g, logits, labels, NULL, 0, 0);
    loss = peft_graph_keep(g, peft_graph_total_loss(g, loss, 1));
    ck_assert_msg(!peft_graph_status(g, &error), "%s", error.message);
    if (backward) ck_assert_msg(!peft_graph_differentiate(g, loss, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    char name[MAX_NAME];
    snprintf(name, sizeof name, "%s.logits", prefix);
    check_equal(x, name, read_values(g, logits));
    snprintf(name, sizeof name, "%s.loss", prefix);
    check_equal(x, name, read_values(g, loss));
    peft_graph_free(g);
}

static const char *const adapters_of[] = {
    "models/bert",     "models/roberta",        "models/distilbert", "models/mpnet",  "variants/lora-all",
    "variants/rslora", "variants/rank-pattern", "variants/layers",   "variants/ia3",  "variants/adalora",
    "variants/dora",   "variants/loha",         "variants/lokr",     "variants/vera", "variants/pissa",
    "variants/olora",  "variants/dora-rslora"};

/* That of the folder, or the BERT that all methods were tried on. */
static peft_model *open_model(const char *folder)
{
    char path[MAX_PATH];
    fixture(path, strncmp(folder, "models/", strlen("models/")) == 0 ? folder : "models/bert");
    peft_model *model;
    peft_error error = {0};
    ck_assert_msg(!peft_model_open(&model, path, NULL, &error), "%s", error.message);
    return model;
}

static peft_adapters *load_adapter(peft_model *model, const char *folder)
{
    char path[MAX_PATH];
    fixture(path, folder);
    peft_adapters *adapters;
    peft_error error = {0};
    ck_assert_msg(!peft_adapter_load(model, path, NULL, &adapters, NULL, &error), "%s", error.message);
    return adapters;
}

START_TEST(logits_loss_and_gradients_are_those_of_peft)
{
    char name[MAX_NAME], path[MAX_PATH];
    snprintf(name, sizeof name, "%s/golden.safetensors", adapters_of[_i]);
    fixture(path, name);
    static golden x;
    open_golden(&x, path);
    peft_error error = {0};
    for (int k = 0; peft_backend_name(k); k++) {
        if (!peft_backend_available(peft_backend_name(k))) continue;
        peft_context *ctx;
        const peft_context_options options = {.threads = 2, .backend = peft_backend_name(k)};
        ck_assert(!peft_context_open(&ctx, &options, &error));
        peft_model *model = open_model(adapters_of[_i]);
        ck_assert(!peft_model_pack(model, ctx, PEFT_PACK_BOTH, &error));
        if (peft_safetensors_find(x.file, "base.logits")) run_model(&x, model, ctx, false, "base");
        snprintf(name, sizeof name, "%s/adapter", adapters_of[_i]);
        peft_adapters *adapters = load_adapter(model, name);
        trained t;
        trained_open(&t, adapters, model);
        run_model(&x, model, ctx, true, "out");
        for (int64_t p = 0; p < t.parameters.num_items; p++) {
            if (!t.parameters.items[p].value->gradient) continue; /* state of a schedule */
            gradient_name(name, &t.parameters.items[p]);
            check_equal(&x, name, t.parameters.items[p].value->gradient);
        }
        trained_close(&t);
        peft_adapters_free(adapters);
        peft_model_close(model);
        peft_context_close(ctx);
    }
    peft_safetensors_close(x.file);
}
END_TEST

static const peft_weight *find_weight(peft_model *model, const char *name)
{
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    for (int64_t k = 0; k < count; k++)
        if (strcmp(weights[k].name, name) == 0) return &weights[k];
    ck_abort_msg("%s: the model has no such weight", name);
}

START_TEST(merged_weights_are_those_of_peft)
{
    char name[MAX_NAME], path[MAX_PATH];
    snprintf(name, sizeof name, "%s/merged.safetensors", adapters_of[_i]);
    fixture(path, name);
    static golden x;
    peft_error error = {0};
    if (!peft_file_exists(path)) return;
    ck_assert_msg(!peft_safetensors_open(path, &x.file, &error), "%s", error.message);
    snprintf(name, sizeof name, "%s/adapter", adapters_of[_i]);
    peft_model *model = open_model(adapters_of[_i]);
    peft_adapters *adapters = load_adapter(model, name);
    peft_merge *merge;
    ck_assert_msg(!peft_model_merge(model, &merge, &error), "%s", error.message);
    for (size_t k = 0; k < peft_safetensors_count(x.file); k++) {
        const char *weight = peft_safetensors_at(x.file, k)->name;
        check_equal(&x, weight, peft_weight_values(find_weight(model, weight), &(float *){NULL}));
    }
    peft_model_unmerge(merge);
    peft_adapters_free(adapters);
    peft_model_close(model);
    peft_safetensors_close(x.file);
}
END_TEST

/* goldens/train/lora.json: its inputs, and what torch's AdamW and transformers' schedule made of them. */
static double number_at(const json_t *document, const char *key, size_t index)
{
    return json_number_value(json_array_get(json_object_get(document, key), index));
}

static void fill_step(const json_t *document, int64_t step, golden *x, int32_t *labels)
{
    int64_t batch = json_integer_value(json_object_get(document, "batch"));
    const json_t *rows = json_object_get(document, "input_ids");
    int32_t at = 0;
    for (int64_t s = 0; s < batch; s++) {
        size_t row = (size_t)(step * batch + s) % json_array_size(rows), k;
        const json_t *ids = json_array_get(rows, row), *id;
        x->starts[s] = at;
        json_array_foreach(ids, k, id)
        {
            x->ids[at] = (int32_t)json_integer_value(id);
            x->types[at] = 0;
            x->positions[at++] = (int32_t)k;
        }
        labels[s] = (int32_t)number_at(document, "labels", row);
    }
    x->starts[batch] = at;
    x->batch = (peft_batch){.num_tokens = at, .num_sequences = batch, .starts = x->starts, .training = true};
    x->input = (peft_model_input){x->ids, x->types, x->positions};
}

static double train_step(const golden *x, const int32_t *labels_of, peft_model *model, peft_context *ctx,
                         peft_optimizer *optimizer, double rate, double *norm)
{
    peft_error error = {0};
    peft_graph *g;
    ck_assert(!peft_graph_create(&g, &error));
    const peft_model_run run = {&x->batch, &x->input, false};
    peft_tensor *labels = peft_constant(g, PEFT_I32, peft_shape_1(x->batch.num_sequences), labels_of, "labels");
    peft_tensor *loss = peft_cross_entropy(g, peft_model_logits(g, model, &run), labels, NULL, 0, 0);
    ck_assert(!peft_graph_differentiate(g, loss, &error));
    ck_assert(!peft_graph_run(g, ctx, &error));
    double value = (double)*(const float *)read_values(g, loss);
    ck_assert(!peft_optimizer_clip(optimizer, 1, norm, &error));
    ck_assert(!peft_optimizer_step(optimizer, rate, &error));
    peft_graph_free(g);
    return value;
}

/* torch's AdamW, and PEFT's LoRA+ around it. */
static const struct {
    const char *path;
    double weight_decay, up_ratio;
} trainings[] = {{"train/lora.json", 0.01, 1}, {"train/loraplus.json", 0, 4}};

static json_t *load_document(const char *name)
{
    char path[MAX_PATH];
    json_t *document;
    peft_error error = {0};
    fixture(path, name);
    ck_assert_msg(!peft_json_load(path, &document, &error), "%s", error.message);
    return document;
}

START_TEST(thirty_steps_have_the_losses_of_torch)
{
    enum { STEPS = 30, WARMUP = 6 };
    const double peak_rate = 0.005, loss_tolerance = 1e-4;
    peft_error error = {0};
    json_t *inputs = load_document("train/lora.json"), *document = load_document(trainings[_i].path);
    peft_model *model = open_model("train");
    peft_adapters *adapters = load_adapter(model, "train/lora-start");
    trained t;
    peft_optimizer *optimizer;
    peft_context *ctx;
    trained_open(&t, adapters, model);
    ck_assert(!peft_context_open(&ctx, NULL, &error));
    ck_assert(!peft_parameters_optimizer(&t.parameters, ctx, trainings[_i].weight_decay, trainings[_i].up_ratio,
                                         &optimizer, &error));
    static golden x;
    int32_t labels[64];
    for (int64_t step = 0; step < STEPS; step++) {
        double rate = peak_rate * peft_schedule_factor(PEFT_SCHEDULE_LINEAR, step, WARMUP, STEPS), norm;
        ck_assert_double_eq_tol(rate, number_at(inputs, "lr", (size_t)step), 1e-17);
        fill_step(inputs, step, &x, labels);
        peft_parameters_clear_gradients(&t.parameters);
        double loss = train_step(&x, labels, model, ctx, optimizer, rate, &norm);
        double expected = number_at(document, "loss", (size_t)step);
        ck_assert_msg(fabs(loss - expected) <= loss_tolerance, "%s: step %lld: loss: expected %.9g, found %.9g",
                      trainings[_i].path, (long long)step, expected, loss);
        ck_assert_double_eq_tol(norm, number_at(document, "grad_norm_before_clip", (size_t)step), 1e-3);
    }
    peft_optimizer_free(optimizer);
    trained_close(&t);
    peft_adapters_free(adapters);
    peft_model_close(model);
    peft_context_close(ctx);
    json_decref(inputs);
    json_decref(document);
}
END_TEST

TEST_MAIN("goldens", tcase_add_loop_test(tc, logits_loss_and_gradients_are_those_of_peft, 0,
                                         sizeof adapters_of / sizeof *adapters_of);
          tcase_add_loop_test(tc, merged_weights_are_those_of_peft, 0, sizeof adapters_of / sizeof *adapters_of);
          tcase_add_loop_test(tc, thirty_steps_have_the_losses_of_torch, 0, sizeof trainings / sizeof *trainings))
