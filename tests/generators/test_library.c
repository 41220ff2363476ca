/* Libraries of adapters: canonical factors, statistics, and the losses of reconstruction. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generators/canonical.h"
#include "generators/library.h"
#include "generators/net.h"
#include "generators/t2l/loss.h"
#include "ops/ops.h"
#include "tests/generators/generated_model.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"

static void noise(float *values, int64_t count, uint64_t salt)
{
    for (int64_t i = 0; i < count; i++) values[i] = (float)op_noise(salt * 1000003 + (uint64_t)i);
}

/* ---- canonical factors ---- */

enum { MOST = 12 };

static const struct {
    int64_t rank, in, out;
} sizes[] = {{3, 8, 6}, {1, 5, 7}, {4, 3, 9}, {5, 9, 2}, {2, 1, 1}};

static void multiply(int64_t rank, int64_t in, int64_t out, const float *A, const float *B, double *update)
{
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++) {
            update[o * in + i] = 0;
            for (int64_t r = 0; r < rank; r++) update[o * in + i] += (double)B[o * rank + r] * (double)A[r * in + i];
        }
}

/* (B G, G^-1 A) with G a rotation by some angle of two ranks, and one rank scaled. */
static void mix(int64_t rank, int64_t in, int64_t out, float *A, float *B)
{
    const float c = 0.8F, s = 0.6F, scale = 3;
    for (int64_t o = 0; o < out; o++) {
        float *row = B + o * rank, first = row[0];
        row[0] = scale * (rank > 1 ? c * first + s * row[1] : first);
        if (rank > 1) row[1] = c * row[1] - s * first;
    }
    for (int64_t i = 0; i < in; i++) {
        float first = A[i];
        A[i] = (rank > 1 ? c * first + s * A[in + i] : first) / scale;
        if (rank > 1) A[in + i] = c * A[in + i] - s * first;
    }
}

START_TEST(canonical_factors_are_the_same_for_the_same_update)
{
    const int64_t rank = sizes[_i].rank, in = sizes[_i].in, out = sizes[_i].out;
    float A[MOST * MOST], B[MOST * MOST], A2[MOST * MOST], B2[MOST * MOST];
    double before[MOST * MOST], after[MOST * MOST];
    noise(A, rank * in, 1);
    noise(B, out * rank, 2);
    memcpy(A2, A, sizeof A);
    memcpy(B2, B, sizeof B);
    mix(rank, in, out, A2, B2);
    multiply(rank, in, out, A, B, before);
    ck_assert(!peft_canonical_factors(rank, in, out, A, B, NULL));
    ck_assert(!peft_canonical_factors(rank, in, out, A2, B2, NULL));
    multiply(rank, in, out, A, B, after);
    for (int64_t i = 0; i < in * out; i++) ck_assert_double_eq_tol(after[i], before[i], 1e-6);
    for (int64_t i = 0; i < rank * in; i++) ck_assert_double_eq_tol((double)A[i], (double)A2[i], 2e-6);
    for (int64_t i = 0; i < rank * out; i++) ck_assert_double_eq_tol((double)B[i], (double)B2[i], 2e-6);
}
END_TEST

START_TEST(canonical_factors_split_singular_values_evenly)
{
    float A[MOST * MOST], B[MOST * MOST];
    const int64_t rank = 3, in = 8, out = 6;
    double last = HUGE_VAL;
    noise(A, rank * in, 3);
    noise(B, out * rank, 4);
    ck_assert(!peft_canonical_factors(rank, in, out, A, B, NULL));
    for (int64_t r = 0; r < rank; r++) {
        double a = 0, b = 0, largest = 0;
        for (int64_t i = 0; i < in; i++) a += (double)(A[r * in + i] * A[r * in + i]);
        for (int64_t o = 0; o < out; o++) {
            double value = (double)B[o * rank + r];
            b += value * value;
            if (fabs(value) > fabs(largest)) largest = value;
        }
        ck_assert_double_eq_tol(a, b, 1e-6);
        ck_assert_double_le(a, last);
        ck_assert_double_gt(largest, 0);
        last = a;
    }
    A[1] = NAN;
    ck_assert_int_eq(peft_canonical_factors(rank, in, out, A, B, NULL), PEFT_ERR_NUMERIC);
}
END_TEST

/* ---- a library ---- */

enum { TASKS = 4 };

static int variant_of(const char *name)
{
    int k = 0;
    while (strcmp(peft_variant_at((size_t)k)->name, name) != 0) k++;
    return k;
}

static void open_library(peft_library *library, generated_model *m, const char *variant, const char *text)
{
    peft_error error = {0};
    model_open(m, variant_of(variant), text);
    ck_assert_msg(!peft_library_create(library, &m->net.places, TASKS, &error), "%s", error.message);
    for (int task = 0; task < TASKS; task++) {
        noise(m->adapters->set.memory, library->num_values, 50 + (uint64_t)task);
        peft_library_put(library, task);
    }
}

static void close_library(peft_library *library, generated_model *m)
{
    peft_library_free(library);
    model_close(m);
}

START_TEST(statistics_are_those_of_each_element)
{
    peft_library library;
    generated_model m;
    open_library(&library, &m, "lora", "start=random;emits=z-score");
    for (int task = 0; task < TASKS; task++) library.values[task * library.num_values] = 2; /* does not vary */
    peft_error error = {0};
    ck_assert_msg(!peft_library_statistics(&library, &m.net, &error), "%s", error.message);
    const peft_place_kind *kind = &m.net.places.kinds[0];
    const float *mean = peft_net_value(&m.net.set, "mean_recon_target.A.query")->data;
    const float *sd = peft_net_value(&m.net.set, "std_recon_target.A.query")->data;
    int64_t at = peft_place_value(&m.net.places, kind, 1, &kind->tensors[0])->data - m.adapters->set.memory;
    double sum = 0, squares = 0;
    for (int task = 0; task < TASKS; task++) {
        double value = (double)library.values[task * library.num_values + at];
        sum += value;
        squares += value * value;
    }
    ck_assert_double_eq_tol((double)mean[kind->tensors[0].count], sum / TASKS, 1e-7);
    ck_assert_double_eq_tol((double)sd[kind->tensors[0].count], sqrt((squares - sum * sum / TASKS) / (TASKS - 1)),
                            1e-6);
    ck_assert(mean[0] == 2 && sd[0] > 0 && sd[0] < 1e-5F);
    library.num_tasks = 1;
    ck_assert_int_eq(peft_library_statistics(&library, &m.net, &error), PEFT_ERR_ARGUMENT);
    library.num_tasks = TASKS;
    close_library(&library, &m);
}
END_TEST

START_TEST(canonical_libraries_have_the_same_updates)
{
    peft_library library;
    generated_model m;
    peft_error error = {0};
    double cosine;
    open_library(&library, &m, "rslora", "start=random");
    float *before = malloc((size_t)(TASKS * library.num_values) * sizeof *before);
    memcpy(before, library.values, (size_t)(TASKS * library.num_values) * sizeof *before);
    ck_assert(!peft_library_canonical(&library, &error));
    for (int task = 0; task < TASKS; task++) {
        const int64_t at = task * library.num_values;
        ck_assert(!peft_library_cosine(&library, before + at, library.values + at, &cosine, &error));
        ck_assert_double_eq_tol(cosine, 1, 1e-6);
    }
    ck_assert(!peft_library_cosine(&library, before, before + library.num_values, &cosine, &error));
    ck_assert_double_lt(fabs(cosine), 0.9);
    free(before);
    close_library(&library, &m);
    open_library(&library, &m, "loha", "start=random");
    ck_assert_int_eq(peft_library_canonical(&library, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "found loha"));
    close_library(&library, &m);
}
END_TEST

/* ---- losses ---- */

/* Loss of the network's output for tasks 0 ... 2, whose vectors are those of the model, and optionally its gradient. */
static double loss_of(const peft_library *library, generated_model *m, peft_t2l_loss loss, bool differentiate)
{
    static const uint32_t tasks[MODEL_TASKS] = {0, 1, 2};
    peft_error error = {0};
    peft_graph *g;
    peft_context *ctx;
    peft_t2l_kind_output made[MODEL_KINDS], wanted[MODEL_KINDS] = {{{0}}};
    float *targets[MODEL_KINDS][PEFT_MAX_VALUES] = {{0}};
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    ck_assert_msg(!peft_t2l_loss_check(&m->net, loss, &error), "%s", error.message);
    for (int64_t k = 0; k < m->net.places.num_kinds; k++)
        for (int32_t v = 0; v < m->net.places.kinds[k].num_tensors; v++) {
            const peft_place_kind *kind = &m->net.places.kinds[k];
            const peft_place_tensor *tensor = &kind->tensors[v];
            const peft_shape shape = peft_shape_2(kind->num_places * MODEL_TASKS, tensor->count);
            targets[k][v] = malloc((size_t)peft_shape_count(&shape) * sizeof(float));
            peft_library_gather(library, kind, tensor, tasks, MODEL_TASKS, targets[k][v]);
            wanted[k].tensors[v] = peft_constant(g, PEFT_F32, shape, targets[k][v], "target");
        }
    peft_tensor *vectors = peft_constant(g, PEFT_F32, peft_shape_2(MODEL_TASKS, MODEL_VECTOR), m->vectors, "vectors");
    peft_t2l_emit(g, &m->net, vectors, true, 0, made);
    peft_tensor *total = peft_graph_keep(g, peft_t2l_reconstruction_loss(g, &m->net, loss, MODEL_TASKS, made, wanted));
    ck_assert_msg(!peft_graph_status(g, &error), "%s", error.message);
    peft_value_set_zero_gradients(&m->net.set);
    if (differentiate) ck_assert_msg(!peft_graph_differentiate(g, total, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    double value = (double)*(float *)total->data;
    free_tensors(targets);
    peft_graph_free(g);
    peft_context_close(ctx);
    return value;
}

static const struct {
    const char *network;
    peft_t2l_loss loss;
    double scale; /* of the target */
} losses[] = {{"start=random;dropout=0", PEFT_T2L_PRODUCT_L1, 1},
              {"start=random;dropout=0;head=M", PEFT_T2L_PRODUCT_SQUARED, 1},
              {"start=random;dropout=0;emits=product;product_scale=7", PEFT_T2L_PRODUCT_L1, 7},
              {"start=random;dropout=0;emits=product;product_scale=7;head=S", PEFT_T2L_PRODUCT_SQUARED, 7}};

/* The same in double, from the matrices themselves. */
static double expected_loss(const peft_library *library, const generated_model *m, int loss)
{
    float *made[MODEL_KINDS][PEFT_MAX_VALUES];
    double sum = 0;
    model_emit(m, &m->net, m->vectors, MODEL_TASKS, 1, made);
    for (int64_t k = 0; k < m->net.places.num_kinds; k++) {
        const peft_place_kind *kind = &m->net.places.kinds[k];
        const int64_t r = kind->tensors[0].rows, in = kind->in_features, out = kind->out_features;
        double update[MOST * MOST], wanted[MOST * MOST], of_kind = 0;
        for (int64_t row = 0; row < kind->num_places * MODEL_TASKS; row++) {
            const float *values = library->values + row % MODEL_TASKS * library->num_values;
            const float *memory = m->adapters->set.memory;
            const int64_t p = row / MODEL_TASKS;
            multiply(r, in, out, made[k][0] + row * kind->tensors[0].count, made[k][1] + row * kind->tensors[1].count,
                     update);
            multiply(r, in, out, values + (peft_place_value(&m->net.places, kind, p, &kind->tensors[0])->data - memory),
                     values + (peft_place_value(&m->net.places, kind, p, &kind->tensors[1])->data - memory), wanted);
            for (int64_t i = 0; i < in * out; i++) {
                double off = losses[loss].scale * (wanted[i] - update[i]); /* what was emitted is finished here */
                of_kind += losses[loss].loss == PEFT_T2L_PRODUCT_L1 ? fabs(off) : off * off;
            }
        }
        sum += of_kind / (double)(kind->num_places * MODEL_TASKS * in * out);
    }
    free_tensors(made);
    return sum / (double)m->net.places.num_kinds;
}

START_TEST(product_losses_are_those_of_the_matrices)
{
    peft_library library;
    generated_model m;
    open_library(&library, &m, "lora", losses[_i].network);
    double found = loss_of(&library, &m, losses[_i].loss, true), expected = expected_loss(&library, &m, _i);
    ck_assert_double_eq_tol(found, expected, 1e-5 * expected);
    /* along its gradient, in float */
    double size = 0, h = 1e-3;
    for (int64_t i = 0; i < m.net.set.num_trained; i++)
        size += (double)m.net.set.gradients[i] * (double)m.net.set.gradients[i];
    float *direction = malloc((size_t)m.net.set.num_trained * sizeof *direction);
    for (int64_t i = 0; i < m.net.set.num_trained; i++) direction[i] = (float)(h / sqrt(size)) * m.net.set.gradients[i];
    double sides[2];
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < m.net.set.num_trained; i++) m.net.set.memory[i] += (side ? -2.0F : 1.0F) * direction[i];
        sides[side] = loss_of(&library, &m, losses[_i].loss, false);
    }
    ck_assert_double_eq_tol((sides[0] - sides[1]) / (2 * h), sqrt(size), 5e-3 * sqrt(size));
    free(direction);
    close_library(&library, &m);
}
END_TEST

static const struct {
    const char *variant, *network, *message;
    peft_t2l_loss loss;
} refused[] = {{"lora", "start=random;emits=product", "loss factors: with emits product", PEFT_T2L_FACTORS},
               {"lora", "start=random;emits=z-score", "loss product: z-scores have no product", PEFT_T2L_PRODUCT_L1},
               {"loha", "start=random", "loss product-squared: is about B A of lora and rslora, found loha",
                PEFT_T2L_PRODUCT_SQUARED}};

START_TEST(losses_that_cannot_work_are_refused)
{
    generated_model m;
    peft_error error = {0};
    model_open(&m, variant_of(refused[_i].variant), refused[_i].network);
    ck_assert_int_eq(peft_t2l_loss_check(&m.net, refused[_i].loss, &error), PEFT_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, refused[_i].message) != NULL, "%s", error.message);
    model_close(&m);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    peft_library library;
    generated_model m;
    open_library(&library, &m, "lora", "start=random;emits=z-score");
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_library other = {0};
        fail_allocation(call);
        peft_status status = peft_library_create(&other, &m.net.places, TASKS, NULL);
        if (!status) status = peft_library_statistics(&library, &m.net, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        peft_library_free(&other);
    }
    fail_allocation(0); /* the rest is BLIS's and LAPACK's, for whom room is asked beforehand */
    ck_assert_int_eq(peft_library_canonical(&library, NULL), PEFT_ERR_MEMORY);
    close_library(&library, &m);
}
END_TEST

TEST_MAIN("library",
          tcase_add_loop_test(tc, canonical_factors_are_the_same_for_the_same_update, 0, sizeof sizes / sizeof *sizes);
          tcase_add_test(tc, canonical_factors_split_singular_values_evenly);
          tcase_add_test(tc, statistics_are_those_of_each_element);
          tcase_add_test(tc, canonical_libraries_have_the_same_updates);
          tcase_add_loop_test(tc, product_losses_are_those_of_the_matrices, 0, sizeof losses / sizeof *losses);
          tcase_add_loop_test(tc, losses_that_cannot_work_are_refused, 0, sizeof refused / sizeof *refused);
          tcase_add_test(tc, every_allocation_may_fail))
