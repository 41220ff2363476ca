#include <math.h>
#include <string.h>

#include "peft/sentence_internal.h"

/* ---- pooling ---- */

static void pool_first(const float *tokens, int64_t num_tokens, const float *mean, int64_t hidden_size, float *out)
{
    (void)num_tokens, (void)mean;
    memcpy(out, tokens, (size_t)hidden_size * sizeof *out);
}

static void pool_last(const float *tokens, int64_t num_tokens, const float *mean, int64_t hidden_size, float *out)
{
    pool_first(tokens + (num_tokens - 1) * hidden_size, 1, mean, hidden_size, out);
}

static void pool_max(const float *tokens, int64_t num_tokens, const float *mean, int64_t hidden_size, float *out)
{
    pool_first(tokens, num_tokens, mean, hidden_size, out);
    for (int64_t t = 1; t < num_tokens; t++)
        for (int64_t k = 0; k < hidden_size; k++)
            if (!(tokens[t * hidden_size + k] <= out[k])) out[k] = tokens[t * hidden_size + k];
}

static void pool_mean(const float *tokens, int64_t num_tokens, const float *mean, int64_t hidden_size, float *out)
{
    (void)tokens, (void)num_tokens;
    memcpy(out, mean, (size_t)hidden_size * sizeof *out);
}

/* sum / sqrt(n) */
static void pool_mean_sqrt_len(const float *tokens, int64_t num_tokens, const float *mean, int64_t hidden_size,
                               float *out)
{
    (void)tokens;
    for (int64_t k = 0; k < hidden_size; k++) out[k] = (float)((double)mean[k] * sqrt((double)num_tokens));
}

/* Later tokens weigh more: sum of t x_t / sum of t, t from 1. */
static void pool_weighted_mean(const float *tokens, int64_t num_tokens, const float *mean, int64_t hidden_size,
                               float *out)
{
    (void)mean;
    double weights = (double)num_tokens * (double)(num_tokens + 1) / 2;
    for (int64_t k = 0; k < hidden_size; k++) {
        double sum = 0;
        for (int64_t t = 0; t < num_tokens; t++) sum += (double)(t + 1) * (double)tokens[t * hidden_size + k];
        out[k] = (float)(sum / weights);
    }
}

const peft_pooling peft_poolings[PEFT_NUM_POOLINGS] = {
    [PEFT_POOLING_FIRST] = {"cls", "pooling_mode_cls_token", false, pool_first},
    [PEFT_POOLING_MAX] = {"max", "pooling_mode_max_tokens", false, pool_max},
    [PEFT_POOLING_MEAN] = {"mean", "pooling_mode_mean_tokens", true, pool_mean},
    [PEFT_POOLING_MEAN_SQRT_LEN] = {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", true,
                                    pool_mean_sqrt_len},
    [PEFT_POOLING_WEIGHTED_MEAN] = {"weightedmean", "pooling_mode_weightedmean_tokens", false, pool_weighted_mean},
    [PEFT_POOLING_LAST] = {"lasttoken", "pooling_mode_lasttoken", false, pool_last},
};

/* ---- steps ---- */

static float identity(float x)
{
    return x;
}

static float relu(float x)
{
    return x > 0 ? x : 0;
}

static float gelu(float x)
{
    return (float)(0.5 * (double)x * (1 + erf((double)x * 0.70710678118654752440)));
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

static float silu(float x)
{
    return x * sigmoid(x);
}

peft_sentence_activation *peft_sentence_activation_find(const char *name)
{
    static const struct {
        const char *name;
        peft_sentence_activation *function;
    } known[] = {{"Identity", identity}, {"Tanh", tanhf}, {"ReLU", relu},
                 {"GELU", gelu},         {"SiLU", silu},  {"Sigmoid", sigmoid}};
    const char *dot = strrchr(name, '.');
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
        if (strcmp(dot ? dot + 1 : name, known[k].name) == 0) return known[k].function;
    return NULL;
}

static void normalize(const float *x, int64_t size, float *y)
{
    double squares = 0;
    for (int64_t k = 0; k < size; k++) squares += (double)x[k] * (double)x[k];
    double length = sqrt(squares);
    for (int64_t k = 0; k < size; k++) y[k] = length > 0 ? (float)((double)x[k] / length) : x[k];
}

static void dense(const peft_sentence_step *step, const float *x, float *y)
{
    for (int64_t o = 0; o < step->out; o++) {
        double sum = step->bias ? (double)step->bias[o] : 0;
        for (int64_t i = 0; i < step->in; i++) sum += (double)step->weight[o * step->in + i] * (double)x[i];
        y[o] = step->activation((float)sum);
    }
}

void peft_sentence_vector(peft_sentence *s, const float *tokens, int64_t num_tokens, const float *mean, float *vector)
{
    float *x = s->rows[0], *y = s->rows[1];
    int64_t size = s->num_poolings * s->hidden_size;
    for (int64_t k = 0; k < s->num_poolings; k++)
        s->poolings[k]->pool(tokens, num_tokens, mean, s->hidden_size, x + k * s->hidden_size);
    for (int64_t k = 0; k < s->num_steps; k++) {
        const peft_sentence_step *step = &s->steps[k];
        if (step->weight)
            dense(step, x, y);
        else
            normalize(x, size, y);
        if (step->weight) size = step->out;
        float *read = x;
        x = y;
        y = read;
    }
    memcpy(vector, x, (size_t)size * sizeof *vector);
}
