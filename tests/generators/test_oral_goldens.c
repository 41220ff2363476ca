/* ORAL beside the programs that it comes from: tokens, scan, both blocks of Mamba, denoiser, diffusion and one whole
 * step of training, to 1e-5 of each tensor's largest value, on every backend. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generators/oral/diffusion.h"
#include "generators/oral/oral.h"
#include "generators/oral/tokens.h"
#include "tests/generators/golden.h"
#include "tests/support/main.h"
#include "tests/support/read.h"

static const double TOLERANCE = 1e-5;

static const char *const unused[] = {"num_batches_tracked", "time_embedder.freqs", NULL};

/* ---- running a graph ---- */

typedef struct run {
    peft_graph *g;
    peft_context *ctx;
} run;

static void open_run(run *r, int backend)
{
    peft_error error = {0};
    const peft_context_options options = {.threads = 2, .backend = peft_backend_name(backend)};
    ck_assert(!peft_context_open(&r->ctx, &options, &error) && !peft_graph_create(&r->g, &error));
}

/* From dy, or of a loss. */
static void compute(run *r, const peft_value_set *set, peft_tensor *y, const float *dy)
{
    peft_error error = {0};
    peft_graph_keep(r->g, y);
    if (set) peft_value_set_zero_gradients(set);
    ck_assert_msg(!peft_graph_status(r->g, &error), "%s", error.message);
    peft_status status =
        dy ? peft_graph_differentiate_from(r->g, y, dy, &error) : peft_graph_differentiate(r->g, y, &error);
    if (status == PEFT_OK) status = peft_graph_run(r->g, r->ctx, &error);
    ck_assert_msg(status == PEFT_OK, "%s", error.message);
}

static void close_run(run *r)
{
    peft_graph_free(r->g);
    peft_context_close(r->ctx);
}

static peft_tensor *starts_of(peft_graph *g, const int32_t *starts, int64_t sequences)
{
    return peft_constant(g, PEFT_I32, peft_shape_1(sequences + 1), starts, "starts");
}

#define FOR_BACKENDS(b)                                                                                                \
    for (int b = 0; peft_backend_name(b); b++)                                                                         \
        if (peft_backend_available(peft_backend_name(b)))

/* ---- tokens ---- */

START_TEST(tokens_are_those_of_the_published_program)
{
    enum { TENSORS = 5, ADAPTERS = 3, WIDTH = 32, MAX_VALUES = 512, CUT = 1, ADDRESS = 16 };
    static const peft_token_tensor tensors[TENSORS] = {{.name = "l0.q.A", .shape = {2, {4, 24}}},
                                                       {.name = "l0.q.B", .shape = {2, {24, 4}}},
                                                       {.name = "l0.v.A", .shape = {2, {4, 24}}},
                                                       {.name = "l0.v.B", .shape = {2, {12, 4}}},
                                                       {.name = "l1.q.A", .shape = {2, {3, 5}}}};
    peft_safetensors *file = golden_open("oral/tokens.safetensors");
    peft_error error = {0};
    peft_token_layout layout;
    ck_assert(!peft_token_layout_create(&layout, tensors, TENSORS, WIDTH, 1, &error));
    ck_assert_int_eq(layout.num_tokens, golden_find(file, "out.tokens")->shape.size[0]);
    float values[ADAPTERS * MAX_VALUES];
    for (int a = 0; a < ADAPTERS; a++)
        for (int i = 0; i < TENSORS; i++)
            memcpy(values + a * layout.num_values + layout.tensors[i].begin,
                   golden_find(file, "in.%d.%s", a, tensors[i].name)->data,
                   (size_t)layout.tensors[i].count * sizeof *values);
    ck_assert(!peft_token_layout_measure(&layout, values, ADAPTERS, &error));
    for (int i = 0; i < TENSORS; i++) {
        const float *expected = golden_find(file, "stat.%s", tensors[i].name)->data;
        ck_assert_double_eq_tol(layout.tensors[i].mean, (double)expected[0], 1e-7);
        ck_assert_double_eq_tol(layout.tensors[i].deviation, (double)expected[1], 1e-7);
    }
    float *numbers = calloc((size_t)layout.num_tokens, WIDTH * sizeof *numbers);
    ck_assert(!peft_tokens_make(&layout, values + CUT * layout.num_values, numbers, &error));
    golden_check(file, "out.tokens", numbers, 1e-6);
    peft_tokens_mask(&layout, numbers);
    golden_check(file, "out.mask", numbers, 0);
    peft_token_address(&layout, ADDRESS, true, numbers);
    golden_check(file, "out.position", numbers, 1e-6);
    free(numbers);
    peft_token_layout_free(&layout);
    peft_safetensors_close(file);
}
END_TEST

/* ---- scan and blocks ---- */

START_TEST(scan_is_that_of_mamba)
{
    static const int32_t starts[] = {0, 9, 18};
    static const char *const names[] = {"x", "delta", "a", "b", "c", "skip"};
    peft_safetensors *file = golden_open("oral/scan.safetensors");
    FOR_BACKENDS(b)
    {
        run r;
        peft_tensor *in[6];
        char name[32];
        open_run(&r, b);
        for (int k = 0; k < 6; k++) {
            snprintf(name, sizeof name, "in.%s", names[k]);
            in[k] = golden_leaf(r.g, file, name, true);
        }
        peft_tensor *y = peft_selective_scan(r.g, in[0], in[1], in[2], in[3], in[4], in[5], starts_of(r.g, starts, 2));
        compute(&r, NULL, y, golden_values(file, "in.upstream"));
        golden_check(file, "out.y", read_values(r.g, y), TOLERANCE);
        for (int k = 0; k < 6; k++) {
            snprintf(name, sizeof name, "grad.%s", names[k]);
            golden_check(file, name, read_values(r.g, in[k]->grad), TOLERANCE);
        }
        close_run(&r);
    }
    peft_safetensors_close(file);
}
END_TEST

static const struct {
    const char *file;
    peft_mamba sizes;
} blocks[] = {
    {"oral/mamba1.safetensors", {.version = 1, .width = 16, .state = 4, .taps = 4, .expand = 2}},
    {"oral/mamba2.safetensors",
     {.version = 2, .width = 16, .state = 8, .taps = 4, .expand = 2, .head = 8, .chunk = 64}},
    {"oral/mamba2.safetensors", {.version = 2, .width = 16, .state = 8, .taps = 4, .expand = 2, .head = 8, .chunk = 4}},
};

START_TEST(blocks_are_those_of_mamba)
{
    static const int32_t starts[] = {0, 11, 22};
    peft_safetensors *file = golden_open(blocks[_i].file);
    const peft_mamba *m = &blocks[_i].sizes;
    peft_error error = {0};
    peft_arena names = {0};
    peft_value_set set;
    peft_value_list list = {.names = &names};
    ck_assert(!peft_mamba_check(m, &error));
    peft_mamba_list(m, &list, "block");
    ck_assert_msg(!peft_value_list_finish(&list, &set, 1, &error), "%s", error.message);
    golden_load(file, &set, "block.", unused);
    FOR_BACKENDS(b)
    {
        run r;
        open_run(&r, b);
        const peft_net net = {r.g, &set, true};
        peft_tensor *u = golden_leaf(r.g, file, "in.u", true);
        peft_tensor *y = peft_mamba_block(&net, m, "block", u, starts_of(r.g, starts, 2));
        compute(&r, &set, y, golden_values(file, "in.upstream"));
        golden_check(file, "out.y", read_values(r.g, y), TOLERANCE);
        golden_check(file, "grad.in.u", read_values(r.g, u->grad), TOLERANCE);
        golden_check_gradients(file, &set, "block.", TOLERANCE);
        close_run(&r);
    }
    peft_value_set_free(&set);
    peft_arena_free(&names);
    peft_safetensors_close(file);
}
END_TEST

/* ---- denoiser ---- */

enum { MAX_TOKENS = 64 };

/* The file's time steps as a leaf. */
static peft_tensor *time_leaf(peft_graph *g, const peft_safetensors *file)
{
    static float features[MAX_TOKENS * PEFT_TIME_FEATURES];
    const peft_file_tensor *t = golden_find(file, "in.t");
    const int64_t *given = t->data, count = t->shape.size[0];
    int32_t steps[MAX_TOKENS];
    for (int64_t k = 0; k < count; k++) steps[k] = (int32_t)given[k];
    const float *frequencies = NULL; /* there rounded on the way: the last digit of most is another */
    for (size_t k = 0; k < peft_safetensors_count(file); k++)
        if (strstr(peft_safetensors_at(file, k)->name, "time_embedder.freqs"))
            frequencies = peft_safetensors_at(file, k)->data;
    float ours[PEFT_TIME_FEATURES / 2];
    peft_denoiser_frequencies(ours);
    for (int i = 0; i < PEFT_TIME_FEATURES / 2; i++)
        ck_assert_double_eq_tol((double)(ours[i] / frequencies[i]), 1, 1e-6);
    peft_denoiser_time(frequencies, steps, count, features);
    return peft_constant(g, PEFT_F32, peft_shape_2(count, PEFT_TIME_FEATURES), features, "time");
}

static const peft_denoiser small_denoiser = {
    .width = 32, .prototype = 16, .channels = {1, 4, 8, 12, 8, 4, 1}, .taps = 7, .norm = PEFT_DENOISER_BATCH};

static peft_tensor *estimate(const peft_net *net, const peft_safetensors *file, peft_tensor *x, peft_tensor *p,
                             peft_denoiser_moments *moments)
{
    return peft_denoiser_estimate(net, &small_denoiser, "net", x, p, NULL, time_leaf(net->g, file), moments);
}

START_TEST(denoiser_is_that_of_the_published_program)
{
    peft_safetensors *file = golden_open("oral/denoiser.safetensors");
    peft_error error = {0};
    peft_arena names = {0};
    peft_value_set set;
    peft_value_list list = {.names = &names};
    peft_denoiser_list(&small_denoiser, &list, "net");
    ck_assert_msg(!peft_value_list_finish(&list, &set, 1, &error), "%s", error.message);
    FOR_BACKENDS(b)
    {
        run r;
        open_run(&r, b);
        golden_load(file, &set, "net.", unused);
        peft_net net = {r.g, &set, true};
        peft_denoiser_moments moments;
        peft_tensor *x = golden_leaf(r.g, file, "in.x", true), *p = golden_leaf(r.g, file, "in.cond", true);
        peft_tensor *y = estimate(&net, file, x, p, &moments);
        compute(&r, &set, y, golden_values(file, "in.upstream"));
        golden_check(file, "out.train", read_values(r.g, y), TOLERANCE);
        golden_check(file, "grad.in.x", read_values(r.g, x->grad), TOLERANCE);
        golden_check(file, "grad.in.cond", read_values(r.g, p->grad), TOLERANCE);
        golden_check_gradients(file, &set, "net.", TOLERANCE);

        peft_graph_reset(r.g);
        net.training = false;
        x = golden_leaf(r.g, file, "in.x", true);
        y = estimate(&net, file, x, golden_leaf(r.g, file, "in.cond", false), NULL);
        compute(&r, &set, y, golden_values(file, "in.upstream"));
        golden_check(file, "out.eval", read_values(r.g, y), TOLERANCE);
        close_run(&r);
    }
    peft_value_set_free(&set);
    peft_arena_free(&names);
    peft_safetensors_close(file);
}
END_TEST

/* ---- diffusion ---- */

START_TEST(diffusion_is_that_of_the_published_program)
{
    enum { T = 1000, COUNT = 32, VISITS = 60 };
    peft_safetensors *file = golden_open("oral/diffusion.safetensors");
    peft_error error = {0};
    peft_diffusion d;
    ck_assert(!peft_diffusion_create(&d, T, 1e-4, 0.02, &error));
    float numbers[T];
    for (int t = 0; t < T; t++) numbers[t] = (float)d.beta[t];
    golden_check(file, "out.beta", numbers, 1e-6);
    for (int t = 0; t < T; t++) numbers[t] = (float)d.kept[t];
    golden_check(file, "out.alpha_bar", numbers, TOLERANCE); /* there a product of floats */
    const float *x = golden_values(file, "in.x"), *noise = golden_values(file, "in.eps"),
                *z = golden_values(file, "in.z");
    static const int steps[] = {0, 1, 500, 999};
    for (int k = 0; k < 4; k++) {
        char name[32];
        snprintf(name, sizeof name, "out.ddpm.%d", steps[k]);
        peft_diffusion_ddpm(&d, steps[k], x, noise, z, COUNT, numbers);
        golden_check(file, name, numbers, TOLERANCE);
    }
    int64_t visits[VISITS + 1];
    ck_assert(!peft_diffusion_visits(&d, VISITS, true, visits, &error));
    const struct {
        int64_t t, s;
        const char *name;
    } jumps[] = {{visits[0], visits[1], "out.ddim.945.929"},
                 {visits[VISITS - 2], visits[VISITS - 1], "out.ddim.17.1"},
                 {visits[VISITS - 1], visits[VISITS], "out.ddim.1.0"},
                 {16, -1, "out.ddim.final"}};
    for (int k = 0; k < 4; k++) {
        peft_diffusion_ddim(&d, jumps[k].t, jumps[k].s, 0.05, x, noise, z, COUNT, numbers);
        golden_check(file, jumps[k].name, numbers, TOLERANCE);
    }
    peft_diffusion_free(&d);
    peft_safetensors_close(file);
}
END_TEST

/* ---- one step ---- */

START_TEST(a_step_of_training_is_that_of_the_published_program)
{
    enum { ADAPTERS = 3, TOKENS = 12, ALL = ADAPTERS * TOKENS, WIDTH = 32 };
    static const int32_t starts[] = {0, TOKENS, 2 * TOKENS, 3 * TOKENS};
    peft_safetensors *file = golden_open("oral/step.safetensors");
    peft_error error = {0};
    peft_oral_sizes sizes = peft_oral_default_sizes(TOKENS, WIDTH, 10);
    sizes.own_condition = false;
    sizes.mamba = blocks[1].sizes;
    sizes.denoiser = small_denoiser;
    peft_oral oral;
    ck_assert_msg(!peft_oral_create(&oral, &sizes, 1, &error), "%s", error.message);
    golden_load(file, &oral.set, "", unused);

    const float *tokens = golden_values(file, "in.tokens"), *noise = golden_values(file, "in.eps");
    const float *mask = golden_values(file, "in.mask");
    const int64_t *t = golden_find(file, "in.t")->data;
    float noisy[ALL * WIDTH];
    double shown = 0;
    peft_diffusion d;
    ck_assert(!peft_diffusion_create(&d, 1000, 1e-4, 0.02, &error));
    for (int k = 0; k < ALL; k++)
        peft_diffusion_noise(&d, t[k], tokens + k * WIDTH, noise + k * WIDTH, WIDTH, noisy + k * WIDTH);
    for (int k = 0; k < ALL * WIDTH; k++) shown += (double)mask[k];

    FOR_BACKENDS(b)
    {
        run r;
        open_run(&r, b);
        const peft_net net = {r.g, &oral.set, true};
        peft_tensor *prototypes =
            peft_oral_prototypes(&net, &oral, golden_leaf(r.g, file, "in.cond", false),
                                 golden_leaf(r.g, file, "in.position", false), starts_of(r.g, starts, ADAPTERS), NULL);
        peft_tensor *x = peft_constant(r.g, PEFT_F32, peft_shape_2(ALL, WIDTH), noisy, "x");
        peft_tensor *e = peft_oral_estimate(&net, &oral, x, prototypes, NULL, time_leaf(r.g, file), NULL);
        peft_tensor *loss = peft_oral_loss(&net, e, golden_leaf(r.g, file, "in.eps", false),
                                           golden_leaf(r.g, file, "in.mask", false), shown);
        peft_graph_keep(r.g, prototypes);
        peft_graph_keep(r.g, e);
        compute(&r, &oral.set, loss, NULL);
        golden_check(file, "out.prototypes", read_values(r.g, prototypes), TOLERANCE);
        golden_check(file, "out.eps", read_values(r.g, e), TOLERANCE);
        golden_check(file, "loss", read_values(r.g, loss), TOLERANCE);
        golden_check_gradients(file, &oral.set, "", TOLERANCE);
        close_run(&r);
    }
    peft_diffusion_free(&d);
    peft_oral_free(&oral);
    peft_safetensors_close(file);
}
END_TEST

TEST_MAIN("oral_goldens", tcase_add_test(tc, tokens_are_those_of_the_published_program);
          tcase_add_test(tc, scan_is_that_of_mamba);
          tcase_add_loop_test(tc, blocks_are_those_of_mamba, 0, sizeof blocks / sizeof *blocks);
          tcase_add_test(tc, denoiser_is_that_of_the_published_program);
          tcase_add_test(tc, diffusion_is_that_of_the_published_program);
          tcase_add_test(tc, a_step_of_training_is_that_of_the_published_program))
