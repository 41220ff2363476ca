/* ops/kernels/vector_math.h - functions of every lane of a vector: exp, tanh, the normal distribution.
 *
 * float: own approximations; tests/ops/test_vector_math.c shows their largest errors. Infinities and NaN come out as
 * from libm. double: libm, lane by lane.
 *
 * The polynomials were fitted to 40 digits with mpmath: weighted least squares for the relative error at 160 Chebyshev
 * points, the weight of each point multiplied by its own error a hundred times over (Lawson 1961), which levels the
 * errors to those of the best approximation; for a quotient P / Q each round divides the weights by the Q before
 * (Loeb 1957). All coefficients are positive: no digits cancel in the sums. */
#ifndef PEFT_OPS_KERNELS_VECTOR_MATH_H
#define PEFT_OPS_KERNELS_VECTOR_MATH_H

#include "ops/kernels/kernel.h"

#ifdef PEFT_REAL_F64
typedef int64_t lane_bits;
#else
typedef int32_t lane_bits;
#endif
typedef lane_bits vec_bits __attribute__((vector_size(VECTOR_BYTES))); /* a comparison of two vec: -1 where true */

static inline vec choose(vec_bits where, vec yes, vec no)
{
    return (vec)((where & (vec_bits)yes) | (~where & (vec_bits)no));
}

#ifdef PEFT_REAL_F64

static inline vec vec_exp(vec x)
{
    for (int i = 0; i < LANES; i++) x[i] = exp(x[i]);
    return x;
}

static inline vec vec_tanh(vec x)
{
    for (int i = 0; i < LANES; i++) x[i] = tanh(x[i]);
    return x;
}

static inline vec vec_normal(vec x, vec *density)
{
    const double root_half = 0.70710678118654752, root_two_pi = 2.50662827463100050;
    for (int i = 0; i < LANES; i++) {
        (*density)[i] = exp(-0.5 * x[i] * x[i]) / root_two_pi;
        x[i] = 0.5 * erfc(-root_half * x[i]);
    }
    return x;
}

#else

static inline vec_bits sign_bit(vec x)
{
    return (vec_bits)x & INT32_MIN;
}

/* 2^k for -126 <= k <= 127 */
static inline vec power_of_two(vec_bits k)
{
    enum { BIAS = 127, MANTISSA_BITS = 23 };
    return (vec)((k + BIAS) << MANTISSA_BITS);
}

/* x = k ln 2 + r, |r| <= ln 2 / 2; returns e^r - 1 = r + r^2 q(r), within 3.3e-9. For |x| < 2^20. */
static inline vec exp_reduced(vec x, vec_bits *k)
{
    const float log2_e = 1.44269504F;
    const float ln2_high = 0x1.62e4p-1F, ln2_low = 1.42860677e-6F; /* times k, the first is exact */
    const float round = 0x1.8p23F;                                 /* adding it leaves an integer in the low bits */
    vec shifted = x * log2_e + round;
    *k = (vec_bits)shifted - (vec_bits)broadcast(round);
    vec n = shifted - round;
    vec r = x - n * ln2_high - n * ln2_low;
    vec q = (((0.00138133136F * r + 0.00836941693F) * r + 0.041668456F) * r + 0.166665152F) * r + 0.49999994F;
    return q * (r * r) + r;
}

/* 2^k in two factors, since k goes from where the result is zero to where it is infinite. */
static inline vec vec_exp(vec x)
{
    const vec lowest = broadcast(-104), highest = broadcast(89);
    x = choose(x < lowest, lowest, x);
    x = choose(x > highest, highest, x);
    vec_bits k;
    vec e = exp_reduced(x, &k) + 1;
    return e * power_of_two(k >> 1) * power_of_two(k - (k >> 1));
}

/* tanh |x| = m / (m + 2), m = e^(2 |x|) - 1; it is 1 from 9.02 on. */
static inline vec vec_tanh(vec x)
{
    const vec highest = broadcast(10);
    vec z = (vec)((vec_bits)x ^ sign_bit(x));
    z = choose(z > highest, highest, z);
    vec_bits k;
    vec e = exp_reduced(2 * z, &k), scale = power_of_two(k);
    vec m = scale * e + (scale - 1);
    return (vec)((vec_bits)(m / (m + 2)) | sign_bit(x));
}

/* The normal distribution: Phi(x), and its density phi(x). The tail from |x| on is phi(x) times Mills' ratio, which is
 * smooth: P / Q within 5.5e-9 up to 14, where phi is zero. Small values of Phi thus keep their digits. */
static inline vec vec_normal(vec x, vec *density)
{
    const vec highest = broadcast(14);
    vec z = (vec)((vec_bits)x ^ sign_bit(x));
    z = choose(z > highest, highest, z);
    vec p = (((0.0102230869F * z + 0.10121201F) * z + 0.457401544F) * z + 1.09607446F) * z + 1.25331414F;
    vec q = ((((0.0102229584F * z + 0.101218812F) * z + 0.467468798F) * z + 1.19935191F) * z + 1.67242587F) * z + 1;
    *density = vec_exp(-0.5F * x * x) * 0.398942280F;
    vec tail = *density * (p / q);
    return choose(x > 0, 1 - tail, tail);
}

#endif
#endif
