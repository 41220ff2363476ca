#include "generators/oral/denoiser.h"

#include <math.h>
#include <stdio.h>

#include "ops/ops.h"

enum { LAST = PEFT_DENOISER_LAYERS - 1 };
static const double EPS = 1e-5;

/* Of each layer its name, that of its norm, and the layer whose output is added to what it reads; -1: none. */
static const struct {
    const char *name, *norm;
    int skip;
} layers[PEFT_DENOISER_LAYERS] = {
    {"encoder_list.0", "encoder_list.0.1.0", -1}, {"encoder_list.1", "encoder_list.1.1.0", -1},
    {"encoder_list.2", "encoder_list.2.1.0", -1}, {"encoder_list.3", "encoder_list.3.1.0", -1},
    {"decoder_list.0", "decoder_list.0.1.0", 1},  {"decoder_list.1", NULL, 0}};

enum { NAME_BYTES = 256 };
static const char *join(char name[NAME_BYTES], const char *prefix, const char *part)
{
    snprintf(name, NAME_BYTES, "%s.%s", prefix, part);
    return name;
}

/* ---- tensors ---- */

static void list_layer(const peft_denoiser *d, peft_value_list *l, const char *prefix, int k)
{
    const int64_t in = d->channels[k], out = d->channels[k + 1];
    const peft_value_spec spec = {.start = PEFT_START_UNIFORM, .spread = 1 / sqrt((double)(in * d->taps))};
    peft_value_spec weight = spec, bias = spec;
    weight.shape = peft_shape_3(out, in, d->taps);
    bias.shape = peft_shape_1(out);
    peft_value_list_add(l, weight, "%s.%s.0.weight", prefix, layers[k].name);
    peft_value_list_add(l, bias, "%s.%s.0.bias", prefix, layers[k].name);
    if (k == LAST) return;
    char name[NAME_BYTES];
    peft_value_list_norm(l, out, join(name, prefix, layers[k].norm));
    if (d->norm != PEFT_DENOISER_BATCH) return;
    const peft_value_spec mean = {.shape = peft_shape_1(out), .kind = PEFT_VALUE_FROZEN};
    peft_value_spec variance = mean;
    variance.start = PEFT_START_ONE;
    peft_value_list_add(l, mean, "%s.running_mean", name);
    peft_value_list_add(l, variance, "%s.running_var", name);
}

void peft_denoiser_list(const peft_denoiser *d, peft_value_list *l, const char *prefix)
{
    char name[NAME_BYTES];
    peft_value_list_linear(l, PEFT_TIME_FEATURES, d->width, join(name, prefix, "time_embedder.mlp.0"));
    peft_value_list_linear(l, d->width, d->width, join(name, prefix, "time_embedder.mlp.2"));
    peft_value_list_linear(l, d->prototype, d->width, join(name, prefix, "condi_embedder"));
    if (d->condition > 0) {
        const peft_value_spec weight = {.shape = peft_shape_2(d->width, d->condition),
                                        .start = PEFT_START_UNIFORM,
                                        .spread = 1 / sqrt((double)d->condition)};
        peft_value_list_add(l, weight, "%s.own_condition.weight", prefix);
    }
    for (int k = 0; k < PEFT_DENOISER_LAYERS; k++) list_layer(d, l, prefix, k);
}

/* ---- forward ---- */

void peft_denoiser_frequencies(float *frequencies)
{
    for (int i = 0; i < PEFT_TIME_FEATURES / 2; i++)
        frequencies[i] = (float)pow(10000, -(double)i / (PEFT_TIME_FEATURES / 2));
}

void peft_denoiser_time(const float *frequencies, const int32_t *steps, int64_t count, float *features)
{
    enum { HALF = PEFT_TIME_FEATURES / 2 };
    for (int64_t k = 0; k < count; k++)
        for (int i = 0; i < HALF; i++) {
            const float angle = (float)steps[k] * frequencies[i];
            features[k * PEFT_TIME_FEATURES + i] = (float)cos((double)angle);
            features[k * PEFT_TIME_FEATURES + HALF + i] = (float)sin((double)angle);
        }
}

static peft_tensor *normalise(const peft_net *net, const peft_denoiser *d, const char *name, peft_tensor *x,
                              peft_moments *moments)
{
    peft_tensor *weight = peft_net_leaf(net, "%s.weight", name), *bias = peft_net_leaf(net, "%s.bias", name);
    if (d->norm == PEFT_DENOISER_GROUP) return peft_group_norm(net->g, x, 1, weight, bias, EPS);
    if (net->training) return peft_batch_norm(net->g, x, weight, bias, EPS, moments);
    const peft_moments running = {peft_net_leaf(net, "%s.running_mean", name),
                                  peft_net_leaf(net, "%s.running_var", name)};
    return peft_batch_norm_by(net->g, x, running, weight, bias, EPS);
}

/* (3) */
static peft_tensor *layer(const peft_net *net, const peft_denoiser *d, const char *prefix, int k, peft_tensor *x,
                          peft_tensor *kappa, peft_tensor *tau, peft_moments *moments)
{
    char name[NAME_BYTES];
    join(name, prefix, layers[k].name);
    peft_tensor *weight = peft_net_leaf(net, "%s.0.weight", name);
    peft_tensor *y =
        peft_conv(net->g, peft_modulate(net->g, x, kappa, tau), weight, peft_net_leaf(net, "%s.0.bias", name));
    if (k == LAST) return y;
    y = normalise(net, d, join(name, prefix, layers[k].norm), y, moments);
    return peft_activation(net->g, y, PEFT_ACTIVATION_elu);
}

peft_tensor *peft_denoiser_estimate(const peft_net *net, const peft_denoiser *d, const char *prefix, peft_tensor *x,
                                    peft_tensor *prototypes, peft_tensor *conditions, peft_tensor *time,
                                    peft_denoiser_moments *moments)
{
    peft_graph *g = net->g;
    char name[NAME_BYTES];
    if (!x) return NULL;
    const int64_t tokens = peft_rows(x);
    peft_tensor *tau = peft_net_linear(net, time, join(name, prefix, "time_embedder.mlp.0")); /* (1) */
    tau = peft_activation(g, tau, PEFT_ACTIVATION_silu);
    tau = peft_net_linear(net, tau, join(name, prefix, "time_embedder.mlp.2"));
    peft_tensor *kappa = peft_net_linear(net, prototypes, join(name, prefix, "condi_embedder")); /* (2) */
    if (d->condition > 0)
        kappa =
            peft_add(g, kappa, peft_linear(g, conditions, peft_net_leaf(net, "%s.own_condition.weight", prefix), NULL));
    const peft_shape each = peft_shape_1(tokens * d->width);
    kappa = peft_reshape(g, kappa, each);
    tau = peft_reshape(g, tau, each);
    peft_tensor *made[PEFT_DENOISER_LAYERS], *y = peft_reshape(g, x, peft_shape_3(tokens, d->width, 1));
    for (int k = 0; k < PEFT_DENOISER_LAYERS; k++) {
        if (layers[k].skip >= 0) y = peft_add(g, y, made[layers[k].skip]);
        made[k] = y = layer(net, d, prefix, k, y, kappa, tau, moments && k < LAST ? &moments->layers[k] : NULL);
    }
    return peft_reshape(g, y, peft_shape_2(tokens, d->width));
}

/* ---- averages that run ---- */

static peft_status move(const peft_value *average, peft_graph *g, peft_tensor *to, double factor, peft_error *error)
{
    const double share = 0.1;
    const void *read;
    peft_status status = peft_graph_read(g, to, &read, error);
    if (status != PEFT_OK) return status;
    const float *values = read;
    for (int64_t c = 0; c < peft_value_count(average); c++)
        average->data[c] = (float)((1 - share) * (double)average->data[c] + share * factor * (double)values[c]);
    return PEFT_OK;
}

/* torch takes the variance of n - 1 rows. */
peft_status peft_denoiser_average(const peft_denoiser *d, const peft_value_set *set, const char *prefix, peft_graph *g,
                                  const peft_denoiser_moments *moments, int64_t tokens, peft_error *error)
{
    if (d->norm != PEFT_DENOISER_BATCH) return PEFT_OK;
    const double rows = (double)(tokens * d->width), unbiased = rows > 1 ? rows / (rows - 1) : 1;
    peft_status status = PEFT_OK;
    for (int k = 0; k < LAST && status == PEFT_OK; k++) {
        const peft_value *mean = peft_net_value(set, "%s.%s.running_mean", prefix, layers[k].norm),
                         *variance = peft_net_value(set, "%s.%s.running_var", prefix, layers[k].norm);
        status = move(mean, g, moments->layers[k].mean, 1, error);
        if (status == PEFT_OK) status = move(variance, g, moments->layers[k].variance, unbiased, error);
    }
    return status;
}
