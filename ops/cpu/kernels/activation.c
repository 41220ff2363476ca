/* ops/cpu/kernels/activation.c
 *
 *     y = f(x)        dx (+)= f'(x) dy
 *
 * For each kind of peft_activation_kind, `of_` returns f(x) and sets f'(x). Most of the arithmetic serves both: where
 * differentiation asks forward for f' too, backward has only to multiply. */
#include "ops/cpu/kernels/elementwise.h"
#include "ops/cpu/kernels/vector_math.h"
#include "ops/ops.h"

enum { Y, SLOPE };

/* x Phi(x), Phi the normal distribution; slope Phi + x phi, phi its density */
static inline vec of_gelu(vec x, vec *slope)
{
    vec density, distribution = vec_normal(x, &density);
    *slope = distribution + x * density;
    return x * distribution;
}

/* A comparison with NaN is false, so NaN stays. */
static inline vec of_relu(vec x, vec *slope)
{
    *slope = choose(x <= 0, broadcast(0), broadcast(1));
    return choose(x <= 0, broadcast(0), x);
}

/* s(x) = 1 / (1 + e^-x), s' = s (1 - s) */
static inline vec of_sigmoid(vec x, vec *slope)
{
    vec s = 1 / (1 + vec_exp(-x));
    *slope = s * (1 - s);
    return s;
}

/* x s(x) */
static inline vec of_silu(vec x, vec *slope)
{
    vec change, s = of_sigmoid(x, &change);
    *slope = s + x * s * (1 - s);
    return x * s;
}

/* x (1 + tanh u) / 2 = x s(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3) */
static inline vec of_gelu_tanh(vec x, vec *slope)
{
    const real twice_root = REAL(1.5957691216057308), cube = REAL(0.044715);
    vec change, s = of_sigmoid(twice_root * x * (1 + cube * x * x), &change);
    *slope = s + x * s * (1 - s) * (twice_root * (1 + 3 * cube * x * x));
    return x * s;
}

static inline vec of_tanh(vec x, vec *slope)
{
    vec t = vec_tanh(x);
    *slope = 1 - t * t;
    return t;
}

/* e^x - 1 for x < 0, else x */
static inline vec of_elu(vec x, vec *slope)
{
    vec below = vec_exp_less_one(x);
    *slope = choose(x < 0, below + 1, broadcast(1));
    return choose(x < 0, below, x);
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|); slope s(x) */
static inline vec of_softplus(vec x, vec *slope)
{
    vec e = vec_exp(choose(x < 0, x, -x)), s = 1 / (1 + e);
    *slope = choose(x < 0, e * s, s);
    return choose(x < 0, broadcast(0), x) + vec_log_one_more(e);
}

static inline vec of_exp(vec x, vec *slope)
{
    return *slope = vec_exp(x);
}

/* One of the functions above: a constant wherever the loops below are inlined. */
typedef vec function_of(vec x, vec *slope);

ALWAYS_INLINE void put_values(function_of *of, bool saves, const peft_node *node, int64_t begin, int64_t end)
{
    const real *x = element_of(node->in[0], begin);
    real *slopes = saves ? element_of(node->out[SLOPE], begin) : NULL;
    const target y = target_at(node->out[Y], begin, false);
    int64_t count = end - begin;
    for (int64_t k = 0; k < count; k += LANES) {
        vec slope;
        put_at(y, k, count - k, of(load_some(x + k, count - k, 0), &slope));
        if (saves) store_some(slopes + k, count - k, slope);
    }
}

ALWAYS_INLINE void put_gradients(function_of *of, bool saved, const peft_node *node, int64_t begin, int64_t end)
{
    const real *from = element_of(saved ? node->out[SLOPE] : node->in[0], begin), *dy = element_of(node->dout, begin);
    const target dx = target_at(node->din[0], begin, peft_accumulates(node, 0));
    int64_t count = end - begin;
    for (int64_t k = 0; k < count; k += LANES) {
        vec slope = load_some(from + k, count - k, 0);
        if (!saved) of(slope, &slope);
        put_at(dx, k, count - k, slope * load_some(dy + k, count - k, 0));
    }
}

#define ROWS_OF(kind)                                                                                                  \
    static void forward_##kind(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,                   \
                               const peft_thread *thread)                                                              \
    {                                                                                                                  \
        (void)ctx, (void)thread;                                                                                       \
        if (peft_saves_slope(node))                                                                                    \
            put_values(of_##kind, true, node, begin, end);                                                             \
        else                                                                                                           \
            put_values(of_##kind, false, node, begin, end);                                                            \
    }                                                                                                                  \
    static void backward_##kind(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,                  \
                                const peft_thread *thread)                                                             \
    {                                                                                                                  \
        (void)ctx, (void)thread;                                                                                       \
        if (peft_saves_slope(node))                                                                                    \
            put_gradients(of_##kind, true, node, begin, end);                                                          \
        else                                                                                                           \
            put_gradients(of_##kind, false, node, begin, end);                                                         \
    }
PEFT_ACTIVATION_MAP(ROWS_OF)

static const struct {
    peft_rows_function *forward, *backward;
} kinds[PEFT_NUM_ACTIVATIONS] = {
#define X(kind) {forward_##kind, backward_##kind},
    PEFT_ACTIVATION_MAP(X)
#undef X
};

static peft_activation_kind kind_of(const peft_node *node)
{
    return *(const peft_activation_kind *)node->attributes;
}

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                             const peft_thread *thread)
{
    kinds[kind_of(node)].forward(node, ctx, begin, end, thread);
}

static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                              const peft_thread *thread)
{
    kinds[kind_of(node)].backward(node, ctx, begin, end, thread);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->out[0]), PIECE, forward_elements);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    peft_for_rows(node, ctx, elements_of(node->dout), PIECE, backward_elements);
}

static const peft_row_work by_rows[2] = {{.run = forward_elements, .elements = true, .inputs = PEFT_IN(0)},
                                         {.run = backward_elements, .elements = true, .inputs = PEFT_IN(0)}};

const peft_kernel KERNEL(activation) = {.forward = forward,
                                        .backward = backward,
                                        .by_rows = {&by_rows[0], &by_rows[1]},
                                        .gives_bf16 = PEFT_OUT(0) | PEFT_IN(0)};
