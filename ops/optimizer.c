#include "ops/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct peft_optimizer {
    peft_optimizer_options options;
    peft_optimizer_parameter *parameters;
    float **states[2]; /* [count] arrays each: m, and v for AdamW */
    float *memory;
    size_t count, state_bytes;
    int64_t steps;
};

peft_optimizer_options peft_optimizer_defaults(void)
{
    return (peft_optimizer_options){.kind = PEFT_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
}

static int num_states(const peft_optimizer_options *options)
{
    return options->kind == PEFT_ADAMW ? 2 : 1;
}

static bool allocate(peft_optimizer *o, const peft_optimizer_parameter *parameters, size_t count)
{
    size_t floats = 0, states = (size_t)num_states(&o->options);
    for (size_t k = 0; k < count; k++) floats += (size_t)parameters[k].count;
    o->count = count;
    o->state_bytes = floats * states * sizeof(float);
    o->parameters = calloc(count + 1, sizeof *o->parameters);
    o->memory = calloc(floats * states + 1, sizeof *o->memory);
    for (size_t s = 0; s < states; s++) o->states[s] = calloc(count + 1, sizeof *o->states[s]);
    if (!o->parameters || !o->memory || !o->states[0] || (states > 1 && !o->states[1])) return false;
    memcpy(o->parameters, parameters, count * sizeof *parameters);
    float *at = o->memory;
    for (size_t s = 0; s < states; s++)
        for (size_t k = 0; k < count; at += parameters[k++].count) o->states[s][k] = at;
    return true;
}

peft_status peft_optimizer_create(peft_optimizer **optimizer, const peft_optimizer_options *options,
                                  const peft_optimizer_parameter *parameters, size_t count, peft_error *error)
{
    *optimizer = NULL;
    peft_optimizer *o = calloc(1, sizeof *o);
    if (o) o->options = options ? *options : peft_optimizer_defaults();
    if (!o || !allocate(o, parameters, count)) {
        peft_optimizer_free(o);
        return peft_fail(error, PEFT_ERR_MEMORY, "optimizer: out of memory for %zu parameters", count);
    }
    *optimizer = o;
    return PEFT_OK;
}

void peft_optimizer_free(peft_optimizer *o)
{
    if (!o) return;
    free(o->parameters);
    free(o->memory);
    free(o->states[0]);
    free(o->states[1]);
    free(o);
}

peft_status peft_optimizer_clip(peft_optimizer *o, double max_norm, double *norm, peft_error *error)
{
    double squares = 0;
    for (size_t k = 0; k < o->count; k++)
        for (int64_t e = 0; e < o->parameters[k].count; e++) {
            double g = o->parameters[k].gradient[e];
            squares += g * g;
        }
    *norm = sqrt(squares);
    if (!isfinite(*norm))
        return peft_fail(error, PEFT_ERR_NUMERIC, "gradient: expected a finite norm, found %g", *norm);
    float factor = (float)(max_norm / (*norm + 1e-6));
    if (max_norm <= 0 || factor >= 1) return PEFT_OK;
    for (size_t k = 0; k < o->count; k++)
        for (int64_t e = 0; e < o->parameters[k].count; e++) o->parameters[k].gradient[e] *= factor;
    return PEFT_OK;
}

static void adamw(const peft_optimizer *o, size_t k, double learning_rate)
{
    const peft_optimizer_options *options = &o->options;
    const peft_optimizer_parameter *p = &o->parameters[k];
    float *m = o->states[0][k], *v = o->states[1][k];
    double rate = learning_rate * p->learning_rate_factor;
    float keep = (float)(1 - rate * p->weight_decay);
    float beta1 = (float)options->beta1, beta2 = (float)options->beta2, eps = (float)options->eps;
    float rest1 = (float)(1 - options->beta1), rest2 = (float)(1 - options->beta2);
    float size = (float)(rate / (1 - pow(options->beta1, (double)o->steps)));
    float correction = (float)sqrt(1 - pow(options->beta2, (double)o->steps));
    for (int64_t e = 0; e < p->count; e++) {
        float g = p->gradient[e];
        m[e] = beta1 * m[e] + rest1 * g;
        v[e] = beta2 * v[e] + rest2 * g * g;
        p->value[e] = keep * p->value[e] - size * (m[e] / (sqrtf(v[e]) / correction + eps));
    }
}

static void sgd(const peft_optimizer *o, size_t k, double learning_rate)
{
    const peft_optimizer_parameter *p = &o->parameters[k];
    float *m = o->states[0][k];
    float rate = (float)(learning_rate * p->learning_rate_factor), decay = (float)p->weight_decay;
    float momentum = (float)o->options.momentum;
    for (int64_t e = 0; e < p->count; e++) {
        float g = p->gradient[e] + decay * p->value[e];
        m[e] = o->steps == 1 ? g : momentum * m[e] + g;
        p->value[e] -= rate * (o->options.nesterov ? g + momentum * m[e] : momentum > 0 ? m[e] : g);
    }
}

peft_status peft_optimizer_step(peft_optimizer *o, double learning_rate, peft_error *error)
{
    if (!isfinite(learning_rate) || learning_rate < 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "learning rate: expected 0 or more, found %g", learning_rate);
    o->steps++;
    for (size_t k = 0; k < o->count; k++) (o->options.kind == PEFT_ADAMW ? adamw : sgd)(o, k, learning_rate);
    return PEFT_OK;
}

int64_t peft_optimizer_steps(const peft_optimizer *o)
{
    return o->steps;
}

void peft_optimizer_set_steps(peft_optimizer *o, int64_t steps)
{
    o->steps = steps;
}

float *peft_optimizer_state(peft_optimizer *o, size_t parameter, int which)
{
    return o->states[which] ? o->states[which][parameter] : NULL;
}

size_t peft_optimizer_state_bytes(const peft_optimizer *o)
{
    return o->state_bytes;
}
