/* tests/support/op_apply.h - one op on values that the test chooses, where op_check.h takes its own. */
#ifndef PEFT_TESTS_SUPPORT_OP_APPLY_H
#define PEFT_TESTS_SUPPORT_OP_APPLY_H

#include "ops/ops.h"

typedef peft_tensor *op_build(peft_graph *g, peft_tensor *x, const void *options);

typedef struct op_run {
    const char *backend; /* NULL: the fastest */
    peft_dtype dtype;    /* of x, y and dx */
    uint64_t seed;
    int64_t step;
    op_build *build;
    const void *options; /* handed to build */
} op_run;

/* y = f(x) and, unless dx is NULL, dx for dy = 1. The test fails where f does. */
void op_apply(const op_run *run, peft_shape shape, const void *x, void *y, void *dx);

#endif
