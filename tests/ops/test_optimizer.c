#include "ops/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"

enum { W = 5, V = 3, STEPS = 4 };

/* Two parameters, and gradients that change sign. */
typedef struct problem {
    float w[W], v[V], dw[W], dv[V];
} problem;

static problem start(void)
{
    return (problem){.w = {0.5F, -1, 2, -0.25F, 1.5F}, .v = {1, -0.75F, 0.125F}};
}

static void set_gradients(problem *p, int step)
{
    for (int k = 0; k < W; k++) p->dw[k] = 0.5F * (float)(k + 1) - (float)step;
    for (int k = 0; k < V; k++) p->dv[k] = 0.25F * (float)((step + 1) * (k % 2 ? -1 : 1) * (k + 1));
}

/* The values of torch 2.15 after four steps:
 *
 *     w = torch.tensor([0.5, -1, 2, -0.25, 1.5]); v = torch.tensor([1, -0.75, 0.125])
 *     groups = [dict(params=[w], lr=rate, weight_decay=decay), dict(params=[v], lr=rate * factor,
 * weight_decay=decay_v)] for t in range(4): w.grad = torch.tensor([(k + 1) * 0.5 - t for k in range(5)]) v.grad =
 * torch.tensor([0.25 * (t + 1) * (-1) ** k * (k + 1) for k in range(3)]) torch.nn.utils.clip_grad_norm_([w, v],
 * max_norm); optimizer.step() */
static const struct {
    const char *name;
    peft_optimizer_options options;
    double rate, factor, decay, decay_v, max_norm;
    float w[W], v[V], state_w[2][W], state_v[2][V];
} cases[] = {
    {"AdamW",
     {PEFT_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
     0.1,
     1,
     0,
     0,
     0,
     {0.540164948F, -1.10689616F, 1.77971959F, -0.545393467F, 1.16255021F},
     {0.611640692F, -0.361640692F, -0.263359338F},
     {{-0.389050007F, -0.217099994F, -0.0451500081F, 0.126800001F, 0.298749983F},
      {0.00899650156F, 0.00599600375F, 0.00499250693F, 0.00598601345F, 0.00897652097F}},
     {{0.226225004F, -0.452450007F, 0.678674996F}, {0.00187375047F, 0.00749500189F, 0.016863754F}}},
    {"AdamW, decay and a group with its own rate",
     {PEFT_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
     0.05,
     4,
     0.1,
     0.01,
     0,
     {0.510728419F, -1.03253865F, 1.85145187F, -0.391342789F, 1.3029325F},
     {0.217657581F, 0.0303484797F, -0.650363564F},
     {{-0.389050007F, -0.217099994F, -0.0451500081F, 0.126800001F, 0.298749983F},
      {0.00899650156F, 0.00599600375F, 0.00499250693F, 0.00598601345F, 0.00897652097F}},
     {{0.226225004F, -0.452450007F, 0.678674996F}, {0.00187375047F, 0.00749500189F, 0.016863754F}}},
    {"AdamW, clipped, other averages",
     {PEFT_ADAMW, .beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3},
     0.1,
     1,
     0.01,
     0,
     0.5,
     {0.579184294F, -1.07879031F, 1.77191651F, -0.550750673F, 1.15355527F},
     {0.619311213F, -0.366130322F, -0.259944528F},
     {{-0.0878435895F, -0.0480416529F, -0.00823971536F, 0.0315622203F, 0.0713641569F},
      {0.0109952781F, 0.00678523816F, 0.00601301668F, 0.00867861416F, 0.0147820292F}},
     {{0.0518123507F, -0.103624701F, 0.155437052F}, {0.0027657696F, 0.0110630784F, 0.0248919241F}}},
    {"SGD",
     {.kind = PEFT_SGD},
     0.1,
     2,
     0,
     0.1,
     0,
     {0.899999976F, -0.800000012F, 2, -0.450000018F, 1.10000002F},
     {0.43226853F, 0.288423121F, -1.35500276F},
     {{0}},
     {{0}}},
    {"SGD with momentum, clipped",
     {PEFT_SGD, .momentum = 0.9},
     0.1,
     2,
     0,
     0.1,
     1,
     {0.636407256F, -0.996233523F, 1.87112558F, -0.5115152F, 1.10584402F},
     {0.563352883F, -0.0960824564F, -0.680374861F},
     {{-0.925626695F, -0.453003049F, 0.0196206868F, 0.492244422F, 0.964868069F}},
     {{0.890502036F, -1.37342F, 1.73406291F}}},
    {"SGD with Nesterov's momentum",
     {PEFT_SGD, .momentum = 0.9, .nesterov = true},
     0.1,
     2,
     0,
     0.1,
     0,
     {1.34869504F, -0.758510053F, 1.63428497F, -1.22291994F, -0.0801250264F},
     {-0.513614357F, 1.99042678F, -3.75619864F},
     {{-3.89050007F, -2.171F, -0.451500177F, 1.26799989F, 2.98749995F}},
     {{2.47163486F, -4.54688597F, 6.50322199F}}},
};

static peft_optimizer *make(problem *p, int k)
{
    const peft_optimizer_parameter parameters[] = {{p->w, p->dw, W, 1, cases[k].decay},
                                                   {p->v, p->dv, V, cases[k].factor, cases[k].decay_v}};
    peft_error error = {0};
    peft_optimizer *o;
    ck_assert_msg(!peft_optimizer_create(&o, &cases[k].options, parameters, 2, &error), "%s", error.message);
    return o;
}

static void step(peft_optimizer *o, problem *p, int k, int t)
{
    static const double norms[STEPS] = {3.82426453, 2.69258261, 3.40954542, 5.26782703}; /* torch's, too */
    peft_error error = {0};
    double norm;
    set_gradients(p, t);
    ck_assert_msg(!peft_optimizer_clip(o, cases[k].max_norm, &norm, &error), "%s", error.message);
    ck_assert_double_eq_tol(norm, norms[t], 1e-6);
    ck_assert_msg(!peft_optimizer_step(o, cases[k].rate, &error), "%s", error.message);
}

/* Within two units in the last place of the largest: torch's own vector code fuses some of the operations. */
static void check(const char *name, const char *what, const float *found, const float *expected, int count)
{
    float largest = 0;
    for (int k = 0; k < count; k++) largest = fmaxf(largest, fabsf(expected[k]));
    for (int k = 0; k < count; k++)
        ck_assert_msg(fabsf(found[k] - expected[k]) <= 2.4e-7F * largest, "%s: %s[%d]: expected %.9g, found %.9g", name,
                      what, k, (double)expected[k], (double)found[k]);
}

START_TEST(four_steps_are_those_of_torch)
{
    problem p = start();
    peft_optimizer *o = make(&p, _i);
    for (int t = 0; t < STEPS; t++) step(o, &p, _i, t);
    check(cases[_i].name, "w", p.w, cases[_i].w, W);
    check(cases[_i].name, "v", p.v, cases[_i].v, V);
    bool torch_has_state = cases[_i].options.kind == PEFT_ADAMW || cases[_i].options.momentum > 0;
    for (int which = 0; which < 2 && torch_has_state; which++) {
        if (!peft_optimizer_state(o, 0, which)) continue;
        check(cases[_i].name, "state of w", peft_optimizer_state(o, 0, which), cases[_i].state_w[which], W);
        check(cases[_i].name, "state of v", peft_optimizer_state(o, 1, which), cases[_i].state_v[which], V);
    }
    ck_assert_int_eq(peft_optimizer_steps(o), STEPS);
    peft_optimizer_free(o);
}
END_TEST

START_TEST(restored_state_goes_on_with_the_same_bits)
{
    problem whole = start();
    peft_optimizer *first = make(&whole, _i);
    for (int t = 0; t < 2; t++) step(first, &whole, _i, t);
    problem resumed = whole;
    peft_optimizer *second = make(&resumed, _i);
    const int64_t counts[] = {W, V};
    for (size_t k = 0; k < 2; k++)
        for (int which = 0; which < 2; which++) {
            float *from = peft_optimizer_state(first, k, which), *to = peft_optimizer_state(second, k, which);
            if (from) memcpy(to, from, (size_t)counts[k] * sizeof *to);
        }
    peft_optimizer_set_steps(second, peft_optimizer_steps(first));
    for (int t = 2; t < STEPS; t++) {
        step(first, &whole, _i, t);
        step(second, &resumed, _i, t);
    }
    ck_assert_mem_eq(&whole, &resumed, sizeof whole);
    peft_optimizer_free(first);
    peft_optimizer_free(second);
}
END_TEST

START_TEST(a_gradient_that_is_not_finite_changes_nothing)
{
    static const float values[] = {INFINITY, -INFINITY, NAN};
    problem p = start();
    peft_optimizer *o = make(&p, 2);
    step(o, &p, 2, 0);
    set_gradients(&p, 1);
    p.dv[1] = values[_i];
    problem before = p;
    double norm;
    peft_error error = {0};
    ck_assert_int_eq(peft_optimizer_clip(o, 0.5, &norm, &error), PEFT_ERR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "gradient: expected a finite norm"));
    ck_assert_mem_eq(&p, &before, sizeof p);
    ck_assert_int_eq(peft_optimizer_step(o, (double)values[_i], &error), PEFT_ERR_ARGUMENT);
    ck_assert_mem_eq(&p, &before, sizeof p);
    ck_assert_int_eq(peft_optimizer_steps(o), 1);
    peft_optimizer_free(o);
}
END_TEST

/* Several pieces of work, and one that is not whole. */
enum { MANY = 300001 };

/* 0 threads: without a context */
static double norm_and_step(int threads, float *values)
{
    float *gradient = malloc(MANY * sizeof *gradient);
    ck_assert_ptr_nonnull(gradient);
    for (uint64_t k = 0; k < MANY; k++) {
        values[k] = (float)op_noise(k);
        gradient[k] = (float)op_noise(MANY + k);
    }
    const peft_optimizer_parameter parameter = {values, gradient, MANY, 1, 0.01};
    peft_optimizer_options options = peft_optimizer_defaults();
    const peft_context_options with = {.threads = threads};
    peft_error error = {0};
    if (threads) ck_assert(!peft_context_open(&options.context, &with, &error));
    peft_optimizer *o;
    double norm;
    ck_assert(!peft_optimizer_create(&o, &options, &parameter, 1, &error));
    ck_assert(!peft_optimizer_clip(o, 1, &norm, &error));
    ck_assert(!peft_optimizer_step(o, 1e-3, &error));
    peft_optimizer_free(o);
    peft_context_close(options.context);
    free(gradient);
    return norm;
}

START_TEST(threads_do_not_change_a_bit)
{
    static float one[MANY], more[MANY];
    double norm = norm_and_step(0, one);
    ck_assert_double_eq_tol(norm, sqrt(MANY / 3.0), 1); /* uniform in -1 ... 1: variance 1/3 */
    for (int threads = 1; threads <= 4; threads++) {
        ck_assert(norm_and_step(threads, more) == norm);
        ck_assert_mem_eq(one, more, sizeof one);
    }
}
END_TEST

START_TEST(options_out_of_range_are_refused)
{
    const struct {
        peft_optimizer_options options;
        const char *message;
    } wrong[] = {
        {{.beta1 = 1}, "optimizer: beta1: expected 0 <= beta1 < 1, found 1"},
        {{.beta2 = -0.5}, "optimizer: beta2: expected 0 <= beta2 < 1, found -0.5"},
        {{.eps = (double)NAN}, "optimizer: eps: expected 0 or more, found "},
        {{PEFT_SGD, .momentum = -1}, "optimizer: momentum: expected 0 or more, found -1"},
        {{PEFT_SGD, .nesterov = true}, "optimizer: momentum: expected more than 0 with nesterov, found 0"},
    };
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        peft_error error = {0};
        peft_optimizer *o;
        ck_assert_int_eq(peft_optimizer_create(&o, &wrong[k].options, NULL, 0, &error), PEFT_ERR_ARGUMENT);
        ck_assert_ptr_null(o);
        ck_assert_msg(strstr(error.message, wrong[k].message), "expected \"%s\", found \"%s\"", wrong[k].message,
                      error.message);
    }
}
END_TEST

START_TEST(running_out_of_memory_is_reported)
{
    problem p = start();
    const peft_optimizer_parameter parameters[] = {{p.w, p.dw, W, 1, 0}, {p.v, p.dv, V, 1, 0}};
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_optimizer *o;
        fail_allocation(call);
        peft_status status = peft_optimizer_create(&o, NULL, parameters, 2, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert(failed == !o);
        peft_optimizer_free(o);
    }
}
END_TEST

TEST_MAIN("optimizer", tcase_add_loop_test(tc, four_steps_are_those_of_torch, 0, sizeof cases / sizeof *cases);
          tcase_add_loop_test(tc, restored_state_goes_on_with_the_same_bits, 0, sizeof cases / sizeof *cases);
          tcase_add_loop_test(tc, a_gradient_that_is_not_finite_changes_nothing, 0, 3);
          tcase_add_test(tc, threads_do_not_change_a_bit); tcase_add_test(tc, options_out_of_range_are_refused);
          tcase_add_test(tc, running_out_of_memory_is_reported))
