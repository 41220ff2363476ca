#include "variants/router.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/rng.h"
#include "ops/side.h"

enum { WEIGHT, BIAS };

const char *const peft_router_balance_losses[] = {"none", "entropy", "switch", NULL};

static bool has_loss(const peft_router_options *o, const char *name)
{
    return strcmp(o->balance_loss, name) == 0;
}

peft_status peft_router_check(const void *options, peft_error *error)
{
    const peft_router_options *o = options;
    if (o->top_k == 1 && o->renormalize)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "top_k: one expert with renormalised probabilities always counts 1, and the router would "
                         "learn nothing; set renormalize to false, or top_k to 2 or more");
    if (has_loss(o, "switch") && o->top_k == 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "balance_loss: switch counts picks, and is constant where all experts count; set top_k, or "
                         "balance_loss to entropy");
    return PEFT_OK;
}

peft_status peft_router_arrange(peft_adapters *all, peft_error *error)
{
    const peft_router_options *o = all->options;
    if (o->top_k > o->num_experts)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "top_k: expected at most num_experts, %" PRId64 ", found %" PRId64,
                         o->num_experts, o->top_k);
    for (int64_t i = 0; i < all->num_layers; i++) all->layers[i].num_experts = o->num_experts;
    return PEFT_OK;
}

int32_t peft_router_values(const peft_adapter *a, const peft_router_spec *router, peft_value_spec *specs)
{
    const peft_router_options *o = a->all->options;
    specs[WEIGHT] = (peft_value_spec){.name = router->weight,
                                      .shape = peft_shape_2(a->num_experts, a->in_features),
                                      .start = router->start,
                                      .spread = router->spread,
                                      .role = PEFT_ROLE_ROUTER};
    if (!o->router_bias) return 1;
    specs[BIAS] =
        (peft_value_spec){.name = router->bias, .shape = peft_shape_1(a->num_experts), .role = PEFT_ROLE_ROUTER};
    return 2;
}

/* ---- in graphs ---- */

typedef struct routing {
    peft_graph *g;
    const peft_adapter *adapter;
    const peft_router_options *options;
    int64_t experts, k;
    peft_tensor *z, *p;  /* [T, E] */
    peft_tensor *picked; /* [T, E], 1 or 0; NULL: all count */
} routing;

static peft_tensor *scores(peft_graph *g, const peft_adapter *a, const peft_value *values, peft_tensor *x,
                           const peft_batch *batch)
{
    const peft_router_options *o = a->all->options;
    uint64_t stream = peft_random_u64(a->dropout_stream, peft_stream("jitter"), 0);
    if (batch->training) x = peft_jitter(g, x, o->jitter, stream, batch->first_token);
    peft_tensor *bias = o->router_bias ? peft_value_leaf(g, &values[BIAS], batch) : NULL;
    return peft_linear(g, x, peft_value_leaf(g, &values[WEIGHT], batch), bias);
}

static routing route(peft_graph *g, const peft_adapter *a, peft_tensor *z)
{
    const peft_router_options *o = a->all->options;
    routing r = {.g = g, .adapter = a, .options = o, .experts = a->num_experts, .k = o->top_k, .z = z};
    if (r.k == 0 || r.k > r.experts) r.k = r.experts;
    r.p = peft_softmax(g, z);
    if (r.k < r.experts) r.picked = peft_top_k(g, z, r.k, 1, 0);
    return r;
}

static peft_tensor *gate(const routing *r)
{
    peft_graph *g = r->g;
    if (!r->picked) return r->p;
    if (!r->options->renormalize) return peft_mul(g, r->p, r->picked);
    return peft_softmax(g, peft_add(g, r->z, peft_top_k(g, r->z, r->k, 0, -HUGE_VAL)));
}

/* Over the tokens of the batch: p', and the share of each expert among the picks. */
static peft_tensor *mean_probability(const routing *r)
{
    return peft_mean(r->g, r->p, 0);
}

static peft_tensor *shares(const routing *r)
{
    return peft_scale(r->g, peft_mean(r->g, r->picked, 0), 1 / (double)r->k);
}

static void add_losses(const routing *r)
{
    peft_graph *g = r->g;
    const char *module = r->adapter->module;
    const peft_router_options *o = r->options;
    if (has_loss(o, "entropy"))
        peft_graph_add_loss(g, module, "balance", peft_scale(g, peft_entropy(g, mean_probability(r)), -1),
                            o->balance_coef);
    if (has_loss(o, "switch") && r->picked) {
        peft_tensor *products = peft_mul(g, mean_probability(r), shares(r));
        peft_tensor *loss = peft_scale(g, peft_sum(g, products, PEFT_ALL_DIMS), (double)r->experts);
        peft_graph_add_loss(g, module, "balance", loss, o->balance_coef);
    }
    if (o->z_loss_coef > 0) {
        peft_tensor *sums = peft_log_sum_exp(g, r->z);
        peft_graph_add_loss(g, module, "z", peft_mean(g, peft_mul(g, sums, sums), PEFT_ALL_DIMS), o->z_loss_coef);
    }
}

static void observe(const routing *r)
{
    peft_graph *g = r->g;
    const char *module = r->adapter->module;
    peft_graph_observe(g, module, "load", r->picked ? shares(r) : mean_probability(r));
    peft_graph_observe(g, module, "router_entropy", peft_mean(g, peft_entropy(g, r->p), PEFT_ALL_DIMS));
}

peft_tensor *peft_router_gate(peft_graph *g, const peft_adapter *a, const peft_value *values, peft_tensor *x,
                              const peft_batch *batch)
{
    routing r = route(g, a, scores(g, a, values, x, batch));
    if (batch->training) {
        add_losses(&r);
        observe(&r);
    }
    return gate(&r);
}
