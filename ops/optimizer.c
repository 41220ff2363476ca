#include "ops/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/engine/context_internal.h"

enum { MAX_STATES = 2, PIECE_ELEMENTS = 1 << 16 };

/* Elements begin ... end - 1 of a parameter: work for one thread, cut the same way for any number of them. */
typedef struct piece {
    size_t parameter;
    int64_t begin, end;
    double squares; /* of its gradients */
} piece;

struct peft_optimizer {
    peft_optimizer_options options;
    peft_optimizer_parameter *parameters;
    size_t num_parameters;
    piece *pieces;
    int64_t num_pieces;
    float *memory; /* of the states: the first of each parameter in turn, then the second */
    float **states[MAX_STATES];
    size_t state_bytes;
    int64_t steps;
    float factor; /* of the gradients and */
    double rate;  /* of the update that the threads are at */
};

/* The order of the operations is that of torch.optim.adam._single_tensor_adam, with decoupled decay. */
static void adamw(const peft_optimizer *o, const piece *part, double rate)
{
    const peft_optimizer_options *options = &o->options;
    const peft_optimizer_parameter *p = &o->parameters[part->parameter];
    float *w = p->value, *m = o->states[0][part->parameter], *v = o->states[1][part->parameter];
    const float keep = (float)(1 - rate * p->weight_decay);
    const float beta2 = (float)options->beta2, eps = (float)options->eps;
    const float rest1 = (float)(1 - options->beta1), rest2 = (float)(1 - options->beta2);
    const float size = (float)(rate / (1 - pow(options->beta1, (double)o->steps)));
    const float correction = (float)sqrt(1 - pow(options->beta2, (double)o->steps));
    const float *gradient = p->gradient;
    for (int64_t e = part->begin; e < part->end; e++) {
        float g = gradient[e];
        m[e] += rest1 * (g - m[e]);
        v[e] = beta2 * v[e] + rest2 * g * g;
        w[e] = keep * w[e] - size * m[e] / (sqrtf(v[e]) / correction + eps);
    }
}

/* m starts at 0, so that it is g' at t = 1. */
static void sgd(const peft_optimizer *o, const piece *part, double rate)
{
    const peft_optimizer_parameter *p = &o->parameters[part->parameter];
    float *w = p->value, *m = o->states[0][part->parameter];
    const float size = (float)rate, decay = (float)p->weight_decay, momentum = (float)o->options.momentum;
    for (int64_t e = part->begin; e < part->end; e++) {
        float g = p->gradient[e] + decay * w[e];
        m[e] = momentum * m[e] + g;
        w[e] -= size * (o->options.nesterov ? g + momentum * m[e] : m[e]);
    }
}

static const struct {
    size_t num_states;
    void (*update)(const peft_optimizer *o, const piece *part, double rate);
} rules[] = {[PEFT_ADAMW] = {2, adamw}, [PEFT_SGD] = {1, sgd}};

peft_optimizer_options peft_optimizer_defaults(void)
{
    return (peft_optimizer_options){.kind = PEFT_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
}

static peft_status check_options(const peft_optimizer_options *o, peft_error *error)
{
    const struct {
        const char *name;
        double value;
        bool fits;
        const char *expected;
    } checks[] = {
        {"beta1", o->beta1, o->beta1 >= 0 && o->beta1 < 1, "0 <= beta1 < 1"},
        {"beta2", o->beta2, o->beta2 >= 0 && o->beta2 < 1, "0 <= beta2 < 1"},
        {"eps", o->eps, o->eps >= 0, "0 or more"},
        {"momentum", o->momentum, o->momentum >= 0, "0 or more"},
        {"momentum", o->momentum, !o->nesterov || o->momentum > 0, "more than 0 with nesterov"},
    };
    for (size_t k = 0; k < sizeof checks / sizeof checks[0]; k++)
        if (!checks[k].fits)
            return peft_fail(error, PEFT_ERR_ARGUMENT, "optimizer: %s: expected %s, found %g", checks[k].name,
                             checks[k].expected, checks[k].value);
    return PEFT_OK;
}

static int64_t pieces_of(const peft_optimizer_parameter *p)
{
    return (p->count + PIECE_ELEMENTS - 1) / PIECE_ELEMENTS;
}

static void cut(peft_optimizer *o)
{
    piece *next = o->pieces;
    for (size_t k = 0; k < o->num_parameters; k++)
        for (int64_t begin = 0; begin < o->parameters[k].count; begin += PIECE_ELEMENTS) {
            int64_t rest = o->parameters[k].count - begin;
            *next++ = (piece){k, begin, begin + (rest < PIECE_ELEMENTS ? rest : PIECE_ELEMENTS), 0};
        }
}

static bool allocate(peft_optimizer *o, const peft_optimizer_parameter *parameters, size_t count)
{
    size_t floats = 0, states = rules[o->options.kind].num_states;
    for (size_t k = 0; k < count; k++) {
        floats += (size_t)parameters[k].count;
        o->num_pieces += pieces_of(&parameters[k]);
    }
    o->num_parameters = count;
    o->state_bytes = floats * states * sizeof(float);
    o->parameters = calloc(count + 1, sizeof *o->parameters);
    o->pieces = calloc((size_t)o->num_pieces + 1, sizeof *o->pieces);
    o->memory = calloc(floats * states + 1, sizeof *o->memory);
    if (!o->parameters || !o->pieces || !o->memory) return false;
    memcpy(o->parameters, parameters, count * sizeof *parameters);
    cut(o);
    float *at = o->memory;
    for (size_t s = 0; s < states; s++) {
        o->states[s] = calloc(count + 1, sizeof *o->states[s]);
        if (!o->states[s]) return false;
        for (size_t k = 0; k < count; at += parameters[k++].count) o->states[s][k] = at;
    }
    return true;
}

peft_status peft_optimizer_create(peft_optimizer **optimizer, const peft_optimizer_options *options,
                                  const peft_optimizer_parameter *parameters, size_t count, peft_error *error)
{
    *optimizer = NULL;
    peft_optimizer_options wanted = options ? *options : peft_optimizer_defaults();
    peft_status status = check_options(&wanted, error);
    if (status != PEFT_OK) return status;
    peft_optimizer *o = calloc(1, sizeof *o);
    if (o) o->options = wanted;
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
    free(o->pieces);
    free(o->memory);
    for (int s = 0; s < MAX_STATES; s++) free(o->states[s]);
    free(o);
}

static void for_pieces(peft_optimizer *o, peft_piece_function *run)
{
    const peft_context *ctx = o->options.context;
    if (ctx)
        ctx->backend->loop(ctx->state, o->num_pieces, run, o);
    else
        for (int64_t k = 0; k < o->num_pieces; k++) run(o, k, 0);
}

static void square_piece(void *argument, int64_t index, int thread)
{
    enum { SUMS = 8 }; /* side by side */
    peft_optimizer *o = argument;
    piece *part = &o->pieces[index];
    const float *gradient = o->parameters[part->parameter].gradient;
    double sums[SUMS] = {0};
    int64_t e = part->begin;
    (void)thread;
    for (; e + SUMS <= part->end; e += SUMS)
        for (int k = 0; k < SUMS; k++) sums[k] += (double)gradient[e + k] * (double)gradient[e + k];
    for (; e < part->end; e++) sums[0] += (double)gradient[e] * (double)gradient[e];
    part->squares = 0;
    for (int k = 0; k < SUMS; k++) part->squares += sums[k];
}

static double gradient_norm(peft_optimizer *o)
{
    for_pieces(o, square_piece);
    double squares = 0;
    for (int64_t k = 0; k < o->num_pieces; k++) squares += o->pieces[k].squares;
    return sqrt(squares);
}

static void scale_piece(void *argument, int64_t index, int thread)
{
    const peft_optimizer *o = argument;
    const piece *part = &o->pieces[index];
    float *gradient = o->parameters[part->parameter].gradient;
    (void)thread;
    for (int64_t e = part->begin; e < part->end; e++) gradient[e] *= o->factor;
}

peft_status peft_optimizer_clip(peft_optimizer *o, double max_norm, double *norm, peft_error *error)
{
    *norm = gradient_norm(o);
    if (!isfinite(*norm))
        return peft_fail(error, PEFT_ERR_NUMERIC, "gradient: expected a finite norm, found %g", *norm);
    double factor = max_norm / (*norm + 1e-6);
    if (max_norm <= 0 || factor >= 1) return PEFT_OK;
    o->factor = (float)factor;
    for_pieces(o, scale_piece);
    return PEFT_OK;
}

static void update_piece(void *argument, int64_t index, int thread)
{
    const peft_optimizer *o = argument;
    const piece *part = &o->pieces[index];
    (void)thread;
    rules[o->options.kind].update(o, part, o->rate * o->parameters[part->parameter].learning_rate_factor);
}

peft_status peft_optimizer_step(peft_optimizer *o, double learning_rate, peft_error *error)
{
    if (!isfinite(learning_rate) || learning_rate < 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "learning rate: expected 0 or more, found %g", learning_rate);
    o->steps++;
    o->rate = learning_rate;
    for_pieces(o, update_piece);
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
