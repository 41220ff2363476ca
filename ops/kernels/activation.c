/* ops/kernels/activation.c
 *
 *     y = f(x)        dx (+)= f'(x) dy
 *
 * For each kind of peft_activation_kind: `value_` is f, `slope_` is f'. */
#include "ops/kernels/elementwise.h"
#include "ops/kernels/vector_math.h"
#include "ops/ops.h"

/* gelu: x Phi(x), Phi the normal distribution, phi its density */
static inline vec value_gelu(vec x)
{
    vec density;
    return x * vec_normal(x, &density);
}

static inline vec slope_gelu(vec x)
{
    vec density;
    vec distribution = vec_normal(x, &density);
    return distribution + x * density;
}

/* relu: a comparison with NaN is false, so NaN stays */
static inline vec value_relu(vec x)
{
    return choose(x <= 0, broadcast(0), x);
}

static inline vec slope_relu(vec x)
{
    return choose(x <= 0, broadcast(0), broadcast(1));
}

/* sigmoid: s(x) = 1 / (1 + e^-x), s' = s (1 - s) */
static inline vec value_sigmoid(vec x)
{
    return 1 / (1 + vec_exp(-x));
}

static inline vec slope_sigmoid(vec x)
{
    vec s = value_sigmoid(x);
    return s * (1 - s);
}

/* silu: x s(x) */
static inline vec value_silu(vec x)
{
    return x * value_sigmoid(x);
}

static inline vec slope_silu(vec x)
{
    vec s = value_sigmoid(x);
    return s + x * s * (1 - s);
}

/* gelu_tanh: x (1 + tanh u) / 2 = x s(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3) */
static const real TWICE_ROOT = REAL(1.5957691216057308), CUBE = REAL(0.044715);

static inline vec value_gelu_tanh(vec x)
{
    return x * value_sigmoid(TWICE_ROOT * x * (1 + CUBE * x * x));
}

static inline vec slope_gelu_tanh(vec x)
{
    vec s = value_sigmoid(TWICE_ROOT * x * (1 + CUBE * x * x));
    return s + x * s * (1 - s) * (TWICE_ROOT * (1 + 3 * CUBE * x * x));
}

static inline vec value_tanh(vec x)
{
    return vec_tanh(x);
}

static inline vec slope_tanh(vec x)
{
    vec t = vec_tanh(x);
    return 1 - t * t;
}

#define ROWS_OF(kind)                                                                                                  \
    static void forward_##kind(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)    \
    {                                                                                                                  \
        (void)ctx, (void)scratch;                                                                                      \
        const real *x = node->in[0]->data;                                                                             \
        real *y = node->out[0]->data;                                                                                  \
        for (int64_t k = begin; k < end; k += LANES)                                                                   \
            store_some(y + k, end - k, value_##kind(load_some(x + k, end - k, 0)));                                    \
    }                                                                                                                  \
    static void backward_##kind(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)   \
    {                                                                                                                  \
        (void)ctx, (void)scratch;                                                                                      \
        const real *x = node->in[0]->data, *dy = node->dout->data;                                                     \
        real *dx = node->din[0]->data;                                                                                 \
        bool add = peft_accumulates(node, 0);                                                                          \
        for (int64_t k = begin; k < end; k += LANES) {                                                                 \
            vec slope = slope_##kind(load_some(x + k, end - k, 0));                                                    \
            put_some(dx + k, end - k, slope * load_some(dy + k, end - k, 0), add);                                     \
        }                                                                                                              \
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

static void forward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    kinds[kind_of(node)].forward(node, ctx, begin, end, scratch);
}

static void backward_elements(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, void *scratch)
{
    kinds[kind_of(node)].backward(node, ctx, begin, end, scratch);
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

const peft_kernel KERNEL(activation) = {
    .forward = forward, .backward = backward, .by_rows = {&by_rows[0], &by_rows[1]}};
