/* That the mirror would show what it is for. */
#include "tests/mirror/mirror.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/engine/context_internal.h"
#include "ops/ops.h"
#include "tests/support/main.h"
#include "tests/support/read.h"

static peft_error error;

typedef struct product {
    peft_context *ctx;
    peft_graph *g;
    float x[4], W[4], dW[4];
    int32_t ids[2];
    peft_tensor *y;
} product;

/* y = x[ids] W^T, differentiated for W */
static void begin(product *p)
{
    static const float dy[4] = {1, 1, 1, 1};
    const peft_context_options options = {.threads = 2};
    *p = (product){.x = {1, 2, 3, 4}, .W = {1, 0, 0, 1}, .dW = {10, 10, 10, 10}, .ids = {1, 0}};
    ck_assert(!peft_context_open_on(&p->ctx, &mirror_backend, &options, &error));
    ck_assert(!peft_graph_create(&p->g, &error));
    peft_tensor *table = peft_constant(p->g, PEFT_F32, peft_shape_2(2, 2), p->x, "x");
    peft_tensor *x = peft_embedding(p->g, table, peft_constant(p->g, PEFT_I32, peft_shape_1(2), p->ids, "ids"));
    peft_tensor *W = peft_parameter(p->g, PEFT_F32, peft_shape_2(2, 2), p->W, p->dW, "W");
    p->y = peft_graph_keep(p->g, peft_linear(p->g, x, W, NULL));
    ck_assert(!peft_graph_differentiate_from(p->g, p->y, dy, &error));
}

static void end(const product *p)
{
    peft_graph_free(p->g);
    peft_context_close(p->ctx);
}

START_TEST(the_host_has_its_values_back_when_it_has_waited)
{
    product p;
    begin(&p);
    ck_assert(!peft_graph_run(p.g, p.ctx, &error));
    ck_assert(isnan(p.dW[0]) && isnan(p.dW[3])); /* until it waits */
    ck_assert(isnan(p.x[0]) && p.ids[0] == -1);
    ck_assert(p.W[0] == 1);
    const float *y = read_values(p.g, p.y);
    ck_assert(y[0] == 3 && y[1] == 4 && y[2] == 1 && y[3] == 2);
    ck_assert(p.x[0] == 1 && p.ids[0] == 1);
    ck_assert(p.dW[0] == 14 && p.dW[1] == 16);
    end(&p);
}
END_TEST

START_TEST(errors_come_with_waiting)
{
    product p;
    begin(&p);
    p.ids[1] = 7;
    for (int run = 0; run < 2; run++) {
        const void *values;
        ck_assert(!peft_graph_run(p.g, p.ctx, &error));
        ck_assert_int_eq(run ? peft_graph_wait(p.g, &error) : peft_graph_read(p.g, p.y, &values, &error),
                         PEFT_ERR_ARGUMENT);
        ck_assert_str_eq(error.message, "embedding: x: ids[1]: expected 0 ... 1, the table's rows, found 7");
    }
    ck_assert_int_eq(peft_graph_wait(p.g, NULL), PEFT_ERR_ARGUMENT); /* as long as nothing else has run */
    end(&p);
}
END_TEST

static void look_at_result(const product *p)
{
    volatile const float *y = p->y->data;
    _exit(y[0] == 3 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void look_at_buffer(const product *p)
{
    volatile const char *buffer = p->ctx->buffer;
    _exit(buffer[0] == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* A signal, or a sanitizer that tells of it. */
START_TEST(a_look_through_an_address_faults)
{
    void (*const looks[])(const product *p) = {look_at_result, look_at_buffer};
    product p;
    begin(&p);
    ck_assert(!peft_graph_run(p.g, p.ctx, &error) && !peft_graph_wait(p.g, &error));
    for (int k = 0; k < 2; k++) {
        int how;
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            if (!freopen("/dev/null", "w", stderr)) _exit(EXIT_SUCCESS);
            looks[k](&p);
        }
        ck_assert_int_eq(waitpid(child, &how, 0), child);
        ck_assert(!(WIFEXITED(how) && WEXITSTATUS(how) == EXIT_SUCCESS));
    }
    end(&p);
}
END_TEST

/* Scratch memory, or a tensor, that no device would find. */
START_TEST(memory_of_the_host_is_refused_by_kernels)
{
    product p;
    begin(&p);
    ck_assert(!peft_graph_run(p.g, p.ctx, &error) && !peft_graph_wait(p.g, &error));
    peft_node node = *p.g->nodes[1];
    peft_tensor moved = *node.in[0];
    float values[4] = {0};
    moved.data = values;
    node.in[0] = &moved;
    node.shared = p.ctx->buffer;
    const peft_kernel *kernel = p.ctx->backend->kernel(p.ctx->state, &node);
    kernel->forward(&node, p.ctx);
    ck_assert_int_eq(p.ctx->error.status, PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(p.ctx->error.message, "mirror: a tensor lies outside of its memory");
    end(&p);
}
END_TEST

/* A frozen weight is there as its backend made it, not as the host has it by then. */
START_TEST(packed_weights_are_resident)
{
    float W[4] = {1, 0, 0, 1};
    product p;
    begin(&p);
    peft_weight weight = {.name = "W", .shape = peft_shape_2(2, 2), .stored.data = W};
    ck_assert(!peft_weight_pack(&weight, p.ctx, PEFT_PACK_BOTH, &error));
    W[0] = 100;
    peft_graph_reset(p.g);
    peft_tensor *x = peft_constant(p.g, PEFT_F32, peft_shape_2(2, 2), p.x, "x");
    peft_tensor *y = peft_graph_keep(p.g, peft_linear(p.g, x, peft_weight_leaf(p.g, &weight), NULL));
    ck_assert(!peft_graph_run(p.g, p.ctx, &error));
    ck_assert(((const float *)read_values(p.g, y))[0] == 1);
    peft_weight_unpack(&weight);
    end(&p);
}
END_TEST

TEST_MAIN("mirror", tcase_add_test(tc, the_host_has_its_values_back_when_it_has_waited);
          tcase_add_test(tc, errors_come_with_waiting); tcase_add_test(tc, a_look_through_an_address_faults);
          tcase_add_test(tc, memory_of_the_host_is_refused_by_kernels); tcase_add_test(tc, packed_weights_are_resident))
