#include <math.h>
#include <string.h>

#include "tests/support/main.h"
#include "tests/support/op_apply.h"
#include "tests/support/op_check.h"

/* A building function for each kind: alone, and between other nodes, where it writes over its input. */
#define X(kind)                                                                                                        \
    static peft_tensor *alone_##kind(peft_graph *g, peft_tensor *const *in)                                            \
    {                                                                                                                  \
        return peft_activation(g, in[0], PEFT_ACTIVATION_##kind);                                                      \
    }                                                                                                                  \
    static peft_tensor *between_##kind(peft_graph *g, peft_tensor *const *in)                                          \
    {                                                                                                                  \
        return peft_scale(g, peft_activation(g, peft_scale(g, in[0], 1.5), PEFT_ACTIVATION_##kind), -2);               \
    }
PEFT_ACTIVATION_MAP(X)
#undef X

static const op_case cases[] = {
#define X(kind)                                                                                                        \
    {#kind " of one", alone_##kind, {{.shape = {1, {1}}}}, 0},                                                         \
        {#kind " of none", alone_##kind, {{.shape = {2, {0, 3}}}}, 0},                                                 \
        {#kind " of odd sizes", alone_##kind, {{.shape = {3, {3, 5, 7}}, .low = -6, .high = 6}}, 0},                   \
        {#kind " in place", between_##kind, {{.shape = {2, {9, 11}}, .low = -3, .high = 3}}, 0},                       \
        {#kind " of several pieces", alone_##kind, {{.shape = {2, {77, 501}}, .low = -9, .high = 9}}, 0},
    PEFT_ACTIVATION_MAP(X)
#undef X
};

START_TEST(activations_are_right)
{
    op_check(&cases[_i]);
}
END_TEST

static peft_tensor *activation(peft_graph *g, peft_tensor *x, const void *kind)
{
    return peft_activation(g, x, *(const peft_activation_kind *)kind);
}

/* As torch.nn.functional has them, from their definitions. */
static double expected_value(peft_activation_kind kind, double x)
{
    switch (kind) {
    case PEFT_ACTIVATION_gelu:
        return x * 0.5 * erfc(-x / sqrt(2));
    case PEFT_ACTIVATION_gelu_tanh:
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case PEFT_ACTIVATION_relu:
        return fmax(x, 0);
    case PEFT_ACTIVATION_silu:
        return x / (1 + exp(-x));
    case PEFT_ACTIVATION_tanh:
        return tanh(x);
    case PEFT_ACTIVATION_sigmoid:
        return 1 / (1 + exp(-x));
    case PEFT_ACTIVATION_elu:
        return x < 0 ? expm1(x) : x;
    case PEFT_ACTIVATION_softplus:
        return fmax(x, 0) + log1p(exp(-fabs(x)));
    case PEFT_ACTIVATION_exp:
        return (double)(float)exp(x); /* infinite where the kernel's is */
    case PEFT_NUM_ACTIVATIONS:
        break;
    }
    return (double)NAN;
}

static const float special[] = {0.0F, -0.0F, 1e-30F, -1e-30F, 0.5F, -0.5F, 3, -3, 20, -20, 200, -200, 1e15F, -1e15F};
enum { NUM_SPECIAL = sizeof special / sizeof *special };

START_TEST(values_are_those_of_the_definition)
{
    peft_activation_kind kind = (peft_activation_kind)(_i % PEFT_NUM_ACTIVATIONS);
    const char *backend = peft_backend_name(_i / PEFT_NUM_ACTIVATIONS);
    if (!backend || !peft_backend_available(backend)) return;
    op_run run = {.backend = backend, .build = activation, .options = &kind};
    float y[NUM_SPECIAL], x = NAN, not_a_number;
    op_apply(&run, peft_shape_1(NUM_SPECIAL), special, y, NULL);
    for (int k = 0; k < NUM_SPECIAL; k++) {
        double expected = expected_value(kind, (double)special[k]);
        ck_assert_msg((double)y[k] == expected || fabs((double)y[k] - expected) <= 4e-7 * fabs(expected) + 1e-10,
                      "%s: f(%g) = %g, expected %g", backend, (double)special[k], (double)y[k], expected);
    }
    op_apply(&run, peft_shape_1(1), &x, &not_a_number, NULL);
    ck_assert(isnan(not_a_number));
}
END_TEST

/* Element 40 of 100 must have the bits that it has as the first of 60, or the last of 41. */
START_TEST(cuts_do_not_show)
{
    enum { COUNT = 100, CUT = 41 };
    peft_activation_kind kind = (peft_activation_kind)_i;
    op_run run = {.build = activation, .options = &kind};
    float x[COUNT], whole[COUNT], cut[COUNT], dwhole[COUNT], dcut[COUNT];
    for (int k = 0; k < COUNT; k++) x[k] = 4 * (float)op_noise((uint64_t)k);
    op_apply(&run, peft_shape_1(COUNT), x, whole, dwhole);
    op_apply(&run, peft_shape_1(CUT), x, cut, dcut);
    op_apply(&run, peft_shape_1(COUNT - CUT), x + CUT, cut + CUT, dcut + CUT);
    ck_assert_mem_eq(whole, cut, sizeof whole);
    ck_assert_mem_eq(dwhole, dcut, sizeof dwhole);
}
END_TEST

START_TEST(names_of_configurations_are_known)
{
    peft_activation_kind kind;
    ck_assert(peft_activation_find("gelu", &kind) && kind == PEFT_ACTIVATION_gelu);
    ck_assert(peft_activation_find("gelu_new", &kind) && kind == PEFT_ACTIVATION_gelu_tanh);
    ck_assert(peft_activation_find("gelu_pytorch_tanh", &kind) && kind == PEFT_ACTIVATION_gelu_tanh);
    ck_assert(peft_activation_find("swish", &kind) && kind == PEFT_ACTIVATION_silu);
    ck_assert(!peft_activation_find("GELU", &kind) && !peft_activation_find("", &kind));
}
END_TEST

static peft_tensor *unknown_kind(peft_graph *g, peft_tensor *const *in)
{
    return peft_activation(g, in[0], PEFT_NUM_ACTIVATIONS);
}

START_TEST(an_unknown_kind_is_refused)
{
    op_case wrong = {"kind", unknown_kind, {{.shape = {1, {1}}}}, 0};
    op_check_refused(&wrong, PEFT_ERR_ARGUMENT, "activation: kind");
}
END_TEST

enum { BACKENDS = 3 };

TEST_MAIN("activation", tcase_add_loop_test(tc, activations_are_right, 0, sizeof cases / sizeof *cases);
          tcase_add_loop_test(tc, values_are_those_of_the_definition, 0, BACKENDS *PEFT_NUM_ACTIVATIONS);
          tcase_add_loop_test(tc, cuts_do_not_show, 0, PEFT_NUM_ACTIVATIONS);
          tcase_add_test(tc, names_of_configurations_are_known); tcase_add_test(tc, an_unknown_kind_is_refused))
