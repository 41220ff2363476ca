/* ops/cpu/kernels/low_rank.c - adapters whose products are of floats: see ops/cpu/kernels/low_rank.h. */
#include "ops/cpu/kernels/low_rank.h"

/* Then the columns of h and GB are summed up side by side, in vectors; else in the lanes of one vector each. */
static bool fills_vectors(const low_rank *l)
{
    return l->rank % LANES == 0;
}

/* Forward: B^T, then A^T for ranks of whole vectors. Backward: B^T for the others. */
static int64_t prepared_elements(const low_rank *l, bool backward)
{
    int64_t Bt = l->rank * l->out, At = l->rank * l->in;
    if (backward) return fills_vectors(l) ? 0 : Bt;
    return fills_vectors(l) ? Bt + At : Bt;
}

static int64_t scratch_elements(const low_rank *l)
{
    (void)l;
    return 0;
}

static void prepare(const low_rank *l, const factors *f, bool backward)
{
    real *Bt = f->prepared, *At = Bt + l->rank * l->out;
    transpose(l->out, l->rank, f->B, l->rank, Bt, l->out);
    if (!backward && fills_vectors(l)) transpose(l->rank, l->in, f->A, l->in, At, l->rank);
}

/* out [tokens, R] = in M^T, of which the rows M [R, features] and the columns [features, R] are there */
static void project(const low_rank *l, int64_t tokens, int64_t features, operand in, const real *rows,
                    const real *columns, real *out)
{
    if (fills_vectors(l))
        block_product(tokens, l->rank, features, in.data, in.row, 1, columns, l->rank, out, l->rank);
    else
        block_dot(tokens, l->rank, features, in.data, in.row, rows, features, out, l->rank);
}

static void down(const low_rank *l, const factors *f, int64_t tokens, operand x, real *h)
{
    project(l, tokens, l->in, x, f->A, f->prepared + l->rank * l->out, h);
}

static void up(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *c, real *y)
{
    block_put(add, tokens, l->out, l->rank, c, l->rank, 1, f->prepared, l->out, y, l->out);
}

static void up_gradients(const low_rank *l, const factors *f, bool add, int64_t tokens, operand dy, const real *c,
                         real *GB, real *dBt)
{
    project(l, tokens, l->out, dy, f->prepared, f->B, GB);
    if (dBt) block_put(add, l->rank, l->out, tokens, c, 1, l->rank, dy.data, dy.row, dBt, l->out);
}

static void down_gradient(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *gh, operand x,
                          real *dA)
{
    (void)f;
    block_put(add, l->rank, l->in, tokens, gh, 1, l->rank, x.data, x.row, dA, l->in);
}

static void input_gradient(const low_rank *l, const factors *f, bool add, int64_t tokens, const real *gh, real *dx)
{
    block_put(add, tokens, l->in, l->rank, gh, l->rank, 1, f->A, l->in, dx, l->in);
}

const peft_kernel KERNEL(low_rank) = {.forward = forward,
                                      .backward = backward,
                                      .thread_bytes = thread_bytes,
                                      .shared_bytes = shared_bytes,
                                      .by_rows = {&by_rows[0], &by_rows[1]}};
