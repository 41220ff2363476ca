#include "tests/support/op_check.h"

#include "ops/cpu/cpu.h"
#include "tests/support/read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUTS = 8, FEW = 400 };
/* A central difference in double with step 1e-5 is off by about 1e-10 times the third derivative plus 1e-11 from
 * rounding; 1e-6 leaves room for steep functions and none for a wrong formula. */
static const double DIFFERENCE_STEP = 1e-5, DIFFERENCE_TOLERANCE = 1e-6;
/* Float sums of a few hundred products, in any order, differ by some 1e-6 of the largest. */
static const double FLOAT_TOLERANCE = 2e-5;

double op_noise(uint64_t counter)
{
    uint64_t z = (counter + 1) * 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1;
}

/* One evaluation: inputs in double, and what came out, in double too. */
typedef struct evaluation {
    const op_case *c;
    int num_inputs;
    double *in[MAX_INPUTS], *grad[MAX_INPUTS];
    int64_t count[MAX_INPUTS];
    double *y;
    int64_t y_count;
} evaluation;

static bool differentiable(const evaluation *e, int i)
{
    return !e->c->inputs[i].indices && !e->c->inputs[i].constant;
}

static void *narrow(const double *values, int64_t count, peft_dtype dtype)
{
    void *memory = calloc((size_t)count + 1, peft_dtype_bytes(dtype));
    ck_assert_ptr_nonnull(memory);
    for (int64_t k = 0; k < count; k++)
        if (dtype == PEFT_F64)
            ((double *)memory)[k] = values[k];
        else
            ((float *)memory)[k] = (float)values[k];
    return memory;
}

static void widen(const void *memory, int64_t count, peft_dtype dtype, double *values)
{
    for (int64_t k = 0; k < count; k++)
        values[k] = dtype == PEFT_F64 ? ((const double *)memory)[k] : (double)((const float *)memory)[k];
}

static double dy_at(int64_t k)
{
    return op_noise(1000003 + (uint64_t)k);
}

/* Runs the case on tensors of `dtype`; gradients start at `initial`. `backend` NULL: that of the options. */
static void evaluate_on(const peft_backend *backend, evaluation *e, peft_dtype dtype, peft_context_options options,
                        bool backward, double initial)
{
    peft_error error = {0};
    peft_context *ctx;
    options.seed = 7;
    peft_status status =
        backend ? peft_context_open_on(&ctx, backend, &options, &error) : peft_context_open(&ctx, &options, &error);
    ck_assert_msg(!status, "%s", error.message);
    peft_graph *g;
    ck_assert(!peft_graph_create(&g, &error));

    void *data[MAX_INPUTS] = {0}, *grad[MAX_INPUTS] = {0};
    peft_tensor *in[MAX_INPUTS] = {0};
    for (int i = 0; i < e->num_inputs; i++) {
        const op_input *input = &e->c->inputs[i];
        if (input->indices) {
            in[i] = peft_constant(g, PEFT_I32, input->shape, input->indices, "indices");
            continue;
        }
        data[i] = narrow(e->in[i], e->count[i], dtype);
        if (!differentiable(e, i)) {
            in[i] = peft_constant(g, dtype, input->shape, data[i], "constant");
            continue;
        }
        for (int64_t k = 0; k < e->count[i]; k++) e->grad[i][k] = initial;
        grad[i] = narrow(e->grad[i], e->count[i], dtype);
        in[i] = peft_parameter(g, dtype, input->shape, data[i], grad[i], "parameter");
    }
    peft_tensor *y = peft_graph_keep(g, e->c->build(g, in));
    ck_assert_msg(!peft_graph_status(g, &error), "%s: %s", e->c->name, error.message);
    e->y_count = peft_shape_count(&y->shape);
    e->y = realloc(e->y, ((size_t)e->y_count + 1) * sizeof *e->y);
    for (int64_t k = 0; k < e->y_count; k++) e->y[k] = dy_at(k);
    void *dy = narrow(e->y, e->y_count, dtype);
    if (backward) ck_assert_msg(!peft_graph_differentiate_from(g, y, dy, &error), "%s: %s", e->c->name, error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s: %s", e->c->name, error.message);

    widen(read_values(g, y), e->y_count, dtype, e->y);
    for (int i = 0; i < e->num_inputs; i++) {
        if (grad[i]) widen(grad[i], e->count[i], dtype, e->grad[i]);
        free(data[i]);
        free(grad[i]);
    }
    free(dy);
    peft_graph_free(g);
    peft_context_close(ctx);
}

static void evaluate(evaluation *e, peft_dtype dtype, peft_context_options options, bool backward, double initial)
{
    evaluate_on(NULL, e, dtype, options, backward, initial);
}

static evaluation start(const op_case *c)
{
    evaluation e = {.c = c};
    while (e.num_inputs < MAX_INPUTS && c->inputs[e.num_inputs].shape.ndim) {
        int i = e.num_inputs++;
        const op_input *input = &c->inputs[i];
        e.count[i] = peft_shape_count(&input->shape);
        e.in[i] = calloc((size_t)e.count[i] + 1, sizeof(double));
        e.grad[i] = calloc((size_t)e.count[i] + 1, sizeof(double));
        bool unit = input->low == 0 && input->high == 0;
        double low = unit ? -1 : input->low, high = unit ? 1 : input->high;
        for (int64_t k = 0; k < e.count[i]; k++) {
            double u = 0.5 * (op_noise((uint64_t)i * 7919 + (uint64_t)k) + 1);
            e.in[i][k] = (double)(float)(low + (high - low) * u); /* exact in both types */
        }
    }
    return e;
}

static void finish(evaluation *e)
{
    for (int i = 0; i < e->num_inputs; i++) {
        free(e->in[i]);
        free(e->grad[i]);
    }
    free(e->y);
}

/* sum y dy for inputs moved by step * direction; direction NULL: element k of input i alone. */
static double moved_loss(evaluation *e, double step, bool all, int input, int64_t element)
{
    evaluation moved = start(e->c);
    for (int i = 0; i < e->num_inputs; i++)
        for (int64_t k = 0; k < e->count[i] && differentiable(e, i); k++)
            if (all)
                moved.in[i][k] += step * op_noise(555 + (uint64_t)(i * 31) + (uint64_t)k);
            else if (i == input && k == element)
                moved.in[i][k] += step;
    evaluate(&moved, PEFT_F64, (peft_context_options){.threads = 1, .backend = "portable"}, false, 0);
    double loss = 0;
    for (int64_t k = 0; k < moved.y_count; k++) loss += moved.y[k] * dy_at(k);
    finish(&moved);
    return loss;
}

static double difference(evaluation *e, bool all, int input, int64_t element)
{
    return (moved_loss(e, DIFFERENCE_STEP, all, input, element) -
            moved_loss(e, -DIFFERENCE_STEP, all, input, element)) /
           (2 * DIFFERENCE_STEP);
}

static double largest(const double *values, int64_t count)
{
    double most = 0;
    for (int64_t k = 0; k < count; k++) most = fmax(most, fabs(values[k]));
    return most;
}

static void check_differences(evaluation *e)
{
    double analytic = 0, scale = 1;
    int64_t elements = 0;
    for (int i = 0; i < e->num_inputs; i++) {
        if (!differentiable(e, i)) continue;
        elements += e->count[i];
        for (int64_t k = 0; k < e->count[i]; k++) {
            double term = e->grad[i][k] * op_noise(555 + (uint64_t)(i * 31) + (uint64_t)k);
            analytic += term;
            scale += fabs(term);
        }
    }
    double numeric = difference(e, true, 0, 0);
    ck_assert_msg(fabs(numeric - analytic) <= DIFFERENCE_TOLERANCE * scale,
                  "%s: along a random direction: difference %.12g, backward %.12g", e->c->name, numeric, analytic);
    if (elements > FEW) return;
    for (int i = 0; i < e->num_inputs; i++)
        for (int64_t k = 0; k < e->count[i] && differentiable(e, i); k++) {
            numeric = difference(e, false, i, k);
            double limit = DIFFERENCE_TOLERANCE * (1 + largest(e->grad[i], e->count[i]));
            ck_assert_msg(fabs(numeric - e->grad[i][k]) <= limit,
                          "%s: input %d element %lld: difference %.12g, "
                          "backward %.12g",
                          e->c->name, i, (long long)k, numeric, e->grad[i][k]);
        }
}

static void check_close(const op_case *c, const char *kernels, double tolerance, const char *what, const double *found,
                        const double *expected, int64_t count)
{
    double limit = tolerance * (1e-3 + largest(expected, count));
    for (int64_t k = 0; k < count; k++)
        ck_assert_msg(fabs(found[k] - expected[k]) <= limit, "%s, %s: %s[%lld]: expected %.9g, found %.9g", c->name,
                      kernels, what, (long long)k, expected[k], found[k]);
}

static double float_tolerance(const op_case *c)
{
    return c->tolerance > 0 ? c->tolerance : FLOAT_TOLERANCE;
}

static void check_same_bits(const evaluation *a, const evaluation *b, const char *kernels, const char *what)
{
    bool same = memcmp(a->y, b->y, (size_t)a->y_count * sizeof *a->y) == 0;
    for (int i = 0; i < a->num_inputs; i++)
        same = same && memcmp(a->grad[i], b->grad[i], (size_t)a->count[i] * sizeof(double)) == 0;
    ck_assert_msg(same, "%s, %s: other bits than %s", a->c->name, kernels, what);
}

static void check_kernels(const evaluation *expected, const char *backend, peft_dtype dtype, double tolerance)
{
    evaluation one = start(expected->c);
    peft_context_options options = {.threads = 1, .backend = backend, .dtype = dtype};
    char kernels[64];
    snprintf(kernels, sizeof kernels, "%s %s", backend, peft_dtype_name(dtype));
    evaluate(&one, PEFT_F32, options, true, 0);
    check_close(one.c, kernels, tolerance, "y", one.y, expected->y, expected->y_count);
    for (int i = 0; i < one.num_inputs; i++)
        check_close(one.c, kernels, tolerance, "gradient", one.grad[i], expected->grad[i], one.count[i]);
    for (options.threads = 2; options.threads <= 3; options.threads++) {
        evaluation more = start(expected->c);
        evaluate(&more, PEFT_F32, options, true, 0);
        check_same_bits(&one, &more, kernels, "on one thread");
        finish(&more);
    }
    finish(&one);
}

static void check_accumulation(const evaluation *expected)
{
    enum { INITIAL = 3 };
    evaluation added = start(expected->c);
    evaluate(&added, PEFT_F64, (peft_context_options){.threads = 2, .backend = "portable"}, true, INITIAL);
    for (int i = 0; i < added.num_inputs; i++) {
        if (!differentiable(&added, i)) continue;
        for (int64_t k = 0; k < added.count[i]; k++) added.grad[i][k] -= INITIAL;
        check_close(added.c, "double", float_tolerance(added.c), "accumulated gradient", added.grad[i],
                    expected->grad[i], added.count[i]);
    }
    finish(&added);
}

/* Programs of tests/mirror have the mirror for all their backends: it gives the bits of the portable one. */
static void check_mirror(const op_case *c, peft_dtype dtype)
{
    const peft_context_options options = {.threads = 2, .backend = "mirror"};
    if (!peft_backend_available("mirror")) return;
    evaluation moved = start(c), portable = start(c);
    evaluate(&moved, dtype, options, true, 0);
    evaluate_on(&peft_backend_portable, &portable, dtype, options, true, 0);
    check_same_bits(&moved, &portable, "mirror", "portable");
    finish(&moved);
    finish(&portable);
}

void op_check_rounded(const op_case *c, double bf16_tolerance)
{
    evaluation e = start(c);
    evaluate(&e, PEFT_F64, (peft_context_options){.threads = 1, .backend = "portable"}, true, 0);
    check_differences(&e);
    check_accumulation(&e);
    for (int k = 0; peft_backend_name(k); k++)
        if (peft_backend_available(peft_backend_name(k)))
            check_kernels(&e, peft_backend_name(k), PEFT_F32, float_tolerance(c));
    check_mirror(c, PEFT_F32);
    check_mirror(c, PEFT_F64);
    if (peft_dtype_available(PEFT_BF16)) check_kernels(&e, "onednn", PEFT_BF16, bf16_tolerance);
    finish(&e);
}

void op_check(const op_case *c)
{
    op_check_rounded(c, float_tolerance(c));
}

void op_check_refused(const op_case *c, peft_status status, const char *message)
{
    peft_graph *g;
    peft_error error = {0};
    ck_assert(!peft_graph_create(&g, &error));
    peft_tensor *in[MAX_INPUTS] = {0};
    static double zeros[1 << 16];
    for (int i = 0; i < MAX_INPUTS && c->inputs[i].shape.ndim; i++) {
        const op_input *input = &c->inputs[i];
        in[i] = peft_constant(g, input->indices ? PEFT_I32 : PEFT_F64, input->shape,
                              input->indices ? (const void *)input->indices : zeros, NULL);
    }
    ck_assert_msg(!c->build(g, in), "%s: was not refused", c->name);
    ck_assert_msg(peft_graph_status(g, &error) == status, "%s: expected status %d, found %d", c->name, status,
                  error.status);
    ck_assert_msg(strstr(error.message, message), "%s: expected \"%s\" in \"%s\"", c->name, message, error.message);
    peft_graph_free(g);
}
