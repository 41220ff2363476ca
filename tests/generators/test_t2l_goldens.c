/* The network of Text-to-LoRA beside the official class: outputs, inner values, losses, all gradients and 12 steps of
 * AdamW, to 1e-5 of each tensor's largest value. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generators/t2l/internal.h"
#include "generators/t2l/loss.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "ops/optimizer.h"
#include "tests/support/main.h"
#include "tests/support/read.h"

static const double TOLERANCE = 1e-5;

static const char *const cases[] = {"L_sft",     "L_sft_hyperinit", "L_three_modules",    "L_recon_factor",
                                    "L_recon_z", "L_encoder_vq",    "L_encoder_discrete", "L_encoder_softmax",
                                    "M_sft",     "M_sft_hyperinit", "M_three_modules",    "M_recon_product",
                                    "M_recon_z", "S_sft_learned",   "S_sft_rotary",       "S_sft_hyperinit",
                                    "S_recon_z", "LR_sft_learned",  "LR_sft_rotary"};

/* A golden file, and the network that it is about. */
typedef struct golden {
    peft_safetensors *file;
    json_t *config;
    int64_t depths, rank, N, embeddings; /* descriptions, and those of each task */
    peft_adapters *adapters;
    peft_t2l net;
} golden;

static const char *text_of(const golden *x, const char *key)
{
    return json_string_value(json_object_get(x->config, key));
}

static int64_t number_of(const golden *x, const char *key)
{
    return json_integer_value(json_object_get(x->config, key));
}

/* In the order in which the program had the modules. */
static void open_adapters(golden *x)
{
    peft_error error = {0};
    json_t *modules, *name;
    size_t k;
    const char *order = peft_safetensors_metadata(x->file, "modules");
    ck_assert(!peft_json_parse(order, strlen(order), "modules", &modules, &error));
    peft_layer layers[64];
    static char names[64][64];
    int64_t count = 0;
    json_array_foreach(modules, k, name)
    {
        json_t *sizes = json_object_get(json_object_get(x->config, "modules"), json_string_value(name));
        for (int64_t l = 0; l < x->depths; l++, count++) {
            snprintf(names[count], sizeof names[count], "model.layers.%d.self_attn.%s", (int)l,
                     json_string_value(name));
            layers[count] = (peft_layer){names[count], json_integer_value(json_array_get(sizes, 0)),
                                         json_integer_value(json_array_get(sizes, 1))};
        }
    }
    const peft_variant *variant = peft_variant_find("rslora");
    peft_common_options *options = calloc(1, variant->options_bytes);
    ck_assert(!peft_variant_options_init(variant, options, &error));
    options->rank = x->rank;
    options->alpha = json_number_value(json_object_get(x->config, "alpha"));
    ck_assert_msg(!peft_adapters_create(&x->adapters, variant, options, layers, count, 0, &error), "%s", error.message);
    peft_options_free(variant->options, options);
    free(options);
    json_decref(modules);
}

static const char *output_of(const golden *x)
{
    return json_is_true(json_object_get(x->config, "z_score")) ? "z-score"
           : peft_safetensors_find(x->file, "loss.product")    ? "product"
                                                               : "plain";
}

static void open_net(golden *x)
{
    peft_error error = {0};
    peft_t2l_options options;
    ck_assert(!peft_options_init(peft_t2l_option_table, &options, &error));
    bool hyper = strcmp(text_of(x, "init"), "hyperinit") == 0;
    const char *settings[][2] = {{"head", text_of(x, "variant")},
                                 {"rank_code", text_of(x, "rank_code")},
                                 {"task_encoder", text_of(x, "encoder")},
                                 {"start", hyper ? "hyperinit" : "random"},
                                 {"bias", json_is_true(json_object_get(x->config, "head_bias")) ? "head" : "none"},
                                 {"emits", output_of(x)},
                                 {"dropout", "0"}};
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++)
        ck_assert_msg(!peft_options_set_text(peft_t2l_option_table, &options, settings[k][0], settings[k][1], &error),
                      "%s", error.message);
    options.latent_size = number_of(x, "latent");
    options.head_size = number_of(x, "head_in");
    ck_assert_msg(!peft_t2l_create(&x->net, &options, x->adapters, number_of(x, "task_emb"), 1, &error), "%s",
                  error.message);
    peft_options_free(peft_t2l_option_table, &options);
}

static void load_weights(golden *x)
{
    size_t loaded = 0;
    for (size_t k = 0; k < peft_safetensors_count(x->file); k++) {
        const peft_file_tensor *tensor = peft_safetensors_at(x->file, k);
        if (strncmp(tensor->name, "w.", 2) != 0) continue;
        const peft_value *value = peft_net_value(&x->net.set, "%s", tensor->name + 2);
        if (!value) { /* statistics that are not used */
            ck_assert_msg(strstr(tensor->name, "_recon_target"), "%s: the network has no such tensor", tensor->name);
            continue;
        }
        ck_assert_msg(peft_shape_equal(&value->spec.shape, &tensor->shape), "%s: other shape", tensor->name);
        ck_assert(!peft_file_tensor_read_f32(tensor, value->data, NULL));
        loaded++;
    }
    ck_assert_int_eq(loaded, x->net.set.count);
}

static void open_golden(golden *x, const char *name)
{
    char path[1024];
    peft_error error = {0};
    *x = (golden){0};
    snprintf(path, sizeof path, "%s/goldens/t2l/%s.safetensors", getenv("PEFT_FIXTURES"), name);
    ck_assert_msg(!peft_safetensors_open(path, &x->file, &error), "%s", error.message);
    const char *config = peft_safetensors_metadata(x->file, "config");
    ck_assert(!peft_json_parse(config, strlen(config), path, &x->config, &error));
    x->depths = number_of(x, "n_layers");
    x->rank = number_of(x, "rank");
    x->embeddings = number_of(x, "n_embs");
    x->N = number_of(x, "n_tasks") * x->embeddings;
    open_adapters(x);
    open_net(x);
    load_weights(x);
}

static void close_golden(golden *x)
{
    peft_t2l_free(&x->net);
    peft_adapters_free(x->adapters);
    json_decref(x->config);
    peft_safetensors_close(x->file);
}

static const peft_file_tensor *find(const golden *x, const char *format, ...) PEFT_PRINTF(2, 3);
static const peft_file_tensor *find(const golden *x, const char *format, ...)
{
    char name[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    const peft_file_tensor *tensor = peft_safetensors_find(x->file, name);
    ck_assert_msg(tensor != NULL, "%s: not in the golden file", name);
    return tensor;
}

static void check_equal(const peft_file_tensor *expected, const float *found, double tolerance)
{
    const float *values = expected->data;
    double largest = 0;
    int64_t count = peft_shape_count(&expected->shape);
    for (int64_t k = 0; k < count; k++) largest = fmax(largest, fabs((double)values[k]));
    for (int64_t k = 0; k < count; k++)
        ck_assert_msg(fabs((double)found[k] - (double)values[k]) <= tolerance * largest,
                      "%s[%lld]: expected %.9g, found %.9g", expected->name, (long long)k, (double)values[k],
                      (double)found[k]);
}

/* ---- losses ---- */

enum { MAX_KINDS = 8 };

typedef peft_t2l_kind_output outputs[MAX_KINDS];

/* sum of what comes from above times what was emitted, and 0.001 of the mean squares */
static peft_tensor *sft_loss(peft_graph *g, const golden *x, outputs made)
{
    peft_t2l_finish(g, &x->net, x->N, made);
    peft_tensor *loss = peft_scale(g, peft_t2l_mean_squares(g, &x->net, made), 1e-3);
    for (int64_t k = 0; k < x->net.places.num_kinds; k++)
        for (int v = 0; v < 2; v++) {
            const peft_place_kind *kind = &x->net.places.kinds[k];
            const peft_file_tensor *above = find(x, "in.upstream.%s.%s", kind->name, kind->tensors[v].name);
            peft_tensor *given = peft_constant(g, PEFT_F32, made[k].tensors[v]->shape, above->data, "upstream");
            loss = peft_add(g, loss, peft_sum(g, peft_mul(g, given, made[k].tensors[v]), PEFT_ALL_DIMS));
        }
    return loss;
}

/* in.target has tasks before places; each task has some descriptions. */
static float *arrange_target(const golden *x, const peft_place_kind *kind, const peft_place_tensor *tensor)
{
    const float *data = find(x, "in.target.%s.%s", kind->name, tensor->name)->data;
    float *all = malloc((size_t)(kind->num_places * x->N * tensor->count) * sizeof *all);
    for (int64_t p = 0; p < kind->num_places; p++)
        for (int64_t n = 0; n < x->N; n++)
            memcpy(all + (p * x->N + n) * tensor->count,
                   data + (n / x->embeddings * kind->num_places + p) * tensor->count,
                   (size_t)tensor->count * sizeof *all);
    return all;
}

typedef struct targets {
    float *data[MAX_KINDS][2];
    outputs tensors;
} targets;

static void make_targets(targets *t, peft_graph *g, const golden *x)
{
    for (int64_t k = 0; k < x->net.places.num_kinds; k++)
        for (int v = 0; v < 2; v++) {
            const peft_place_kind *kind = &x->net.places.kinds[k];
            t->data[k][v] = arrange_target(x, kind, &kind->tensors[v]);
            t->tensors[k].tensors[v] = peft_constant(
                g, PEFT_F32, peft_shape_2(kind->num_places * x->N, kind->tensors[v].count), t->data[k][v], "target");
        }
}

static void free_targets(targets *t)
{
    for (int k = 0; k < MAX_KINDS; k++)
        for (int v = 0; v < 2; v++) free(t->data[k][v]);
}

/* The name of the loss in the file; *kind is NULL of end-to-end training. */
static const char *loss_of(const golden *x, peft_t2l_loss *kind)
{
    if (strcmp(text_of(x, "mode"), "sft") == 0) return "loss.sft";
    *kind = strcmp(output_of(x), "product") == 0 ? PEFT_T2L_PRODUCT_L1 : PEFT_T2L_FACTORS;
    return *kind == PEFT_T2L_PRODUCT_L1           ? "loss.product"
           : strcmp(output_of(x), "z-score") == 0 ? "loss.factor_z"
                                                  : "loss.factor";
}

typedef struct run {
    peft_graph *g;
    peft_context *ctx;
    peft_tensor *vectors, *loss;
    outputs made; /* what the file's out.* are */
    targets targets;
} run;

static void open_run(run *r, golden *x, const char *backend, int threads)
{
    peft_error error = {0};
    const peft_context_options options = {.threads = threads, .backend = backend};
    *r = (run){0};
    ck_assert(!peft_context_open(&r->ctx, &options, &error) && !peft_graph_create(&r->g, &error));
    const peft_file_tensor *vectors = find(x, "in.task_emb");
    r->vectors = peft_variable(r->g, PEFT_F32, vectors->shape, vectors->data, "vectors");
    peft_t2l_emit(r->g, &x->net, r->vectors, true, 0, r->made);
    peft_t2l_loss kind;
    if (strcmp(loss_of(x, &kind), "loss.sft") == 0) {
        r->loss = sft_loss(r->g, x, r->made);
    } else {
        make_targets(&r->targets, r->g, x);
        ck_assert_msg(!peft_t2l_loss_check(&x->net, kind, &error), "%s", error.message);
        r->loss = peft_t2l_reconstruction_loss(r->g, &x->net, kind, x->N, r->made, r->targets.tensors);
    }
    for (int64_t k = 0; k < x->net.places.num_kinds; k++)
        for (int v = 0; v < 2; v++) peft_graph_keep(r->g, r->made[k].tensors[v]);
    peft_graph_keep(r->g, r->loss);
    ck_assert_msg(!peft_graph_status(r->g, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_differentiate(r->g, r->loss, &error), "%s", error.message);
}

static void compute(run *r, golden *x)
{
    peft_error error = {0};
    peft_value_set_zero_gradients(&x->net.set);
    ck_assert_msg(!peft_graph_run(r->g, r->ctx, &error), "%s", error.message);
}

static void close_run(run *r)
{
    free_targets(&r->targets);
    peft_graph_free(r->g);
    peft_context_close(r->ctx);
}

/* Of a loss that is a sum of terms of both signs, the root of their squares; of others the loss. */
static double size_of_terms(const golden *x, const peft_file_tensor *loss)
{
    if (strcmp(loss->name, "loss.sft") != 0) return (double)*(const float *)loss->data;
    double sum = 0;
    for (int64_t k = 0; k < x->net.places.num_kinds; k++)
        for (int v = 0; v < 2; v++) {
            const peft_place_kind *m = &x->net.places.kinds[k];
            const peft_file_tensor *above = find(x, "in.upstream.%s.%s", m->name, m->tensors[v].name);
            const float *up = above->data, *made = find(x, "out.%s.%s", m->name, m->tensors[v].name)->data;
            for (int64_t i = 0; i < peft_shape_count(&above->shape); i++)
                sum += (double)(up[i] * made[i]) * (double)(up[i] * made[i]);
        }
    return sqrt(sum);
}

START_TEST(outputs_losses_and_gradients_are_those_of_the_official_class)
{
    golden x;
    open_golden(&x, cases[_i]);
    for (int b = 0; peft_backend_name(b); b++) {
        if (!peft_backend_available(peft_backend_name(b))) continue;
        run r;
        peft_t2l_loss kind;
        open_run(&r, &x, peft_backend_name(b), 2);
        compute(&r, &x);
        for (int64_t k = 0; k < x.net.places.num_kinds; k++)
            for (int v = 0; v < 2; v++) {
                const peft_place_kind *m = &x.net.places.kinds[k];
                check_equal(find(&x, "out.%s.%s", m->name, m->tensors[v].name), read_values(r.g, r.made[k].tensors[v]),
                            TOLERANCE);
            }
        const peft_file_tensor *loss = find(&x, "%s", loss_of(&x, &kind));
        ck_assert_double_eq_tol((double)*(const float *)read_values(r.g, r.loss), (double)*(const float *)loss->data,
                                TOLERANCE * size_of_terms(&x, loss));
        if (r.vectors->grad) check_equal(find(&x, "grad.in.task_emb"), read_values(r.g, r.vectors->grad), TOLERANCE);
        for (int64_t k = 0; k < x.net.set.count; k++)
            if (x.net.set.items[k].value->gradient)
                check_equal(find(&x, "grad.%s", x.net.set.items[k].name), x.net.set.items[k].value->gradient,
                            TOLERANCE);
        close_run(&r);
    }
    close_golden(&x);
}
END_TEST

START_TEST(twelve_steps_are_those_of_torch)
{
    enum { STEPS = 12, WARMUP = 3 };
    golden x;
    open_golden(&x, cases[_i]);
    if (peft_safetensors_find(x.file, "traj.loss")) {
        run r;
        peft_error error = {0};
        peft_optimizer *optimizer;
        peft_optimizer_parameter list[128];
        size_t count = 0;
        for (int64_t k = 0; k < x.net.set.count; k++) {
            const peft_value *value = x.net.set.items[k].value;
            if (value->gradient)
                list[count++] =
                    (peft_optimizer_parameter){value->data, value->gradient, peft_value_count(value), 1, 1e-3};
        }
        open_run(&r, &x, NULL, 1);
        ck_assert(!peft_optimizer_create(&optimizer, NULL, list, count, &error));
        const float *losses = find(&x, "traj.loss")->data;
        for (int64_t step = 0; step < STEPS; step++) {
            double norm, rate = 1e-3 * peft_schedule_factor(PEFT_SCHEDULE_LINEAR, step, WARMUP, STEPS);
            compute(&r, &x);
            ck_assert_double_eq_tol((double)*(const float *)read_values(r.g, r.loss), (double)losses[step],
                                    TOLERANCE * (double)losses[step]);
            ck_assert(!peft_optimizer_clip(optimizer, 1, &norm, &error));
            ck_assert(!peft_optimizer_step(optimizer, rate, &error));
        }
        for (int64_t k = 0; k < x.net.set.count; k++)
            if (x.net.set.items[k].value->gradient)
                check_equal(find(&x, "traj.final.%s", x.net.set.items[k].name), x.net.set.items[k].value->data,
                            TOLERANCE);
        peft_optimizer_free(optimizer);
        close_run(&r);
    }
    close_golden(&x);
}
END_TEST

/* What was emitted for the first description becomes the adapter that the official program saves. */
START_TEST(the_adapter_is_the_one_that_the_official_program_saves)
{
    golden x;
    open_golden(&x, cases[_i]);
    if (peft_safetensors_find(x.file, "out.adapter.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight")) {
        outputs made;
        peft_error error = {0};
        peft_context *ctx;
        peft_graph *g;
        ck_assert(!peft_context_open(&ctx, NULL, &error) && !peft_graph_create(&g, &error));
        peft_tensor *vectors =
            peft_constant(g, PEFT_F32, peft_shape_2(1, x.net.vector_size), find(&x, "in.task_emb")->data, "vectors");
        peft_t2l_emit(g, &x.net, vectors, false, 0, made);
        peft_t2l_finish(g, &x.net, 1, made);
        for (int64_t k = 0; k < x.net.places.num_kinds; k++)
            for (int v = 0; v < 2; v++) peft_graph_keep(g, made[k].tensors[v]);
        ck_assert_msg(!peft_graph_status(g, &error) && !peft_graph_run(g, ctx, &error), "%s", error.message);
        for (int64_t k = 0; k < x.net.places.num_kinds; k++)
            for (int v = 0; v < 2; v++) {
                const peft_place_kind *m = &x.net.places.kinds[k];
                for (int64_t p = 0; p < m->num_places; p++)
                    check_equal(find(&x, "out.adapter.base_model.model.%s.%s", x.adapters->layers[m->layers[p]].module,
                                     m->tensors[v].value),
                                (const float *)read_values(g, made[k].tensors[v]) + p * m->tensors[v].count, TOLERANCE);
            }
        peft_graph_free(g);
        peft_context_close(ctx);
    }
    close_golden(&x);
}
END_TEST

START_TEST(hyperinit_makes_the_bias_of_the_official_program)
{
    golden x;
    open_golden(&x, cases[_i]);
    if (strcmp(text_of(&x, "init"), "hyperinit") == 0)
        for (int64_t k = 0; k < x.net.places.num_kinds; k++) {
            const peft_place_kind *kind = &x.net.places.kinds[k];
            const peft_file_tensor *expected = find(&x, "w.heads.%s.bias", kind->name);
            float *bias = malloc((size_t)peft_shape_count(&expected->shape) * sizeof *bias);
            peft_t2l_hyper_bias(&x.net, kind, find(&x, "in.lora_A_start.%s", kind->name)->data, bias);
            check_equal(expected, bias, 2e-7); /* one rounding */
            free(bias);
        }
    close_golden(&x);
}
END_TEST

enum { NUM_CASES = sizeof cases / sizeof *cases };

TEST_MAIN("t2l_goldens",
          tcase_add_loop_test(tc, outputs_losses_and_gradients_are_those_of_the_official_class, 0, NUM_CASES);
          tcase_add_loop_test(tc, twelve_steps_are_those_of_torch, 0, NUM_CASES);
          tcase_add_loop_test(tc, the_adapter_is_the_one_that_the_official_program_saves, 0, NUM_CASES);
          tcase_add_loop_test(tc, hyperinit_makes_the_bias_of_the_official_program, 0, NUM_CASES))
