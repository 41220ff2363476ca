/* ops/cpu/kernels/modulate.c
 *
 *     y_rc = (x_rc + a_r) b_r                                                          (1)
 *     dx_rc (+)= dy_rc b_r      da_r (+)= b_r sum_c dy_rc      db_r (+)= sum_c dy_rc (x_rc + a_r)      (2)
 *
 * a and b have a number for each row of x. */
#include "ops/cpu/kernels/elementwise.h"

enum { X, SHIFT, FACTOR };

static real number_at(const peft_tensor *t, int64_t row)
{
    return ((const real *)t->data)[row];
}

/* (1) */
static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const int64_t columns = peft_columns(node->in[X]);
    for (int64_t r = begin; r < end; r++) {
        const real *x = row_of(node->in[X], r), a = number_at(node->in[SHIFT], r), b = number_at(node->in[FACTOR], r);
        real *y = row_of(node->out[0], r);
        for (int64_t c = 0; c < columns; c += LANES)
            store_some(y + c, columns - c, (load_some(x + c, columns - c, 0) + a) * b);
    }
}

static void put(const peft_node *node, int input, int64_t row, real value)
{
    if (!node->din[input]) return;
    real *d = (real *)node->din[input]->data + row;
    *d = value + (peft_accumulates(node, input) ? *d : 0);
}

/* (2). What is not there need not be read: a gradient of x alone reads b. */
static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)ctx, (void)thread;
    const int64_t columns = peft_columns(node->dout);
    const bool add = peft_accumulates(node, X);
    for (int64_t r = begin; r < end; r++) {
        const real *dy = row_of(node->dout, r), *x = node->din[FACTOR] ? row_of(node->in[X], r) : NULL;
        const real a = x ? number_at(node->in[SHIFT], r) : 0;
        const real b = node->din[X] || node->din[SHIFT] ? number_at(node->in[FACTOR], r) : 0;
        real *dx = node->din[X] ? row_of(node->din[X], r) : NULL;
        vec sum = broadcast(0), product = broadcast(0);
        for (int64_t c = 0; c < columns; c += LANES) {
            vec d = load_some(dy + c, columns - c, 0);
            sum += d;
            if (x) product += d * (load_some(x + c, columns - c, 0) + a);
            if (dx) put_some(dx + c, columns - c, d * b, add);
        }
        put(node, SHIFT, r, b * sum_lanes(sum));
        put(node, FACTOR, r, sum_lanes(product));
    }
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->in[X]), piece_rows(peft_columns(node->in[X])), forward_rows);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->dout), piece_rows(peft_columns(node->dout)), backward_rows);
}

const peft_kernel KERNEL(modulate) = {.forward = forward, .backward = backward};
