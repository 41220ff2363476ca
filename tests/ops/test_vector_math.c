#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "ops/context.h"
#include "tests/ops/vector_math_rows.h"
#include "tests/support/main.h"

static const struct {
    const char *name;
    const vector_math_rows *rows;
} backends[] = {
    {"portable", &vector_math_rows_portable},
#if defined(__x86_64__)
    {"avx2", &vector_math_rows_avx2},
    {"avx512", &vector_math_rows_avx512},
#endif
};
enum { NUM_BACKENDS = sizeof backends / sizeof *backends };

static double normal(double x)
{
    return 0.5 * erfc(-x / sqrt(2));
}

static double density(double x)
{
    return exp(-0.5 * x * x) / sqrt(2 * M_PI);
}

/* The error may be `units` in the last place (2^-23 of the value's power of two) where |x| <= `limit`, and `absolute`
 * everywhere. e^(-x^2 / 2) multiplies the rounding error of its exponent by the exponent: 32 at 8. */
static const struct {
    const char *name;
    double (*f)(double);
    double units, limit, absolute;
} functions[NUM_ROWS] = {
    [ROW_EXP] = {"exp", exp, 1, HUGE_VAL, HUGE_VAL},
    [ROW_TANH] = {"tanh", tanh, 3, HUGE_VAL, HUGE_VAL},
    [ROW_NORMAL] = {"normal", normal, 24, 8, 1.6e-7},
    [ROW_DENSITY] = {"density", density, 24, 8, 6e-8},
};

static double unit_of(double value)
{
    const double smallest_normal = 0x1p-126, unit_below = 0x1p-149;
    return fabs(value) < smallest_normal ? unit_below : ldexp(1, ilogb(value) - 23);
}

static bool is_close(int function, double x, double found, double expected)
{
    if (isnan(expected)) return isnan(found);
    double overflow = 0x1.ffffffp127; /* rounds to infinity */
    if (expected >= overflow) return isinf(found) && found > 0;
    double units = fabs(x) <= functions[function].limit ? functions[function].units * unit_of(expected) : HUGE_VAL;
    return fabs(found - expected) <= fmin(units, functions[function].absolute);
}

static void check(int backend, int function, const float *x, int64_t count)
{
    enum { MOST = 1024 };
    float y[MOST];
    (*backends[backend].rows)[function](x, y, count);
    for (int64_t k = 0; k < count; k++) {
        double expected = functions[function].f((double)x[k]);
        if (!is_close(function, (double)x[k], (double)y[k], expected))
            ck_abort_msg("%s, %s(%.9g): found %.9g, not %.9g", backends[backend].name, functions[function].name,
                         (double)x[k], (double)y[k], expected);
    }
}

static bool is_available(int backend)
{
    return peft_backend_available(backends[backend].name);
}

/* Through all bit patterns of float in steps: every exponent, both signs, NaN and the infinities' neighbours. */
START_TEST(errors_are_small_everywhere)
{
    enum { STEP = 1009, BLOCK = 1000 };
    int backend = _i / NUM_ROWS, function = _i % NUM_ROWS;
    if (!is_available(backend)) return;
    for (uint64_t bits = 0; bits <= UINT32_MAX - (uint64_t)STEP * BLOCK; bits += (uint64_t)STEP * BLOCK) {
        float x[BLOCK];
        for (uint32_t k = 0; k < BLOCK; k++) {
            uint32_t pattern = (uint32_t)bits + k * STEP;
            memcpy(&x[k], &pattern, sizeof pattern);
        }
        check(backend, function, x, BLOCK);
    }
}
END_TEST

START_TEST(special_values_are_as_in_libm)
{
    const float x[] = {0.0F,  -0.0F,    INFINITY, -INFINITY, NAN,     1e-45F,   -1e-45F, 88.72F,
                       88.8F, -103.97F, -103.98F, -87.4F,    3.4e38F, -3.4e38F, 9.02F,   -9.02F};
    enum { COUNT = sizeof x / sizeof *x };
    int backend = _i / NUM_ROWS, function = _i % NUM_ROWS;
    if (!is_available(backend)) return;
    check(backend, function, x, COUNT);
    float zeros[2];
    (*backends[backend].rows)[ROW_TANH](x, zeros, 2);
    ck_assert(zeros[0] == 0 && zeros[1] == 0 && !signbit(zeros[0]) && signbit(zeros[1]));
}
END_TEST

TEST_MAIN("vector_math", tcase_add_loop_test(tc, errors_are_small_everywhere, 0, NUM_BACKENDS *NUM_ROWS);
          tcase_add_loop_test(tc, special_values_are_as_in_libm, 0, NUM_BACKENDS *NUM_ROWS))
