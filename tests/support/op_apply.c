#include "tests/support/op_apply.h"
#include "tests/support/read.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static void *ones(int64_t count, peft_dtype dtype)
{
    void *memory = calloc((size_t)count + 1, sizeof(double));
    for (int64_t k = 0; k < count; k++)
        if (dtype == PEFT_F64)
            ((double *)memory)[k] = 1;
        else
            ((float *)memory)[k] = 1;
    return memory;
}

void op_apply(const op_run *run, peft_shape shape, const void *x, void *y, void *dx)
{
    peft_error error = {0};
    peft_context_options options = {.threads = 1, .backend = run->backend, .seed = run->seed};
    peft_context *ctx;
    peft_graph *g;
    ck_assert(!peft_context_open(&ctx, &options, &error) && !peft_graph_create(&g, &error));
    peft_context_set_step(ctx, run->step);

    peft_tensor *in = peft_variable(g, run->dtype, shape, x, "x");
    peft_tensor *out = peft_graph_keep(g, run->build(g, in, run->options));
    ck_assert_msg(!peft_graph_status(g, &error), "%s", error.message);
    void *dy = ones(peft_shape_count(&out->shape), run->dtype);
    ck_assert(!dx || !peft_graph_differentiate_from(g, out, dy, &error));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);

    size_t element = peft_dtype_bytes(run->dtype);
    memcpy(y, read_values(g, out), (size_t)peft_shape_count(&out->shape) * element);
    if (dx) memcpy(dx, read_values(g, in->grad), (size_t)peft_shape_count(&shape) * element);
    free(dy);
    peft_graph_free(g);
    peft_context_close(ctx);
}
