#include "variants/intuition.h"

#include <inttypes.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/side.h"
#include "variants/kmeans.h"

enum { ROUTER, OMEGA, MAIN };
enum { CENTROIDS }; /* of the model */

const char *const peft_intuition_sources[] = {"embeddings", "vectors", NULL};
const char *const peft_intuition_centroids[] = {"trained", "kmeans", NULL};

static const double STEEPNESS = 100;

/* ---- values ---- */

int32_t peft_intuition_layer_values(const peft_adapter *a, const peft_intuition_names *names, int64_t n,
                                    peft_value_spec *specs)
{
    const peft_intuition_options *o = a->all->options;
    specs[ROUTER] =
        (peft_value_spec){.name = names->router, .shape = peft_shape_2(n, a->in_features), .role = PEFT_ROLE_ROUTER};
    const peft_value_spec scalar = {
        .shape = peft_shape_1(1), .role = PEFT_ROLE_OTHER, .no_decay = true, .learning_rate_factor = o->scalar_rate};
    specs[OMEGA] = specs[MAIN] = scalar;
    specs[OMEGA].name = names->omega;
    specs[MAIN].name = names->main;
    return PEFT_INTUITION_VALUES;
}

static int64_t vector_size(const peft_adapters *all)
{
    int64_t size = ((const peft_intuition_options *)all->options)->vector_size;
    if (size > 0) return size;
    size = all->layers[0].in_features;
    for (int64_t i = 1; i < all->num_layers; i++)
        if (all->layers[i].in_features < size) size = all->layers[i].in_features;
    return size;
}

/* Drawn with rows of about length one. */
int32_t peft_intuition_model_values(const peft_adapters *all, const peft_intuition_names *names, int64_t n,
                                    peft_value_spec *specs)
{
    const peft_intuition_options *o = all->options;
    int64_t size = vector_size(all);
    specs[CENTROIDS] = (peft_value_spec){
        .name = names->centroids,
        .shape = peft_shape_2(n, size),
        .kind = strcmp(o->centroids, "trained") == 0 ? PEFT_VALUE_TRAINED : PEFT_VALUE_FROZEN,
        .start = PEFT_START_NORMAL,
        .spread = 1 / sqrt((double)size),
        .role = PEFT_ROLE_OTHER,
    };
    return 1;
}

int64_t peft_intuition_fit_size(const peft_adapters *all)
{
    bool wanted = all->num_values > 0 && all->values[CENTROIDS].spec.kind == PEFT_VALUE_FROZEN;
    return wanted ? all->values[CENTROIDS].spec.shape.size[1] : 0;
}

peft_status peft_intuition_fit(peft_adapters *all, const float *vectors, int64_t count, uint64_t seed,
                               peft_error *error)
{
    const peft_value *centroids = &all->values[CENTROIDS];
    const int64_t *size = centroids->spec.shape.size;
    return peft_kmeans(vectors, count, size[1], size[0], seed, centroids->data, error);
}

/* ---- in graphs ---- */

static peft_tensor *vectors(peft_graph *g, const peft_adapters *all, const peft_batch *batch)
{
    const peft_intuition_options *o = all->options;
    bool given = strcmp(o->intuition, "vectors") == 0;
    peft_tensor *e = given ? peft_batch_vectors(g, batch) : peft_batch_embedding_means(g, batch);
    if (!e)
        return peft_graph_fail(
            g, PEFT_ERR_ARGUMENT, "intuition: %s",
            given ? "the batch has no vectors of its sequences; give them (--vector-column), or set intuition to "
                    "embeddings"
                  : "no model has said its input embeddings; give vectors with the batch, and set "
                    "intuition to vectors");
    int64_t size = all->values[CENTROIDS].spec.shape.size[1], found = e->shape.size[1];
    if (found == size) return e;
    return peft_graph_fail(g, PEFT_ERR_SHAPE,
                           "intuition: expected vectors of %" PRId64 " numbers, found %" PRId64 "; set vector_size",
                           size, found);
}

/* c [S, n], the same for all layers of a batch: the last one is described once. */
static peft_tensor *nearness(peft_graph *g, const peft_adapters *all, const peft_batch *batch)
{
    const void *of_batch = &batch->vector_size; /* any address in it that is nobody else's owner */
    peft_tensor *c = peft_graph_bound(g, all);
    if (c && c == peft_graph_bound(g, of_batch)) return c;
    c = peft_linear(g, vectors(g, all, batch), peft_value_leaf(g, &all->values[CENTROIDS], batch), NULL);
    peft_graph_bind(g, all, c);
    peft_graph_bind(g, of_batch, c);
    return c;
}

static peft_tensor *sigmoid(peft_graph *g, peft_tensor *w, double steepness)
{
    return peft_activation(g, peft_scale(g, w, steepness), PEFT_ACTIVATION_sigmoid);
}

peft_tensor *peft_intuition_gate(peft_graph *g, const peft_adapter *a, const peft_value *values, peft_tensor *x,
                                 const peft_batch *batch)
{
    const peft_intuition_options *o = a->all->options;
    double n = (double)values[ROUTER].spec.shape.size[0];
    peft_tensor *w = peft_value_leaf(g, &values[OMEGA], batch);
    peft_tensor *omega = sigmoid(g, w, STEEPNESS), *rest = sigmoid(g, w, -STEEPNESS); /* 1 - omega */
    peft_tensor *main = sigmoid(g, peft_value_leaf(g, &values[MAIN], batch), STEEPNESS);
    peft_tensor *p = peft_softmax(g, peft_linear(g, x, peft_value_leaf(g, &values[ROUTER], batch), NULL));
    peft_tensor *c = peft_spread(g, nearness(g, a->all, batch), peft_batch_starts(g, batch));
    peft_tensor *routed = peft_scale(g, peft_mul(g, p, omega), n);
    peft_tensor *gate = peft_add(g, routed, peft_scale(g, peft_mul(g, c, rest), o->kappa));
    gate = peft_mul(g, gate, main);
    if (batch->training) {
        peft_graph_observe(g, a->module, "gate", peft_mean(g, gate, 0));
        peft_graph_observe(g, a->module, "omega", omega);
        peft_graph_observe(g, a->module, "main", main);
    }
    return gate;
}
