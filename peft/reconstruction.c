#include "peft/reconstruction.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/side.h"

/* Numbers of all targets for one description. */
static int64_t target_size(const peft_t2l *net)
{
    int64_t size = 0;
    for (const peft_place_kind *kind = net->places.kinds; kind < net->places.kinds + net->places.num_kinds; kind++)
        for (int32_t v = 0; v < kind->num_tensors; v++)
            if (kind->tensors[v].emitted) size += kind->num_places * kind->tensors[v].count;
    return size;
}

static peft_status reserve(peft_reconstruction *r, int64_t count, peft_error *error)
{
    if (count <= r->capacity) return PEFT_OK;
    peft_reconstruction_free(r);
    r->batch_tasks = malloc((size_t)count * sizeof *r->batch_tasks);
    r->batch_vectors = malloc((size_t)(count * r->net->vector_size) * sizeof *r->batch_vectors);
    r->targets = malloc((size_t)(count * target_size(r->net)) * sizeof *r->targets + 1);
    r->capacity = r->batch_tasks && r->batch_vectors && r->targets ? count : 0;
    return r->capacity ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "reconstruction: out of memory for a batch");
}

/* Calls `use` for the targets of each tensor, in the order in which they lie in memory. */
typedef void use_target(void *argument, int64_t k, int32_t v, float *values);
static void each_target(const peft_reconstruction *r, int64_t count, use_target *use, void *argument)
{
    float *at = r->targets;
    for (int64_t k = 0; k < r->net->places.num_kinds; k++) {
        const peft_place_kind *kind = &r->net->places.kinds[k];
        for (int32_t v = 0; v < kind->num_tensors; v++) {
            if (!kind->tensors[v].emitted) continue;
            use(argument, k, v, at);
            at += count * kind->num_places * kind->tensors[v].count;
        }
    }
}

typedef struct filling {
    const peft_reconstruction *r;
    int64_t count;
    peft_graph *g;
    peft_t2l_kind_output *wanted;
} filling;

static void fill_target(void *argument, int64_t k, int32_t v, float *values)
{
    const filling *f = argument;
    const peft_place_kind *kind = &f->r->net->places.kinds[k];
    peft_library_gather(f->r->library, kind, &kind->tensors[v], f->r->batch_tasks, f->count, values);
}

static void describe_target(void *argument, int64_t k, int32_t v, float *values)
{
    filling *f = argument;
    const peft_place_kind *kind = &f->r->net->places.kinds[k];
    f->wanted[k].tensors[v] = peft_constant(
        f->g, PEFT_F32, peft_shape_2(kind->num_places * f->count, kind->tensors[v].count), values, "target");
}

static void fill(peft_reconstruction *r, const peft_examples *batch)
{
    filling f = {.r = r, .count = batch->count};
    const int64_t size = r->net->vector_size;
    for (int64_t n = 0; n < batch->count; n++) {
        r->batch_tasks[n] = r->tasks ? r->tasks[batch->rows[n]] : batch->rows[n];
        memcpy(r->batch_vectors + n * size, r->vectors + batch->rows[n] * size, (size_t)size * sizeof(float));
    }
    each_target(r, batch->count, fill_target, &f);
}

static peft_status describe(void *argument, peft_graph *g, const peft_examples *batch, peft_tensor **loss,
                            peft_error *error)
{
    peft_reconstruction *r = argument;
    const peft_t2l *net = r->net;
    peft_status status = reserve(r, batch->count, error);
    if (status != PEFT_OK) return status;
    fill(r, batch);
    r->count = batch->count;
    r->first = batch->first_example;
    r->normaliser = batch->normaliser;
    peft_t2l_kind_output *outputs = calloc(2 * (size_t)net->places.num_kinds, sizeof *outputs);
    if (!outputs) return peft_fail(error, PEFT_ERR_MEMORY, "reconstruction: out of memory for a batch");
    filling f = {.r = r, .count = batch->count, .g = g, .wanted = outputs + net->places.num_kinds};
    each_target(r, batch->count, describe_target, &f);
    peft_tensor *vectors =
        peft_constant(g, PEFT_F32, peft_shape_2(batch->count, net->vector_size), r->batch_vectors, "descriptions");
    peft_t2l_emit(g, net, vectors, true, batch->first_example, outputs);
    const double share = (double)batch->count / batch->normaliser;
    peft_tensor *mean = peft_t2l_reconstruction_loss(g, net, r->loss, batch->count, outputs, f.wanted);
    *loss = peft_graph_total_loss(g, peft_scale(g, mean, share), share);
    free(outputs);
    return PEFT_OK;
}

/* Random numbers differ from step to step by themselves: the graph is the same. */
static bool refill(void *argument, const peft_examples *batch)
{
    peft_reconstruction *r = argument;
    if (batch->count != r->count || batch->first_example != r->first || batch->normaliser < r->normaliser ||
        batch->normaliser > r->normaliser)
        return false;
    fill(r, batch);
    return true;
}

peft_status peft_reconstruction_objective(peft_reconstruction *r, peft_objective *objective, peft_error *error)
{
    peft_status status = peft_t2l_loss_check(r->net, r->loss, error);
    for (int64_t k = 0; k < r->num_descriptions && status == PEFT_OK; k++) {
        int64_t task = r->tasks ? r->tasks[k] : k;
        if (task >= r->library->num_tasks)
            status = peft_fail(error, PEFT_ERR_ARGUMENT,
                               "description %" PRId64 ": is about task %" PRId64 "; the library has %" PRId64, k, task,
                               r->library->num_tasks);
    }
    *objective =
        (peft_objective){.num_examples = r->num_descriptions, .describe = describe, .refill = refill, .argument = r};
    return status;
}

void peft_reconstruction_free(peft_reconstruction *r)
{
    free(r->batch_tasks);
    free(r->batch_vectors);
    free(r->targets);
    r->batch_tasks = NULL;
    r->batch_vectors = r->targets = NULL;
    r->capacity = 0;
}
