#include "generators/oral/sample.h"

#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/rng.h"

/* What all samples share. With guidance every token is estimated twice: with the condition, and without. */
typedef struct sampler {
    const peft_oral *oral;
    const peft_diffusion *diffusion;
    const peft_oral_sampling *options;
    peft_context *ctx;
    peft_graph *g;
    int64_t N, D, d, C, copies, rows; /* rows: tokens that are estimated at once */
    float *conditions;                /* [copies, C], the second zeros */
    float *prototypes;                /* [rows, d] */
    float *own;                       /* [rows, C] */
    float *x, *time;                  /* [rows, D], [rows, PEFT_TIME_FEATURES] */
    float *noise, *z;                 /* [N, D] */
    int64_t *visits;
    peft_tensor *estimate;
} sampler;

static peft_status no_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "sampling: out of memory");
}

static peft_status open_sampler(sampler *s, const float *condition, peft_error *error)
{
    const peft_oral_sizes *sizes = &s->oral->sizes;
    s->N = sizes->tokens, s->D = sizes->denoiser.width, s->d = sizes->mamba.width, s->C = sizes->condition;
    s->copies = s->options->guidance == 1 ? 1 : 2;
    s->rows = s->copies * s->N;
    const int64_t counts[] = {
        s->copies * s->C, s->rows * s->d, s->rows * s->C, s->rows * s->D, s->rows * PEFT_TIME_FEATURES,
        s->N * s->D,      s->N * s->D};
    float **const places[] = {&s->conditions, &s->prototypes, &s->own, &s->x, &s->time, &s->noise, &s->z};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
        if (!(*places[k] = calloc((size_t)counts[k], sizeof(float)))) return no_memory(error);
    s->visits = malloc((size_t)(s->diffusion->num_steps + 1) * sizeof *s->visits);
    if (!s->visits) return no_memory(error);
    memcpy(s->conditions, condition, (size_t)s->C * sizeof *condition);
    for (int64_t n = 0; n < s->N; n++) memcpy(s->own + n * s->C, condition, (size_t)s->C * sizeof *condition);
    return peft_graph_create(&s->g, error);
}

static void close_sampler(sampler *s)
{
    float *const arrays[] = {s->conditions, s->prototypes, s->own, s->x, s->time, s->noise, s->z};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) free(arrays[k]);
    free(s->visits);
    peft_graph_free(s->g);
}

/* (1) of oral.h, once */
static peft_status make_prototypes(sampler *s, const float *addresses, int32_t member, peft_error *error)
{
    const int32_t starts[] = {0, (int32_t)s->N, (int32_t)(2 * s->N)}, members[] = {member, member};
    const peft_net net = {s->g, &s->oral->set, false};
    peft_tensor *table =
        addresses ? peft_constant(s->g, PEFT_F32, peft_shape_2(s->N, s->d), addresses, "addresses") : NULL;
    peft_tensor *prototypes = peft_oral_prototypes(
        &net, s->oral, peft_constant(s->g, PEFT_F32, peft_shape_2(s->copies, s->C), s->conditions, "conditions"), table,
        peft_constant(s->g, PEFT_I32, peft_shape_1(s->copies + 1), starts, "starts"),
        member >= 0 ? peft_constant(s->g, PEFT_I32, peft_shape_1(s->copies), members, "members") : NULL);
    peft_graph_keep(s->g, prototypes);
    peft_status status = peft_graph_status(s->g, error);
    if (status == PEFT_OK) status = peft_graph_run(s->g, s->ctx, error);
    const void *values = NULL;
    if (status == PEFT_OK) status = peft_graph_read(s->g, prototypes, &values, error);
    if (status == PEFT_OK) memcpy(s->prototypes, values, (size_t)(s->rows * s->d) * sizeof(float));
    peft_graph_reset(s->g);
    return status;
}

/* (2), to be run again and again */
static peft_status describe_estimate(sampler *s, peft_error *error)
{
    const peft_net net = {s->g, &s->oral->set, false};
    peft_tensor *own = s->oral->sizes.own_condition
                           ? peft_constant(s->g, PEFT_F32, peft_shape_2(s->rows, s->C), s->own, "conditions")
                           : NULL;
    s->estimate = peft_oral_estimate(
        &net, s->oral, peft_constant(s->g, PEFT_F32, peft_shape_2(s->rows, s->D), s->x, "x"),
        peft_constant(s->g, PEFT_F32, peft_shape_2(s->rows, s->d), s->prototypes, "prototypes"), own,
        peft_constant(s->g, PEFT_F32, peft_shape_2(s->rows, PEFT_TIME_FEATURES), s->time, "time"), NULL);
    peft_graph_keep(s->g, s->estimate);
    return peft_graph_status(s->g, error);
}

/* The noise in x at step t, guided. */
static peft_status find_noise(sampler *s, int64_t t, peft_error *error)
{
    const int64_t count = s->N * s->D;
    const int32_t step = (int32_t)t;
    for (int64_t n = 0; n < s->rows; n++)
        peft_denoiser_time(s->oral->frequencies, &step, 1, s->time + n * PEFT_TIME_FEATURES);
    if (s->copies > 1) memcpy(s->x + count, s->x, (size_t)count * sizeof *s->x);
    const void *estimate = NULL;
    peft_status status = peft_graph_run(s->g, s->ctx, error);
    if (status == PEFT_OK) status = peft_graph_read(s->g, s->estimate, &estimate, error);
    if (status != PEFT_OK) return status;
    const float *with = estimate, *without = with + (s->copies - 1) * count;
    const float w = (float)s->options->guidance;
    for (int64_t k = 0; k < count; k++) s->noise[k] = s->copies > 1 ? without[k] + w * (with[k] - without[k]) : with[k];
    if (s->options->predicts_numbers) peft_diffusion_noise_in(s->diffusion, t, s->x, s->noise, count, s->noise);
    return PEFT_OK;
}

/* Number `draw` of a sample's noise: 0 what it begins with. */
static void draw_noise(const sampler *s, int64_t sample, int64_t draw, float *to)
{
    const uint64_t stream = peft_random_u64(s->options->seed, peft_stream("oral sample"), (uint64_t)sample);
    peft_random_normal(to, (size_t)(s->N * s->D), 0, 1, s->options->seed,
                       peft_random_u64(s->options->seed, stream, (uint64_t)draw));
}

static peft_status sample_one(sampler *s, int64_t sample, int64_t steps, float *tokens, peft_error *error)
{
    const int64_t count = s->N * s->D;
    peft_status status = PEFT_OK;
    draw_noise(s, sample, 0, s->x);
    for (int64_t k = 0; k < steps && status == PEFT_OK; k++) {
        const int64_t t = s->visits[k], next = s->visits[k + 1];
        status = find_noise(s, t, error);
        if (status != PEFT_OK) break;
        draw_noise(s, sample, k + 1, s->z);
        if (s->options->steps > 0)
            peft_diffusion_ddim(s->diffusion, t, next, s->options->eta, s->x, s->noise, s->z, count, s->x);
        else
            peft_diffusion_ddpm(s->diffusion, t, s->x, s->noise, s->z, count, s->x);
    }
    if (status == PEFT_OK) memcpy(tokens, s->x, (size_t)count * sizeof *tokens);
    return status;
}

peft_status peft_oral_sample(const peft_oral *oral, const peft_diffusion *diffusion, const peft_oral_sampling *options,
                             peft_context *ctx, const float *condition, const float *addresses, int32_t member,
                             int64_t samples, float *tokens, peft_error *error)
{
    sampler s = {.oral = oral, .diffusion = diffusion, .options = options, .ctx = ctx};
    const int64_t steps = options->steps > 0 ? options->steps : diffusion->num_steps;
    peft_status status = open_sampler(&s, condition, error);
    if (status == PEFT_OK) status = peft_diffusion_visits(diffusion, steps, options->as_published, s.visits, error);
    if (status == PEFT_OK) status = make_prototypes(&s, addresses, member, error);
    if (status == PEFT_OK) status = describe_estimate(&s, error);
    for (int64_t k = 0; k < samples && status == PEFT_OK; k++)
        status = sample_one(&s, options->first_sample + k, steps, tokens + k * s.N * s.D, error);
    close_sampler(&s);
    return status;
}
