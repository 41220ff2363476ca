/* ops/cpu/kernels/mse.c
 *
 *     loss = sum_k (p_k - t_k)^2 / normalizer         (1)
 *     dp_k (+)= 2 dloss (p_k - t_k) / normalizer      dt_k (+)= -2 dloss (p_k - t_k) / normalizer    (2)
 *
 * p and t in any shape. The sum runs in double, on one thread. */
#include "ops/cpu/kernels/kernel.h"

enum { PREDICTION, TARGET };

/* (1) */
static void forward(const peft_node *node, peft_context *ctx)
{
    (void)ctx;
    const double *normalizer = node->attributes;
    const real *p = node->in[PREDICTION]->data, *t = node->in[TARGET]->data;
    int64_t count = peft_shape_count(&node->in[PREDICTION]->shape);
    double sum = 0;
    for (int64_t k = 0; k < count; k++) {
        double difference = (double)p[k] - (double)t[k];
        sum += difference * difference;
    }
    *(real *)node->out[0]->data = (real)(sum / *normalizer);
}

/* (2), for one of the two */
static void add_gradient(const peft_node *node, int input, real factor)
{
    if (!node->din[input]) return;
    const real *p = node->in[PREDICTION]->data, *t = node->in[TARGET]->data;
    int64_t count = peft_shape_count(&node->in[PREDICTION]->shape);
    real *d = node->din[input]->data;
    clear_unless_accumulated(node, input);
    for (int64_t k = 0; k < count; k++) d[k] += factor * (p[k] - t[k]);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    (void)ctx;
    const double *normalizer = node->attributes;
    real factor = (real)(2 * (double)*(const real *)node->dout->data / *normalizer);
    add_gradient(node, PREDICTION, factor);
    add_gradient(node, TARGET, -factor);
}

const peft_kernel KERNEL(mse) = {.forward = forward, .backward = backward};
