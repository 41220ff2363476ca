/* ops/cpu/kernels/vector_math.h - functions of every lane of a vector: exp, log(1 + x), tanh, the normal distribution.
 *
 * float: own approximations; tests/ops/test_vector_math.c shows their largest errors. Infinities and NaN come out as
 * from libm. double: libm, lane by lane.
 *
 * The polynomials were fitted to 40 digits with mpmath: weighted least squares for the relative error at 160 Chebyshev
 * points, the weight of each point multiplied by its own error a hundred times over (Lawson 1961), which levels the
 * errors to those of the best approximation; for a quotient P / Q each round divides the weights by the Q before
 * (Loeb 1957). All coefficients are positive: no digits cancel in the sums. */
#ifndef PEFT_OPS_CPU_KERNELS_VECTOR_MATH_H
#define PEFT_OPS_CPU_KERNELS_VECTOR_MATH_H

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "ops/cpu/kernels/kernel.h"

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

#if defined(__AVX512F__) && !defined(PEFT_REAL_F64)
#define OF_TWO(name, a, b) (vec) _mm512_##name##_ps((__m512)(a), (__m512)(b))
#elif defined(__AVX2__) && !defined(PEFT_REAL_F64)
#define OF_TWO(name, a, b) (vec) _mm256_##name##_ps((__m256)(a), (__m256)(b))
#endif

/* Lane by lane a < b ? yes : no; a > b ? a : b; a < b ? a : b. One or two instructions, which neither compiler finds by
 * itself; where a lane is NaN, comparisons are false in all of them. */
static inline vec choose_less(vec a, vec b, vec yes, vec no)
{
#if defined(__AVX512F__) && !defined(PEFT_REAL_F64)
    return (vec)_mm512_mask_blend_ps(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OS), (__m512)no, (__m512)yes);
#else
    return choose(a < b, yes, no);
#endif
}

static inline vec larger_lanes(vec a, vec b)
{
#ifdef OF_TWO
    return OF_TWO(max, a, b);
#else
    return choose(a > b, a, b);
#endif
}

static inline vec smaller_lanes(vec a, vec b)
{
#ifdef OF_TWO
    return OF_TWO(min, a, b);
#else
    return choose(a < b, a, b);
#endif
}

#ifdef PEFT_REAL_F64

static inline vec vec_exp(vec x)
{
    for (int i = 0; i < LANES; i++) x[i] = exp(x[i]);
    return x;
}

static inline vec vec_exp_less_one(vec x)
{
    for (int i = 0; i < LANES; i++) x[i] = expm1(x[i]);
    return x;
}

static inline vec vec_log_one_more(vec x)
{
    for (int i = 0; i < LANES; i++) x[i] = log1p(x[i]);
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

/* Adding it leaves an integer in the low bits. */
static const float whole = 0x1.8p23F;

/* 2^k for -126 <= k <= 127 */
static inline vec power_of_two(vec_bits k)
{
    enum { BIAS = 127, MANTISSA_BITS = 23 };
    return (vec)((k + BIAS) << MANTISSA_BITS);
}

/* e 2^k, shifted = k + whole; without the instruction in two factors, since k goes from where the result is zero to
 * where it is infinite. */
static inline vec times_power_of_two(vec e, vec shifted)
{
#if defined(__AVX512F__)
    return (vec)_mm512_scalef_ps((__m512)e, (__m512)(shifted - whole));
#else
    vec_bits k = (vec_bits)shifted - (vec_bits)broadcast(whole);
    return e * power_of_two(k >> 1) * power_of_two(k - (k >> 1));
#endif
}

/* x = k ln 2 + r, |r| <= ln 2 / 2; returns e^r - 1 = r + r^2 q(r), within 3.3e-9, and k + whole. For |x| < 2^20. */
static inline vec exp_reduced(vec x, vec *shifted)
{
    const float log2_e = 1.44269504F;
    const float ln2_high = 0x1.62e4p-1F, ln2_low = 1.42860677e-6F; /* times k, the first is exact */
    *shifted = x * log2_e + whole;
    vec n = *shifted - whole;
    vec r = x - n * ln2_high - n * ln2_low;
    vec q = (((0.00138133136F * r + 0.00836941693F) * r + 0.041668456F) * r + 0.166665152F) * r + 0.49999994F;
    return q * (r * r) + r;
}

static inline vec vec_exp(vec x)
{
    vec shifted, inside = smaller_lanes(broadcast(89), larger_lanes(broadcast(-104), x));
    vec e = exp_reduced(inside, &shifted) + 1;
    return times_power_of_two(e, shifted);
}

/* e^x - 1 for x <= 88 */
static inline vec vec_exp_less_one(vec x)
{
    vec shifted, inside = smaller_lanes(broadcast(88), larger_lanes(broadcast(-104), x));
    vec e = exp_reduced(inside, &shifted), scale = times_power_of_two(broadcast(1), shifted);
    return scale * e + (scale - 1);
}

/* log(1 + x) for 0 <= x <= 1: 2 artanh s = 2 (s + s^3 / 3 + s^5 / 5 ...), s = x / (2 + x) <= 1 / 3; what is left out is
 * below 1.5e-9 of it. */
static inline vec vec_log_one_more(vec x)
{
    vec s = x / (2 + x), q = s * s, sum = broadcast(1.0F / 15);
    for (int odd = 13; odd > 0; odd -= 2) sum = sum * q + 1.0F / (float)odd;
    return 2 * s * sum;
}

/* tanh |x| = m / (m + 2), m = e^(2 |x|) - 1; it is 1 from 9.02 on. */
static inline vec vec_tanh(vec x)
{
    vec shifted, z = smaller_lanes(broadcast(10), (vec)((vec_bits)x ^ sign_bit(x)));
    vec e = exp_reduced(2 * z, &shifted), scale = times_power_of_two(broadcast(1), shifted);
    vec m = scale * e + (scale - 1);
    return (vec)((vec_bits)(m / (m + 2)) | sign_bit(x));
}

/* The normal distribution: Phi(x), and its density phi(x). The tail from |x| on is phi(x) times Mills' ratio, which is
 * smooth: P / Q within 5.5e-9 up to 14, where phi is zero. Small values of Phi thus keep their digits. */
static inline vec vec_normal(vec x, vec *density)
{
    vec z = smaller_lanes(broadcast(14), (vec)((vec_bits)x ^ sign_bit(x)));
    vec p = (((0.0102230869F * z + 0.10121201F) * z + 0.457401544F) * z + 1.09607446F) * z + 1.25331414F;
    vec q = ((((0.0102229584F * z + 0.101218812F) * z + 0.467468798F) * z + 1.19935191F) * z + 1.67242587F) * z + 1;
    *density = vec_exp(-0.5F * x * x) * 0.398942280F;
    vec tail = *density * (p / q);
    return choose_less(broadcast(0), x, 1 - tail, tail);
}

#endif
#endif
