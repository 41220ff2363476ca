/* ops/cpu/kernels/top_k.c
 *
 *     y_c = kept where fewer than k elements of the row come before x_c, else rest
 *
 * j comes before c where x_j > x_c, or where they are equal and j < c. There is no backward. */
#include "ops/describe/top_k.h"
#include "ops/cpu/kernels/elementwise.h"

static int64_t num_before(const real *x, int64_t columns, int64_t c)
{
    int64_t count = 0;
    for (int64_t j = 0; j < columns; j++) count += x[j] > x[c] || (x[j] == x[c] && j < c);
    return count;
}

static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const peft_top_k_attributes *a = node->attributes;
    int64_t columns = peft_columns(node->in[0]);
    for (int64_t t = begin; t < end; t++) {
        const real *x = (const real *)node->in[0]->data + t * columns;
        real *y = (real *)node->out[0]->data + t * columns;
        for (int64_t c = 0; c < columns; c++) y[c] = (real)(num_before(x, columns, c) < a->k ? a->kept : a->rest);
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    int64_t columns = peft_columns(node->in[0]);
    peft_for_rows(node, ctx, peft_rows(node->in[0]), piece_rows(columns * columns), forward_rows);
}

const peft_kernel KERNEL(top_k) = {.forward = forward};
