/* ops/cpu/kernels/fold.c
 *
 *     y_p (+)= x_q        dx_q (+)= dy_p
 *
 * for each row, over the pairs (p, q) of places that the layout of peft_fold pairs: one loop serves both. */
#include "ops/cpu/kernels/elementwise.h"
#include "ops/ops.h"

/* One side of the pairs: a row of so many places. */
typedef struct side {
    real *data;
    int64_t count;
} side;

/* As many turns of the result as it takes to read all of the input; the first of them sets what later ones add to. */
static void add_wrapped(side to, const real *from, int64_t count, int64_t pairs, bool add)
{
    for (int64_t pair = 0, run; pair < pairs; pair += run) {
        int64_t p = pair % to.count, q = pair % count;
        run = to.count - p < count - q ? to.count - p : count - q;
        if (run > pairs - pair) run = pairs - pair;
        if (pair < to.count && !add)
            memcpy(to.data + p, from + q, (size_t)run * sizeof *from);
        else
            for (int64_t k = 0; k < run; k++) to.data[p + k] += from[q + k];
    }
}

/* Where group k of `groups` begins among `count` places: they differ by one in size, larger ones first. */
static int64_t group_begin(int64_t count, int64_t groups, int64_t k)
{
    int64_t more = count % groups;
    return k * (count / groups) + (k < more ? k : more);
}

static void sum_groups(side to, const real *from, int64_t count, bool add)
{
    for (int64_t k = 0, at = 0; k < to.count; k++) {
        int64_t end = group_begin(count, to.count, k + 1);
        real sum = add ? to.data[k] : 0;
        for (; at < end; at++) sum += from[at];
        to.data[k] = sum;
    }
}

static void repeat_groups(side to, const real *from, int64_t count, bool add)
{
    for (int64_t k = 0, at = 0; k < count; k++) {
        int64_t end = group_begin(to.count, count, k + 1);
        for (; at < end; at++) to.data[at] = add ? to.data[at] + from[k] : from[k];
    }
}

static void add_row(const peft_node *node, side to, const real *from, int64_t count, bool add)
{
    int64_t x = peft_columns(node->in[0]), y = peft_columns(node->out[0]);
    if (*(const peft_fold_layout *)node->attributes == PEFT_FOLD_WRAPPED)
        add_wrapped(to, from, count, (x + y - 1) / y * y, add);
    else if (count > to.count)
        sum_groups(to, from, count, add);
    else
        repeat_groups(to, from, count, add);
}

static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t x = peft_columns(node->in[0]), y = peft_columns(node->out[0]);
    for (int64_t t = begin; t < end; t++)
        add_row(node, (side){row_of(node->out[0], t), y}, row_of(node->in[0], t), x, false);
}

static void backward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                          const peft_thread *thread)
{
    (void)ctx, (void)thread;
    int64_t x = peft_columns(node->din[0]), y = peft_columns(node->dout);
    for (int64_t t = begin; t < end; t++)
        add_row(node, (side){row_of(node->din[0], t), x}, row_of(node->dout, t), y, peft_accumulates(node, 0));
}

static int64_t grain(const peft_node *node)
{
    return piece_rows(peft_columns(node->in[0]) + peft_columns(node->out[0]));
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->out[0]), grain(node), forward_rows);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, peft_rows(node->dout), grain(node), backward_rows);
}

static const peft_row_work by_rows[2] = {{.run = forward_rows, .inputs = PEFT_IN(0)},
                                         {.run = backward_rows, .inputs = PEFT_IN(0)}};

const peft_kernel KERNEL(fold) = {.forward = forward, .backward = backward, .by_rows = {&by_rows[0], &by_rows[1]}};
