/* ops/cpu/kernels/embedding.c
 *
 *     y_t = W[ids_t]                                  (1)
 *     dW[ids_t] (+)= dy_t                             (2)
 *
 * ids [T], W [rows, columns], y [T, columns]. (2) is cut by columns: tokens with the same id add up in their order,
 * whatever the number of threads. */
#include "ops/cpu/kernels/stored.h"

enum { WEIGHT, IDS };
enum { TOKENS = 256, COLUMNS = 64 }; /* of a piece of work */

static bool ids_fit(const peft_node *node, peft_context *ctx)
{
    const int32_t *ids = node->in[IDS]->data;
    int64_t tokens = node->in[IDS]->shape.size[0], rows = peft_rows(node->in[WEIGHT]);
    for (int64_t t = 0; t < tokens; t++)
        if (ids[t] < 0 || ids[t] >= rows) {
            const char *name = node->in[WEIGHT]->name;
            peft_context_fail(ctx, PEFT_ERR_ARGUMENT, "%s: ids[%lld]: expected 0 ... %lld, the table's rows, found %d",
                              name ? name : "weight", (long long)t, (long long)rows - 1, ids[t]);
            return false;
        }
    return true;
}

/* (1) */
static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t columns = peft_columns(node->in[WEIGHT]);
    const int32_t *ids = node->in[IDS]->data;
    real *y = node->out[0]->data;
    for (int64_t t = begin; t < end; t++) read_rows(node->in[WEIGHT], ids[t], 1, y + t * columns);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    if (ids_fit(node, ctx)) peft_for_rows(node, ctx, node->in[IDS]->shape.size[0], TOKENS, forward_rows);
}

/* (2) */
static void backward_columns(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t tokens = node->in[IDS]->shape.size[0], columns = peft_columns(node->in[WEIGHT]);
    const int32_t *ids = node->in[IDS]->data;
    const real *dy = node->dout->data;
    real *dweight = node->din[WEIGHT]->data;
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t c = begin; c < end; c++) dweight[ids[t] * columns + c] += dy[t * columns + c];
}

static void backward(const peft_node *node, peft_context *ctx)
{
    clear_unless_accumulated(node, WEIGHT);
    peft_for_rows(node, ctx, peft_columns(node->in[WEIGHT]), COLUMNS, backward_columns);
}

const peft_kernel KERNEL(embedding) = {.forward = forward, .backward = backward};
