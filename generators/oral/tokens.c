#include "generators/oral/tokens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static peft_status no_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "tokens: out of memory");
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool is_generated(const peft_token_tensor *t)
{
    return t->count > 1;
}

/* ---- the layout ---- */

static peft_status copy_tensors(peft_token_layout *layout, const peft_token_tensor *tensors, peft_error *error)
{
    layout->tensors = peft_arena_take(&layout->memory, (size_t)layout->num_tensors * sizeof *tensors);
    if (!layout->tensors) return no_memory(error);
    for (int64_t i = 0; i < layout->num_tensors; i++) {
        peft_token_tensor *t = &layout->tensors[i];
        char *name = peft_arena_take(&layout->memory, strlen(tensors[i].name) + 1);
        if (!name) return no_memory(error);
        strcpy(name, tensors[i].name);
        *t = (peft_token_tensor){.name = name,
                                 .shape = tensors[i].shape,
                                 .deviation = 1,
                                 .begin = layout->num_values,
                                 .count = peft_shape_count(&tensors[i].shape)};
        layout->num_values += t->count;
        if (is_generated(t)) layout->num_generated += t->count;
    }
    return PEFT_OK;
}

/* Appends the pieces of numbers begin ... begin + count - 1, each of `step` numbers at most; only counts them while
 * there is no memory. */
static void add_pieces(peft_token_layout *layout, int64_t begin, int64_t count, int64_t step, int64_t tensor,
                       int64_t *piece)
{
    for (int64_t at = 0; at < count; at += step, layout->num_tokens++, ++*piece)
        if (layout->pieces)
            layout->pieces[layout->num_tokens] =
                (peft_token_piece){begin + at, least(step, count - at), tensor, *piece};
}

/* One tensor, at granularity 1 or 2. */
static void cut_tensor(peft_token_layout *layout, const peft_token_tensor *t, int64_t begin, int64_t index)
{
    const int64_t D = layout->width, row = t->shape.ndim > 0 ? t->shape.size[t->shape.ndim - 1] : 1;
    int64_t piece = 0;
    if (layout->granularity == 1)
        add_pieces(layout, begin, t->count, D, index, &piece);
    else if (row <= D)
        add_pieces(layout, begin, t->count, D / row * row, index, &piece);
    else
        for (int64_t at = 0; at < t->count; at += row) add_pieces(layout, begin + at, row, D, index, &piece);
}

static void cut(peft_token_layout *layout)
{
    int64_t begin = 0, index = 0, piece = 0;
    layout->num_tokens = 0;
    if (layout->granularity == 0) add_pieces(layout, 0, layout->num_generated, layout->width, 0, &piece);
    for (int64_t i = 0; layout->granularity > 0 && i < layout->num_tensors; i++) {
        const peft_token_tensor *t = &layout->tensors[i];
        if (!is_generated(t)) continue;
        cut_tensor(layout, t, begin, index++);
        begin += t->count;
    }
}

peft_status peft_token_layout_create(peft_token_layout *layout, const peft_token_tensor *tensors, int64_t num_tensors,
                                     int64_t width, int granularity, peft_error *error)
{
    *layout = (peft_token_layout){.width = width, .granularity = granularity, .num_tensors = num_tensors};
    if (width < 1)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "tokens: size: expected 1 or more, found %lld", (long long)width);
    if (granularity < 0 || granularity > 2)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "tokens: granularity: expected 0, 1 or 2, found %d", granularity);
    peft_status status = copy_tensors(layout, tensors, error);
    if (status == PEFT_OK && layout->num_generated == 0)
        status = peft_fail(error, PEFT_ERR_ARGUMENT, "tokens: the adapters have no tensor of more than one number");
    if (status == PEFT_OK) {
        cut(layout);
        layout->pieces = peft_arena_take(&layout->memory, (size_t)layout->num_tokens * sizeof *layout->pieces);
        if (layout->pieces)
            cut(layout);
        else
            status = no_memory(error);
    }
    if (status != PEFT_OK) peft_token_layout_free(layout);
    return status;
}

void peft_token_layout_free(peft_token_layout *layout)
{
    peft_arena_free(&layout->memory);
    *layout = (peft_token_layout){0};
}

/* ---- statistics ---- */

/* Adds a tensor's mean and deviation in one adapter. */
static bool add_moments(peft_token_tensor *t, const float *values, double share)
{
    double mean = 0, squares = 0;
    for (int64_t k = 0; k < t->count; k++) mean += (double)values[k] / (double)t->count;
    for (int64_t k = 0; k < t->count; k++) squares += ((double)values[k] - mean) * ((double)values[k] - mean);
    t->mean += share * mean;
    if (is_generated(t)) t->deviation += share * sqrt(squares / (double)(t->count - 1));
    return isfinite(mean) && isfinite(squares);
}

peft_status peft_token_layout_measure(peft_token_layout *layout, const float *values, int64_t adapters,
                                      peft_error *error)
{
    const double floor = 1e-6;
    double mean_deviation = 0;
    int64_t generated = 0;
    if (adapters < 1) return peft_fail(error, PEFT_ERR_ARGUMENT, "tokens: there is no adapter to measure");
    for (peft_token_tensor *t = layout->tensors; t < layout->tensors + layout->num_tensors; t++) {
        t->mean = t->deviation = 0;
        for (int64_t a = 0; a < adapters; a++)
            if (!add_moments(t, values + a * layout->num_values + t->begin, 1 / (double)adapters))
                return peft_fail(error, PEFT_ERR_NUMERIC, "tokens: %s: of adapter %lld not all numbers are finite",
                                 t->name, (long long)a);
        if (is_generated(t)) mean_deviation += t->deviation, generated++;
    }
    mean_deviation /= (double)generated;
    for (peft_token_tensor *t = layout->tensors; t < layout->tensors + layout->num_tensors; t++)
        t->deviation = mean_deviation > 0 ? fmax(t->deviation, floor * mean_deviation) : 1;
    return PEFT_OK;
}

/* ---- tokens ---- */

/* The generated numbers one behind another, normalised (1), or back. */
static void normalise(const peft_token_layout *layout, const float *values, float *generated)
{
    for (const peft_token_tensor *t = layout->tensors; t < layout->tensors + layout->num_tensors; t++) {
        if (!is_generated(t)) continue;
        for (int64_t k = 0; k < t->count; k++)
            generated[k] = (float)(((double)values[t->begin + k] - t->mean) / t->deviation);
        generated += t->count;
    }
}

static void undo(const peft_token_layout *layout, const float *generated, float *values)
{
    for (const peft_token_tensor *t = layout->tensors; t < layout->tensors + layout->num_tensors; t++)
        for (int64_t k = 0; k < t->count; k++)
            values[t->begin + k] = (float)(is_generated(t) ? (double)*generated++ * t->deviation + t->mean : t->mean);
}

static float *generated_numbers(const peft_token_layout *layout)
{
    return malloc((size_t)layout->num_generated * sizeof(float));
}

peft_status peft_tokens_make(const peft_token_layout *layout, const float *values, float *tokens, peft_error *error)
{
    float *generated = generated_numbers(layout);
    if (!generated) return no_memory(error);
    normalise(layout, values, generated);
    memset(tokens, 0, (size_t)(layout->num_tokens * layout->width) * sizeof *tokens);
    for (int64_t n = 0; n < layout->num_tokens; n++)
        memcpy(tokens + n * layout->width, generated + layout->pieces[n].begin,
               (size_t)layout->pieces[n].count * sizeof *tokens);
    free(generated);
    return PEFT_OK;
}

peft_status peft_tokens_restore(const peft_token_layout *layout, const float *tokens, float *values, peft_error *error)
{
    float *generated = generated_numbers(layout);
    if (!generated) return no_memory(error);
    for (int64_t n = 0; n < layout->num_tokens; n++)
        memcpy(generated + layout->pieces[n].begin, tokens + n * layout->width,
               (size_t)layout->pieces[n].count * sizeof *tokens);
    undo(layout, generated, values);
    free(generated);
    return PEFT_OK;
}

void peft_tokens_mask(const peft_token_layout *layout, float *mask)
{
    for (int64_t n = 0; n < layout->num_tokens; n++)
        for (int64_t k = 0; k < layout->width; k++) mask[n * layout->width + k] = k < layout->pieces[n].count ? 1 : 0;
}

/* ---- addresses ---- */

/* code(v) of (2) */
static void encode(int64_t v, int64_t n, float *to)
{
    for (int64_t i = 0; i < n / 2; i++) {
        const double angle = (double)v * pow(10000, -2 * (double)i / (double)n);
        to[2 * i] = (float)sin(angle);
        to[2 * i + 1] = (float)cos(angle);
    }
}

void peft_token_address(const peft_token_layout *layout, int64_t d, bool two_dimensions, float *address)
{
    for (int64_t n = 0; n < layout->num_tokens; n++, address += d) {
        if (!two_dimensions) {
            encode(n, d, address);
            continue;
        }
        encode(layout->pieces[n].piece, d / 2, address);
        encode(layout->pieces[n].tensor, d / 2, address + d / 2);
    }
}
