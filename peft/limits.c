#include "peft/limits.h"

#include <math.h>
#include <stdlib.h>

#include "ops/ops.h"
#include "ops/profile.h"
#include "ops/rng.h"
#include "ops/weight.h"
#include "peft/machine.h"

/* ---- a graph, run again and again ---- */

/* Runs g until some time has passed, and several times at least; seconds[0] and [1] become the least that the calls of
 * `op` took forward and backward. The first run is for the caches and the memory. */
static peft_status run_repeatedly(peft_graph *g, peft_context *ctx, peft_op_id op, double seconds[2], peft_error *error)
{
    enum { LEAST_RUNS = 3 };
    const double enough = 0.2;
    seconds[0] = seconds[1] = HUGE_VAL;
    peft_status status = peft_graph_run(g, ctx, error);
    double began = peft_machine_seconds();
    for (int k = 0; status == PEFT_OK && (k < LEAST_RUNS || peft_machine_seconds() - began < enough); k++) {
        peft_profile profile = {.clock = peft_machine_seconds};
        peft_context_profile(ctx, &profile);
        status = peft_graph_run(g, ctx, error);
        peft_context_profile(ctx, NULL);
        for (int backward = 0; backward < 2; backward++)
            seconds[backward] = fmin(seconds[backward], profile.lines[op][backward].seconds);
    }
    return status;
}

static float *noise(int64_t count, const char *name)
{
    float *values = malloc((size_t)count * sizeof *values);
    if (values) peft_random_uniform(values, (size_t)count, -1, 1, 0, peft_stream(name));
    return values;
}

static peft_status no_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "limits of the machine: out of memory for the arrays to measure with");
}

/* ---- products ---- */

static peft_status time_product(peft_graph *g, peft_context *ctx, const peft_product *p, const peft_weight *weight,
                                const float *x, const float *dy, double seconds[2], peft_error *error)
{
    peft_tensor *in = peft_variable(g, PEFT_F32, peft_shape_2(p->rows, p->in_features), x, "x");
    peft_tensor *y = peft_linear(g, in, peft_weight_leaf(g, weight), NULL);
    peft_status status = peft_graph_status(g, error);
    if (status == PEFT_OK) status = peft_graph_differentiate_from(g, y, dy, error);
    return status == PEFT_OK ? run_repeatedly(g, ctx, PEFT_OP_linear, seconds, error) : status;
}

static peft_status measure_product(peft_context *ctx, const peft_product *p, const float *x, const float *dy,
                                   const float *W, double seconds[2], peft_error *error)
{
    peft_weight weight = {.name = "W", .shape = peft_shape_2(p->out_features, p->in_features), .stored.data = W};
    peft_graph *g = NULL;
    peft_status status = peft_weight_pack(&weight, ctx, PEFT_PACK_BOTH, error);
    if (status == PEFT_OK) status = peft_graph_create(&g, error);
    if (status == PEFT_OK) status = time_product(g, ctx, p, &weight, x, dy, seconds, error);
    peft_graph_free(g);
    peft_weight_unpack(&weight);
    return status;
}

peft_status peft_product_measure(peft_context *ctx, const peft_product *p, peft_product_speed *speed, peft_error *error)
{
    *speed = (peft_product_speed){0, 0};
    float *x = noise(p->rows * p->in_features, "x"), *dy = noise(p->rows * p->out_features, "dy");
    float *W = noise(p->out_features * p->in_features, "W");
    double seconds[2], flops = 2 * (double)p->rows * (double)p->in_features * (double)p->out_features;
    peft_status status = x && dy && W ? measure_product(ctx, p, x, dy, W, seconds, error) : no_memory(error);
    if (status == PEFT_OK) *speed = (peft_product_speed){flops / seconds[0], flops / seconds[1]};
    free(x);
    free(dy);
    free(W);
    return status;
}

peft_status peft_peak_measure(peft_context *ctx, double *flops_per_second, peft_error *error)
{
    static const int64_t sizes[] = {1024, 2048};
    *flops_per_second = 0;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const peft_product square = {sizes[k], sizes[k], sizes[k]};
        peft_product_speed speed;
        peft_status status = peft_product_measure(ctx, &square, &speed, error);
        if (status != PEFT_OK) return status;
        *flops_per_second = fmax(*flops_per_second, fmax(speed.forward, speed.backward));
    }
    return PEFT_OK;
}

/* ---- memory ---- */

static peft_status time_sum(peft_context *ctx, const float *b, const float *c, int64_t count, double seconds[2],
                            peft_error *error)
{
    peft_graph *g;
    peft_status status = peft_graph_create(&g, error);
    if (status != PEFT_OK) return status;
    peft_add(g, peft_constant(g, PEFT_F32, peft_shape_1(count), b, "b"),
             peft_constant(g, PEFT_F32, peft_shape_1(count), c, "c"));
    status = run_repeatedly(g, ctx, PEFT_OP_add, seconds, error);
    peft_graph_free(g);
    return status;
}

peft_status peft_bandwidth_measure(peft_context *ctx, double *bytes_per_second, peft_error *error)
{
    enum { COUNT = 1 << 24, ARRAYS = 3 };
    *bytes_per_second = 0;
    float *b = noise(COUNT, "b"), *c = noise(COUNT, "c");
    double seconds[2];
    peft_status status = b && c ? time_sum(ctx, b, c, COUNT, seconds, error) : no_memory(error);
    if (status == PEFT_OK) *bytes_per_second = (double)ARRAYS * COUNT * (double)sizeof(float) / seconds[0];
    free(b);
    free(c);
    return status;
}
