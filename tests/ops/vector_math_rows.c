/* Compiled once for each backend, as the kernels are: the functions of ops/cpu/kernels/vector_math.h on arrays. */
#include "tests/ops/vector_math_rows.h"

#include "ops/cpu/kernels/elementwise.h"
#include "ops/cpu/kernels/vector_math.h"

static void exp_row(const float *x, float *y, int64_t count)
{
    for (int64_t k = 0; k < count; k += LANES) store_some(y + k, count - k, vec_exp(load_some(x + k, count - k, 0)));
}

static void tanh_row(const float *x, float *y, int64_t count)
{
    for (int64_t k = 0; k < count; k += LANES) store_some(y + k, count - k, vec_tanh(load_some(x + k, count - k, 0)));
}

static void normal_row(const float *x, float *y, int64_t count)
{
    vec density;
    for (int64_t k = 0; k < count; k += LANES)
        store_some(y + k, count - k, vec_normal(load_some(x + k, count - k, 0), &density));
}

static void density_row(const float *x, float *y, int64_t count)
{
    for (int64_t k = 0; k < count; k += LANES) {
        vec density;
        vec_normal(load_some(x + k, count - k, 0), &density);
        store_some(y + k, count - k, density);
    }
}

const vector_math_rows KERNEL_NAME(vector_math_rows, PEFT_BACKEND) = {exp_row, tanh_row, normal_row, density_row};
