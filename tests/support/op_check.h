/* tests/support/op_check.h - everything that is asked of an op, from one description of a case.
 *
 *   1. backward is the adjoint of forward: central differences in double, each element where there are few, and one
 *      random direction over all inputs always;
 *   2. every backend that this CPU runs, in every type that it has, agrees with the double kernels, outputs and
 *      gradients;
 *   3. threads 1, 2 and 3 give the same bits;
 *   4. gradients are added, not set, where a parameter holds one already. */
#ifndef PEFT_TESTS_SUPPORT_OP_CHECK_H
#define PEFT_TESTS_SUPPORT_OP_CHECK_H

#include <check.h>

#include "ops/ops.h"

typedef struct op_input {
    peft_shape shape;
    double low, high;       /* uniform in between; both 0: -1 ... 1 */
    const int32_t *indices; /* PEFT_I32 instead: these values; no gradient */
    bool constant;          /* no gradient is asked for */
} op_input;

typedef struct op_case {
    const char *name;
    peft_tensor *(*build)(peft_graph *g, peft_tensor *const *in);
    op_input inputs[8]; /* ends with the first of ndim 0 */
    double tolerance;   /* of a float kernel, relative to the largest value of its result; 0: 2e-5 */
} op_case;

/* An input of this shape, for a table of cases. */
#define SHAPE1(a)                                                                                                      \
    {                                                                                                                  \
        .shape = { 1, {a} }                                                                                            \
    }
#define SHAPE2(a, b)                                                                                                   \
    {                                                                                                                  \
        .shape = { 2, {a, b} }                                                                                         \
    }
#define SHAPE3(a, b, c)                                                                                                \
    {                                                                                                                  \
        .shape = { 3, {a, b, c} }                                                                                      \
    }

void op_check(const op_case *c);
/* An op that multiplies factors in bf16 has this tolerance for them. */
void op_check_rounded(const op_case *c, double bf16_tolerance);

/* Where describing must fail: its status and a part of its message. */
void op_check_refused(const op_case *c, peft_status status, const char *message);

/* A value in -1 ... 1 from a counter; the same in every run. */
double op_noise(uint64_t counter);

#endif
