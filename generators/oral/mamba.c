#include "generators/oral/mamba.h"

#include <math.h>

#include "ops/ops.h"
#include "ops/rng.h"

static int64_t inner(const peft_mamba *m)
{
    return m->expand * m->width;
}

static int64_t heads(const peft_mamba *m)
{
    return inner(m) / m->head;
}

/* Numbers from which delta is made: ceil(d / 16) */
static int64_t delta_rank(const peft_mamba *m)
{
    return (m->width + 15) / 16;
}

peft_status peft_mamba_check(const peft_mamba *m, peft_error *error)
{
    if (m->version != 1 && m->version != 2)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "recurrence: expected mamba or mamba2, found version %d",
                         m->version);
    if (m->width < 1 || m->state < 1 || m->taps < 1 || m->expand < 1 || (m->version == 2 && m->chunk < 1))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "recurrence: expected sizes of 1 or more");
    if (m->version == 2 && (m->head < 1 || inner(m) % m->head != 0))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "recurrence: heads of %lld channels: expected a divisor of %lld",
                         (long long)m->head, (long long)inner(m));
    return PEFT_OK;
}

/* ---- tensors ---- */

static void add_uniform(peft_value_list *l, peft_shape shape, int64_t fan_in, const char *prefix, const char *name)
{
    const peft_value_spec spec = {.shape = shape, .start = PEFT_START_UNIFORM, .spread = 1 / sqrt((double)fan_in)};
    peft_value_list_add(l, spec, "%s.%s", prefix, name);
}

static void add_plain(peft_value_list *l, peft_shape shape, peft_start start, const char *prefix, const char *name)
{
    peft_value_list_add(l, (peft_value_spec){.shape = shape, .start = start, .no_decay = true}, "%s.%s", prefix, name);
}

void peft_mamba_list(const peft_mamba *m, peft_value_list *l, const char *prefix)
{
    const int64_t d = m->width, i = inner(m), J = m->state;
    const bool first = m->version == 1;
    const int64_t projected = first ? 2 * i : 2 * i + 2 * J + heads(m), convolved = first ? i : i + 2 * J;
    add_plain(l, first ? peft_shape_2(i, J) : peft_shape_1(heads(m)), PEFT_START_ZERO, prefix, "A_log");
    add_plain(l, peft_shape_1(first ? i : heads(m)), PEFT_START_ONE, prefix, "D");
    add_uniform(l, peft_shape_2(projected, d), d, prefix, "in_proj.weight");
    add_uniform(l, peft_shape_3(convolved, 1, m->taps), m->taps, prefix, "conv1d.weight");
    add_uniform(l, peft_shape_1(convolved), m->taps, prefix, "conv1d.bias");
    if (first) {
        add_uniform(l, peft_shape_2(delta_rank(m) + 2 * J, i), i, prefix, "x_proj.weight");
        add_uniform(l, peft_shape_2(i, delta_rank(m)), delta_rank(m), prefix, "dt_proj.weight");
        add_plain(l, peft_shape_1(i), PEFT_START_ZERO, prefix, "dt_proj.bias");
    } else {
        add_plain(l, peft_shape_1(heads(m)), PEFT_START_ZERO, prefix, "dt_bias");
        add_plain(l, peft_shape_1(i), PEFT_START_ONE, prefix, "norm.weight");
    }
    add_uniform(l, peft_shape_2(d, i), i, prefix, "out_proj.weight");
}

/* Number `draw` of a tensor's own stream, in 0 ... 1. */
static double uniform(uint64_t seed, const peft_value *value, int64_t draw)
{
    return (double)(peft_random_u64(seed, peft_stream(value->spec.name), (uint64_t)draw) >> 11) * 0x1p-53;
}

void peft_mamba_draw(const peft_mamba *m, const peft_value_set *set, const char *prefix, uint64_t seed)
{
    const double least = 1e-3, most = 0.1, floor = 1e-4;
    const bool first = m->version == 1;
    const peft_value *A_log = peft_net_value(set, "%s.A_log", prefix);
    const peft_value *bias = peft_net_value(set, first ? "%s.dt_proj.bias" : "%s.dt_bias", prefix);
    for (int64_t k = 0; k < peft_value_count(A_log); k++)
        A_log->data[k] = (float)log(first ? (double)(k % m->state + 1) : 1 + 15 * uniform(seed, A_log, k));
    for (int64_t k = 0; k < peft_value_count(bias); k++) {
        const double delta = fmax(least * pow(most / least, uniform(seed, bias, k)), floor);
        bias->data[k] = (float)(delta + log(-expm1(-delta))); /* softplus^-1 */
    }
}

/* ---- forward ---- */

static peft_tensor *project(const peft_net *net, peft_tensor *x, const char *prefix, const char *name)
{
    return peft_linear(net->g, x, peft_net_leaf(net, "%s.%s.weight", prefix, name), NULL);
}

static peft_tensor *silu(const peft_net *net, peft_tensor *x)
{
    return peft_activation(net->g, x, PEFT_ACTIVATION_silu);
}

/* SiLU(conv(x)); the file has the weight as [channels, 1, taps] */
static peft_tensor *convolve(const peft_net *net, const peft_mamba *m, peft_tensor *x, const char *prefix,
                             peft_tensor *starts)
{
    peft_tensor *weight = peft_net_leaf(net, "%s.conv1d.weight", prefix);
    if (!weight || !x) return NULL;
    weight = peft_reshape(net->g, weight, peft_shape_2(peft_columns(x), m->taps));
    return silu(net, peft_causal_conv(net->g, x, weight, peft_net_leaf(net, "%s.conv1d.bias", prefix), starts));
}

/* A = -exp(A_log) */
static peft_tensor *decay(const peft_net *net, const char *prefix)
{
    return peft_scale(net->g, peft_activation(net->g, peft_net_leaf(net, "%s.A_log", prefix), PEFT_ACTIVATION_exp), -1);
}

/* (1) */
static peft_tensor *mamba(const peft_net *net, const peft_mamba *m, const char *prefix, peft_tensor *x,
                          peft_tensor *starts)
{
    peft_graph *g = net->g;
    const int64_t i = inner(m), rank = delta_rank(m), J = m->state;
    peft_tensor *both = project(net, x, prefix, "in_proj");
    peft_tensor *u = convolve(net, m, peft_slice(g, both, 1, 0, i), prefix, starts);
    peft_tensor *parts = project(net, u, prefix, "x_proj");
    peft_tensor *delta =
        peft_linear(g, peft_slice(g, parts, 1, 0, rank), peft_net_leaf(net, "%s.dt_proj.weight", prefix),
                    peft_net_leaf(net, "%s.dt_proj.bias", prefix));
    delta = peft_activation(g, delta, PEFT_ACTIVATION_softplus);
    peft_tensor *y =
        peft_selective_scan(g, u, delta, decay(net, prefix), peft_slice(g, parts, 1, rank, J),
                            peft_slice(g, parts, 1, rank + J, J), peft_net_leaf(net, "%s.D", prefix), starts);
    return project(net, peft_mul(g, y, silu(net, peft_slice(g, both, 1, i, i))), prefix, "out_proj");
}

/* (2) */
static peft_tensor *mamba2(const peft_net *net, const peft_mamba *m, const char *prefix, peft_tensor *x,
                           peft_tensor *starts)
{
    const double eps = 1e-5;
    peft_graph *g = net->g;
    const int64_t i = inner(m), J = m->state;
    peft_tensor *all = project(net, x, prefix, "in_proj");
    peft_tensor *u = convolve(net, m, peft_slice(g, all, 1, i, i + 2 * J), prefix, starts);
    peft_tensor *delta =
        peft_add(g, peft_slice(g, all, 1, 2 * i + 2 * J, heads(m)), peft_net_leaf(net, "%s.dt_bias", prefix));
    delta = peft_activation(g, delta, PEFT_ACTIVATION_softplus);
    peft_tensor *y = peft_ssd(g, peft_slice(g, u, 1, 0, i), delta, decay(net, prefix), peft_slice(g, u, 1, i, J),
                              peft_slice(g, u, 1, i + J, J), peft_net_leaf(net, "%s.D", prefix), starts, m->chunk);
    y = peft_mul(g, y, silu(net, peft_slice(g, all, 1, 0, i)));
    return project(net, peft_rms_norm(g, y, peft_net_leaf(net, "%s.norm.weight", prefix), eps), prefix, "out_proj");
}

peft_tensor *peft_mamba_block(const peft_net *net, const peft_mamba *m, const char *prefix, peft_tensor *x,
                              peft_tensor *starts)
{
    return m->version == 1 ? mamba(net, m, prefix, x, starts) : mamba2(net, m, prefix, x, starts);
}
