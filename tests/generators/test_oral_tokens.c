/* Tokens of any shapes and back, what padding is, addresses, and the steps of diffusion. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generators/oral/diffusion.h"
#include "generators/oral/tokens.h"
#include "ops/rng.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"

static const peft_token_tensor tensors[] = {
    {.name = "a", .shape = {2, {4, 24}}},    {.name = "scalar", .shape = {0}},
    {.name = "b", .shape = {2, {7, 3}}},     {.name = "one", .shape = {1, {1}}},
    {.name = "vector", .shape = {1, {5}}},   {.name = "cube", .shape = {3, {2, 3, 11}}},
    {.name = "whole", .shape = {2, {2, 8}}}, {.name = "c", .shape = {4, {1, 2, 1, 3}}},
};
enum { TENSORS = sizeof tensors / sizeof *tensors, MOST_VALUES = 512, MOST_NUMBERS = 4096 };
static const int64_t widths[] = {1, 3, 8, 16, 1000};
enum { WIDTHS = sizeof widths / sizeof *widths, GRANULARITIES = 3 };

static void open_layout(peft_token_layout *layout, int64_t width, int granularity)
{
    peft_error error = {0};
    ck_assert_msg(!peft_token_layout_create(layout, tensors, TENSORS, width, granularity, &error), "%s", error.message);
    ck_assert_int_le(layout->num_values, MOST_VALUES);
}

static void draw(float *values, int64_t count, int salt)
{
    for (int64_t k = 0; k < count; k++) values[k] = (float)(0.02 * op_noise((uint64_t)(k + 1000 * salt)) + 0.3);
}

/* Before anything is measured the numbers themselves are cut and put together again: to the bit. */
START_TEST(cutting_loses_nothing)
{
    peft_error error = {0};
    peft_token_layout layout;
    open_layout(&layout, widths[_i / GRANULARITIES], _i % GRANULARITIES);
    float values[MOST_VALUES], back[MOST_VALUES], *tokens = calloc((size_t)layout.num_tokens, (size_t)layout.width * 4);
    draw(values, layout.num_values, 1);
    for (int i = 0; i < TENSORS; i++)
        if (layout.tensors[i].count == 1) values[layout.tensors[i].begin] = 0; /* kept, as its mean */
    ck_assert(!peft_tokens_make(&layout, values, tokens, &error));
    ck_assert(!peft_tokens_restore(&layout, tokens, back, &error));
    ck_assert_mem_eq(values, back, (size_t)layout.num_values * sizeof *values);
    free(tokens);
    peft_token_layout_free(&layout);
}
END_TEST

/* Each generated number is in one token, padding is what the mask says, and pieces keep to their granularity. */
START_TEST(pieces_cover_all_once)
{
    const int granularity = _i % GRANULARITIES;
    peft_token_layout layout;
    open_layout(&layout, widths[_i / GRANULARITIES], granularity);
    float *mask = calloc((size_t)layout.num_tokens, (size_t)layout.width * sizeof *mask);
    peft_tokens_mask(&layout, mask);
    int64_t at = 0, shown = 0, tensor = -1;
    for (int64_t n = 0; n < layout.num_tokens; n++) {
        const peft_token_piece *p = &layout.pieces[n];
        ck_assert_int_eq(p->begin, at);
        ck_assert(p->count >= 1 && p->count <= layout.width);
        for (int64_t k = 0; k < layout.width; k++) {
            ck_assert_double_eq((double)mask[n * layout.width + k], k < p->count ? 1 : 0);
            shown += k < p->count;
        }
        at += p->count;
        if (granularity > 0 && p->tensor != tensor) ck_assert_int_eq(p->piece, 0);
        if (granularity == 0) ck_assert_int_eq(p->piece, n);
        if (granularity < 2 && n + 1 < layout.num_tokens && layout.pieces[n + 1].tensor == p->tensor)
            ck_assert_int_eq(p->count, layout.width);
        tensor = p->tensor;
    }
    ck_assert_int_eq(shown, layout.num_generated);
    ck_assert_int_eq(layout.num_generated, layout.num_values - 2);
    if (granularity > 0) ck_assert_int_eq(tensor, TENSORS - 3); /* two are kept */
    free(mask);
    peft_token_layout_free(&layout);
}
END_TEST

START_TEST(whole_rows_where_they_fit)
{
    peft_token_layout layout;
    open_layout(&layout, 8, 2);
    /* "a" has rows of 24: three pieces of 8 each. "b" has rows of 3: two in a token, of 7 rows. */
    for (int n = 0; n < 12; n++) ck_assert_int_eq(layout.pieces[n].count, 8);
    for (int n = 12; n < 15; n++) ck_assert_int_eq(layout.pieces[n].count, 6);
    ck_assert_int_eq(layout.pieces[15].count, 3);
    peft_token_layout_free(&layout);
}
END_TEST

/* A tensor gets mean 0 and deviation 1 on average, and comes back up to roundings of its normalised numbers. */
START_TEST(measured_tensors_are_normalised)
{
    enum { ADAPTERS = 4 };
    peft_error error = {0};
    peft_token_layout layout;
    open_layout(&layout, widths[_i / GRANULARITIES], _i % GRANULARITIES);
    float values[ADAPTERS * MOST_VALUES], back[MOST_VALUES];
    float *tokens = calloc((size_t)layout.num_tokens, (size_t)layout.width * sizeof *tokens);
    draw(values, ADAPTERS * layout.num_values, 2);
    for (int a = 0; a < ADAPTERS; a++) /* one tensor never varies: its deviation has a floor */
        for (int64_t k = 0; k < layout.tensors[2].count; k++)
            values[a * layout.num_values + layout.tensors[2].begin + k] = 0;
    ck_assert(!peft_token_layout_measure(&layout, values, ADAPTERS, &error));
    ck_assert_double_eq_tol(layout.tensors[0].deviation, 0.02 / sqrt(3), 2e-3);
    ck_assert_double_gt(layout.tensors[2].deviation, 0);
    ck_assert_double_lt(layout.tensors[2].deviation, 1e-7);
    double mean = 0;
    for (int a = 0; a < ADAPTERS; a++) {
        const float *one = values + a * layout.num_values;
        ck_assert(!peft_tokens_make(&layout, one, tokens, &error));
        for (int64_t k = 0; k < layout.num_tokens * layout.width; k++) mean += (double)tokens[k];
        ck_assert(!peft_tokens_restore(&layout, tokens, back, &error));
        for (int i = 0; i < TENSORS; i++)
            for (int64_t k = layout.tensors[i].begin; k < layout.tensors[i].begin + layout.tensors[i].count; k++)
                ck_assert_double_eq_tol((double)back[k],
                                        layout.tensors[i].count > 1 ? (double)one[k] : layout.tensors[i].mean, 6e-8);
    }
    ck_assert_double_eq_tol(mean, 0, 1e-3);
    free(tokens);
    peft_token_layout_free(&layout);
}
END_TEST

START_TEST(addresses_tell_tokens_apart)
{
    enum { D = 8 };
    peft_token_layout layout;
    open_layout(&layout, 8, 1);
    float *address = calloc((size_t)layout.num_tokens, D * sizeof *address);
    for (int two = 0; two < 2; two++) {
        peft_token_address(&layout, D, two, address);
        for (int64_t n = 0; n < layout.num_tokens; n++)
            for (int64_t m = 0; m < n; m++)
                ck_assert_int_ne(memcmp(address + n * D, address + m * D, D * sizeof *address), 0);
    }
    ck_assert_double_eq_tol((double)address[D * 13], sin(1), 1e-6); /* the second piece of the second tensor */
    free(address);
    peft_token_layout_free(&layout);
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
    peft_error error = {0};
    peft_token_layout layout;
    ck_assert_int_eq(peft_token_layout_create(&layout, tensors, TENSORS, 0, 1, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "tokens: size: expected 1 or more, found 0"));
    ck_assert_int_eq(peft_token_layout_create(&layout, tensors, TENSORS, 8, 3, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "granularity: expected 0, 1 or 2, found 3"));
    ck_assert_int_eq(peft_token_layout_create(&layout, tensors + 3, 1, 8, 1, &error), PEFT_ERR_ARGUMENT);
    open_layout(&layout, 8, 1);
    float values[MOST_VALUES] = {0};
    values[7] = NAN;
    ck_assert_int_eq(peft_token_layout_measure(&layout, values, 1, &error), PEFT_ERR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "tokens: a: of adapter 0"));
    ck_assert_int_eq(peft_token_layout_measure(&layout, values, 0, &error), PEFT_ERR_ARGUMENT);
    peft_token_layout_free(&layout);
    peft_diffusion d;
    ck_assert_int_eq(peft_diffusion_create(&d, 0, 1e-4, 0.02, &error), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(peft_diffusion_create(&d, 10, 0.02, 1e-4, &error), PEFT_ERR_ARGUMENT);
    ck_assert(!peft_diffusion_create(&d, 10, 1e-4, 0.02, &error));
    int64_t visits[12];
    ck_assert_int_eq(peft_diffusion_visits(&d, 11, false, visits, &error), PEFT_ERR_ARGUMENT);
    peft_diffusion_free(&d);
}
END_TEST

/* ---- diffusion ---- */

static void open_diffusion(peft_diffusion *d, int64_t steps)
{
    peft_error error = {0};
    ck_assert_msg(!peft_diffusion_create(d, steps, 1e-4, 0.02, &error), "%s", error.message);
}

START_TEST(visits_go_from_the_last_step_to_the_end)
{
    enum { T = 1000 };
    static const int64_t counts[] = {1, 2, 3, 60, 999, T};
    peft_error error = {0};
    peft_diffusion d;
    int64_t visits[T + 1];
    open_diffusion(&d, T);
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        ck_assert(!peft_diffusion_visits(&d, counts[k], false, visits, &error));
        ck_assert_int_eq(visits[0], T - 1);
        ck_assert_int_eq(visits[counts[k]], -1);
        for (int64_t n = 0; n < counts[k]; n++) ck_assert_int_gt(visits[n], visits[n + 1]);
        if (counts[k] > 1) ck_assert_int_eq(visits[counts[k] - 1], 0);
    }
    peft_diffusion_free(&d);
}
END_TEST

/* With eta = 1 and all steps DDIM is DDPM; with eta = 0 its noise does not count. */
START_TEST(ddim_has_ddpm_as_a_case)
{
    enum { T = 50, COUNT = 9 };
    peft_diffusion d;
    float x[COUNT], e[COUNT], z[COUNT], other[COUNT], a[COUNT], b[COUNT];
    for (int k = 0; k < COUNT; k++) {
        x[k] = (float)op_noise((uint64_t)k);
        e[k] = (float)op_noise((uint64_t)k + 100);
        z[k] = (float)op_noise((uint64_t)k + 200);
        other[k] = (float)op_noise((uint64_t)k + 300);
    }
    open_diffusion(&d, T);
    for (int64_t t = T - 1; t >= 0; t--) {
        peft_diffusion_ddpm(&d, t, x, e, z, COUNT, a);
        peft_diffusion_ddim(&d, t, t - 1, 1, x, e, z, COUNT, b);
        for (int k = 0; k < COUNT; k++) ck_assert_double_eq_tol((double)a[k], (double)b[k], 1e-5);
        peft_diffusion_ddim(&d, t, t - 1, 0, x, e, z, COUNT, a);
        peft_diffusion_ddim(&d, t, t - 1, 0, x, e, other, COUNT, b);
        ck_assert_mem_eq(a, b, sizeof a);
    }
    peft_diffusion_free(&d);
}
END_TEST

/* Where the noise is known, it is found again, and one step to the end gives what there was. */
START_TEST(noise_and_numbers_are_found_again)
{
    enum { T = 1000, COUNT = 5 };
    static const int64_t steps[] = {0, 17, 500, T - 1};
    peft_diffusion d;
    const float x0[COUNT] = {-2, -0.5F, 0, 1, 3}, e[COUNT] = {0.3F, -1, 2, 0.1F, -0.7F};
    float x[COUNT], found[COUNT];
    open_diffusion(&d, T);
    for (int k = 0; k < 4; k++) {
        const double signal = sqrt(d.kept[steps[k]]), noise = sqrt(1 - d.kept[steps[k]]);
        peft_diffusion_noise(&d, steps[k], x0, e, COUNT, x);
        peft_diffusion_noise_in(&d, steps[k], x, x0, COUNT, found);
        for (int i = 0; i < COUNT; i++) ck_assert_double_eq_tol((double)found[i], (double)e[i], 1e-6 / noise);
        peft_diffusion_ddim(&d, steps[k], -1, 0, x, e, NULL, COUNT, found);
        for (int i = 0; i < COUNT; i++) ck_assert_double_eq_tol((double)found[i], (double)x0[i], 1e-6 / signal);
    }
    peft_diffusion_free(&d);
}
END_TEST

/* Of numbers from a normal distribution the best estimate is known: x_0 = m + s^2 r / (r^2 s^2 + 1 - a) (x - r m), with
 * r = sqrt(a). Samples must have its mean and variance, within three standard errors. */
START_TEST(samples_have_the_density_that_was_learnt)
{
    enum { T = 200, COUNT = 4000, STREAM = 11 };
    static const double means[] = {-2, 1.5}, deviation = 0.5; /* one for each condition */
    static float x[COUNT], e[COUNT], z[COUNT];
    peft_diffusion d;
    open_diffusion(&d, T);
    for (int condition = 0; condition < 2; condition++)
        for (int ddpm = 0; ddpm < 2; ddpm++) {
            const uint64_t seed = (uint64_t)(10 * condition + ddpm);
            peft_random_normal(x, COUNT, 0, 1, seed, STREAM);
            /* the noise that is left at the last step has the mean and variance of x_T */
            for (int k = 0; k < COUNT; k++) {
                const double a = d.kept[T - 1];
                const double spread = sqrt(a * deviation * deviation + 1 - a);
                x[k] = (float)(sqrt(a) * means[condition] + spread * (double)x[k]);
            }
            for (int64_t t = T - 1; t >= 0; t--) {
                const double a = d.kept[t], r = sqrt(a), v = deviation * deviation;
                for (int k = 0; k < COUNT; k++) {
                    const double off = (double)x[k] - r * means[condition];
                    e[k] = (float)((off - r * (v * r / (a * v + 1 - a)) * off) / sqrt(1 - a));
                }
                peft_random_normal(z, COUNT, 0, 1, seed, STREAM + 1 + (uint64_t)t);
                if (ddpm)
                    peft_diffusion_ddpm(&d, t, x, e, z, COUNT, x);
                else
                    peft_diffusion_ddim(&d, t, t - 1, 1, x, e, z, COUNT, x);
            }
            double mean = 0, variance = 0;
            for (int k = 0; k < COUNT; k++) mean += (double)x[k] / COUNT;
            for (int k = 0; k < COUNT; k++) variance += ((double)x[k] - mean) * ((double)x[k] - mean) / (COUNT - 1);
            ck_assert_double_eq_tol(mean, means[condition], 3 * deviation / sqrt(COUNT));
            ck_assert_double_eq_tol(variance, deviation * deviation,
                                    3 * deviation * deviation * sqrt(2.0 / COUNT) + 0.01); /* steps are not endless */
        }
    peft_diffusion_free(&d);
}
END_TEST

/* ---- memory ---- */

static peft_status make_all(peft_error *error)
{
    static float tokens[MOST_NUMBERS];
    float values[MOST_VALUES] = {0}, back[MOST_VALUES];
    peft_token_layout layout;
    peft_diffusion d;
    peft_status status = peft_token_layout_create(&layout, tensors, TENSORS, 8, 2, error);
    if (status != PEFT_OK) return status;
    status = peft_tokens_make(&layout, values, tokens, error);
    if (status == PEFT_OK) status = peft_tokens_restore(&layout, tokens, back, error);
    peft_token_layout_free(&layout);
    if (status == PEFT_OK) status = peft_diffusion_create(&d, 10, 1e-4, 0.02, error);
    if (status == PEFT_OK) peft_diffusion_free(&d);
    return status;
}

START_TEST(without_memory_nothing_is_lost)
{
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        fail_allocation(call);
        peft_status status = make_all(NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
    }
}
END_TEST

enum { LAYOUTS = WIDTHS * GRANULARITIES };

TEST_MAIN("oral_tokens", tcase_add_loop_test(tc, cutting_loses_nothing, 0, LAYOUTS);
          tcase_add_loop_test(tc, pieces_cover_all_once, 0, LAYOUTS); tcase_add_test(tc, whole_rows_where_they_fit);
          tcase_add_loop_test(tc, measured_tensors_are_normalised, 0, LAYOUTS);
          tcase_add_test(tc, addresses_tell_tokens_apart); tcase_add_test(tc, wrong_arguments_are_refused);
          tcase_add_test(tc, visits_go_from_the_last_step_to_the_end); tcase_add_test(tc, ddim_has_ddpm_as_a_case);
          tcase_add_test(tc, noise_and_numbers_are_found_again);
          tcase_add_test(tc, samples_have_the_density_that_was_learnt);
          tcase_add_test(tc, without_memory_nothing_is_lost))
