/* ops/cpu/kernels/bias.h - the gradient of a bias, db (+)= sum_t dy_t, which all kernels of the linear layer share. */
#ifndef PEFT_OPS_CPU_KERNELS_BIAS_H
#define PEFT_OPS_CPU_KERNELS_BIAS_H

#include "ops/cpu/kernels/kernel.h"

enum { BIAS_INPUT = 2 };

/* For columns of dy. */
static void dbias_columns(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t tokens = peft_rows(node->dout), out_features = peft_columns(node->dout);
    const real *dy = node->dout->data;
    real *dbias = node->din[BIAS_INPUT]->data;
    for (int64_t o = begin; o < end; o++) dbias[o] = peft_accumulates(node, BIAS_INPUT) ? dbias[o] : 0;
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t o = begin; o < end; o++) dbias[o] += dy[t * out_features + o];
}

static inline void bias_gradient(const peft_node *node, peft_context *ctx)
{
    enum { GRAIN = 256 };
    if (node->din[BIAS_INPUT]) peft_for_rows(node, ctx, peft_columns(node->dout), GRAIN, dbias_columns);
}

#endif
