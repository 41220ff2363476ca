#include "generators/oral/batch.h"

#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/rng.h"

/* ---- memory ---- */

peft_status peft_oral_batch_create(peft_oral_batch *batch, const peft_oral *oral, const peft_oral_training *training,
                                   int64_t count, peft_error *error)
{
    const peft_oral_sizes *s = &oral->sizes;
    *batch = (peft_oral_batch){.count = count};
    if (count < 1 || training->drawn < 1)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "batch: expected an adapter and a token of each, or more");
    batch->rows = count * (training->drawn < s->tokens ? training->drawn : s->tokens);
    const int64_t numbers = batch->rows * s->denoiser.width;
    const int64_t integers[] = {count + 1, count, batch->rows, batch->rows};
    const int64_t floats[] = {count * s->condition, numbers, numbers, numbers, batch->rows * PEFT_TIME_FEATURES};
    int32_t **const integer_places[] = {&batch->starts, &batch->members, &batch->picks, &batch->owners};
    float **const float_places[] = {&batch->conditions, &batch->noisy, &batch->target, &batch->mask, &batch->time};
    size_t bytes = 0, at = 0;
    for (int k = 0; k < 4; k++) bytes += (size_t)integers[k] * sizeof(int32_t);
    for (int k = 0; k < 5; k++) bytes += (size_t)floats[k] * sizeof(float);
    char *memory = batch->memory = calloc(1, bytes);
    if (!memory) return peft_fail(error, PEFT_ERR_MEMORY, "batch: out of memory for %zu bytes", bytes);
    for (int k = 0; k < 4; at += (size_t)integers[k++] * sizeof(int32_t))
        *integer_places[k] = (int32_t *)(void *)(memory + at);
    for (int k = 0; k < 5; at += (size_t)floats[k++] * sizeof(float)) *float_places[k] = (float *)(void *)(memory + at);
    return PEFT_OK;
}

void peft_oral_batch_free(peft_oral_batch *batch)
{
    free(batch->memory);
    *batch = (peft_oral_batch){0};
}

/* ---- drawing ---- */

/* A stream of its own for what is drawn of an adapter at a step. */
static uint64_t stream_of(const peft_oral_training *training, const char *what, uint32_t adapter, int64_t step)
{
    const uint64_t of_step = peft_random_u64(training->seed, peft_stream(what), (uint64_t)step);
    return peft_random_u64(training->seed, of_step, adapter);
}

/* Which tokens: the first of a random order of all. */
static void draw_tokens(int64_t tokens, int64_t drawn, uint64_t seed, uint64_t stream, uint32_t *order, int32_t *out)
{
    if (drawn < tokens)
        peft_random_permutation(order, (uint32_t)tokens, seed, stream);
    else
        for (int64_t k = 0; k < tokens; k++) order[k] = (uint32_t)k;
    for (int64_t k = 0; k < drawn; k++) out[k] = (int32_t)order[k];
}

/* Adapter number `a` of the batch; `order` has room for all of its tokens. */
static void draw_adapter(peft_oral_batch *batch, const peft_oral *oral, const peft_oral_library *library,
                         const peft_diffusion *diffusion, const peft_oral_training *training, uint32_t adapter,
                         int64_t a, int64_t step, uint32_t *order)
{
    const int64_t N = oral->sizes.tokens, D = oral->sizes.denoiser.width, C = oral->sizes.condition;
    const int64_t drawn = batch->rows / batch->count, first = a * drawn;
    int32_t *picks = batch->picks + first;
    float *target = batch->target + first * D;
    draw_tokens(N, drawn, training->seed, stream_of(training, "oral tokens", adapter, step), order, picks);
    peft_random_normal(target, (size_t)(drawn * D), 0, 1, training->seed,
                       stream_of(training, "oral noise", adapter, step));
    const uint64_t times = stream_of(training, "oral time", adapter, step);
    for (int64_t k = 0; k < drawn; k++) {
        const int64_t row = first + k, token = picks[k];
        const int32_t t =
            (int32_t)(peft_random_u64(training->seed, times, (uint64_t)k) % (uint64_t)diffusion->num_steps);
        const float *x0 = library->tokens + ((int64_t)adapter * N + token) * D;
        peft_diffusion_noise(diffusion, t, x0, batch->target + row * D, D, batch->noisy + row * D);
        if (training->predicts_numbers) memcpy(batch->target + row * D, x0, (size_t)D * sizeof *x0);
        memcpy(batch->mask + row * D, library->mask + token * D, (size_t)D * sizeof *x0);
        peft_denoiser_time(oral->frequencies, &t, 1, batch->time + row * PEFT_TIME_FEATURES);
        batch->shown += (double)library->layout->pieces[token].count;
        batch->owners[row] = (int32_t)a;
        picks[k] = (int32_t)(a * N + token);
    }
    const uint64_t drop = stream_of(training, "oral condition", adapter, step);
    const double kept = (double)(peft_random_u64(training->seed, drop, 0) >> 11) * 0x1p-53;
    if (kept < training->condition_dropout)
        memset(batch->conditions + a * C, 0, (size_t)C * sizeof(float));
    else
        memcpy(batch->conditions + a * C, library->conditions + (int64_t)adapter * C, (size_t)C * sizeof(float));
    batch->members[a] = (int32_t)adapter;
    batch->starts[a + 1] = (int32_t)((a + 1) * N);
}

peft_status peft_oral_batch_draw(peft_oral_batch *batch, const peft_oral *oral, const peft_oral_library *library,
                                 const peft_diffusion *diffusion, const peft_oral_training *training,
                                 const uint32_t *adapters, int64_t step, peft_error *error)
{
    uint32_t *order = malloc((size_t)oral->sizes.tokens * sizeof *order);
    if (!order) return peft_fail(error, PEFT_ERR_MEMORY, "batch: out of memory for the order of tokens");
    batch->shown = 0;
    for (int64_t a = 0; a < batch->count; a++)
        draw_adapter(batch, oral, library, diffusion, training, adapters[a], a, step, order);
    free(order);
    return PEFT_OK;
}

/* ---- the loss ---- */

peft_tensor *peft_oral_batch_loss(const peft_net *net, const peft_oral *oral, const peft_oral_library *library,
                                  const peft_oral_batch *batch, peft_denoiser_moments *moments)
{
    peft_graph *g = net->g;
    const peft_oral_sizes *s = &oral->sizes;
    const int64_t rows = batch->rows, D = s->denoiser.width;
    peft_tensor *conditions =
        peft_constant(g, PEFT_F32, peft_shape_2(batch->count, s->condition), batch->conditions, "conditions");
    peft_tensor *starts = peft_constant(g, PEFT_I32, peft_shape_1(batch->count + 1), batch->starts, "starts");
    peft_tensor *members =
        s->members > 0 ? peft_constant(g, PEFT_I32, peft_shape_1(batch->count), batch->members, "members") : NULL;
    peft_tensor *addresses = library->addresses ? peft_constant(g, PEFT_F32, peft_shape_2(s->tokens, s->mamba.width),
                                                                library->addresses, "addresses")
                                                : NULL;
    peft_tensor *picks = peft_constant(g, PEFT_I32, peft_shape_1(rows), batch->picks, "picks");
    peft_tensor *owners = peft_constant(g, PEFT_I32, peft_shape_1(rows), batch->owners, "owners");
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_2(rows, D), batch->noisy, "x");
    peft_tensor *target = peft_constant(g, PEFT_F32, peft_shape_2(rows, D), batch->target, "target");
    peft_tensor *mask = peft_constant(g, PEFT_F32, peft_shape_2(rows, D), batch->mask, "mask");
    peft_tensor *time = peft_constant(g, PEFT_F32, peft_shape_2(rows, PEFT_TIME_FEATURES), batch->time, "time");

    peft_tensor *prototypes = peft_oral_prototypes(net, oral, conditions, addresses, starts, members);
    peft_tensor *own = s->own_condition ? peft_embedding(g, conditions, owners) : NULL;
    peft_tensor *estimate = peft_oral_estimate(net, oral, x, peft_embedding(g, prototypes, picks), own, time, moments);
    peft_tensor *shown = peft_sum(g, mask, PEFT_ALL_DIMS);
    peft_tensor *squares = peft_oral_loss(net, estimate, target, mask, 1);
    return peft_mul(g, squares, peft_power(g, shown, -1));
}
