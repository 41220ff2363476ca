/* Start values of A and B: the layer starts as the base layer, files mean the same without the start, and each start is
 * what its equation says. */
#include <math.h>
#include <string.h>

#include "ops/linear_algebra.h"
#include "tests/support/main.h"
#include "tests/variants/layer_training.h"
#include "variants/lora.h"

enum { MOST = 64 * 64 };

static const double FLOAT_TOLERANCE = 1e-5;

static peft_error error;

static const char *const words[] = {"init=gaussian", "init=orthogonal",    "init=pissa",
                                    "init=olora",    "init=pissa_niter_4", "init=pissa;dropout=0.5"};
static const char *const names[] = {"lora", "rslora"};
static const layer_case sizes[] = {
    {.in_features = 7, .out_features = 5, .rank = 3, .tokens = 11, .alpha = 5},
    {.in_features = 5, .out_features = 7, .rank = 1, .tokens = 4, .alpha = 2},
    {.in_features = 4, .out_features = 3, .rank = 9, .tokens = 6, .alpha = 3}, /* a rank above both sizes */
    {.in_features = 6, .out_features = 6, .rank = 2, .tokens = 1, .alpha = 4},
    {.in_features = 40, .out_features = 30, .rank = 8, .tokens = 9, .alpha = 16},
};

enum {
    NUM_WORDS = sizeof words / sizeof *words,
    NUM_NAMES = sizeof names / sizeof *names,
    NUM_SIZES = sizeof sizes / sizeof *sizes,
    NUM_ALL = NUM_WORDS * NUM_NAMES * NUM_SIZES
};

static void open_lora(adapted_layer *l, layer_case size, const char *text)
{
    layer_open(l, peft_variant_find("lora"), size, text);
}

static void open_numbered(adapted_layer *l, int number)
{
    const char *name = names[number / NUM_WORDS % NUM_NAMES];
    layer_open(l, peft_variant_find(name), sizes[number / NUM_WORDS / NUM_NAMES], words[number % NUM_WORDS]);
}

static int64_t outputs_of(const adapted_layer *l)
{
    return l->sizes.tokens * l->sizes.out_features;
}

static float *base_output(adapted_layer *l)
{
    const peft_adapter *adapter = l->adapter;
    l->adapter = NULL;
    float *y = layer_output(l, 1);
    l->adapter = (peft_adapter *)(uintptr_t)adapter;
    return y;
}

static void check_close(const char *what, const float *found, const float *expected, int64_t count)
{
    double off = largest_difference(found, expected, count);
    double limit = FLOAT_TOLERANCE * (1 + largest_value(expected, count));
    ck_assert_msg(off <= limit, "%s is off by %g, expected at most %g", what, off, limit);
}

/* ---- what is true of all ---- */

START_TEST(the_layer_starts_as_the_base_layer)
{
    adapted_layer l;
    open_numbered(&l, _i);
    l.batch.training = false; /* dropout is on A's input alone, and the base is whole when it is off */
    float *y = layer_output(&l, 1), *expected = base_output(&l);
    check_close("the start", y, expected, outputs_of(&l));
    free(y);
    free(expected);
    layer_close(&l);
}
END_TEST

START_TEST(backward_is_the_adjoint_of_forward)
{
    adapted_layer l;
    if (sizes[_i / NUM_WORDS / NUM_NAMES].in_features > 7 || strstr(words[_i % NUM_WORDS], "dropout")) return;
    open_numbered(&l, _i);
    layer_shake(&l);
    layer_check_gradient(&l);
    layer_close(&l);
}
END_TEST

START_TEST(merged_weights_give_the_adapted_output)
{
    adapted_layer l;
    open_numbered(&l, _i);
    layer_shake(&l);
    l.batch.training = false;
    float *expected = layer_output(&l, 1);
    if (l.all->variant->weight) {
        float *by_weight = layer_output_by_weight(&l);
        check_close("the output of the weight", by_weight, expected, outputs_of(&l));
        free(by_weight);
    }
    ck_assert_msg(!peft_adapter_merge(l.adapter, l.weight_data, l.bias_data, &error), "%s", error.message);
    float *y = base_output(&l);
    check_close("the merged output", y, expected, outputs_of(&l));
    free(y);
    free(expected);
    layer_close(&l);
}
END_TEST

/* The update from the start values on, of twice the rank, on the unchanged weight. */
START_TEST(files_hold_a_plain_lora_with_the_same_output)
{
    adapted_layer l;
    peft_adapters *plain;
    open_numbered(&l, _i);
    layer_shake(&l);
    l.batch.training = false;
    ck_assert_msg(!peft_adapters_compact(l.all, &plain, &error), "%s", error.message);
    ck_assert(!plain == !peft_lora_start_of(l.all)->subtracts);
    if (plain) {
        ck_assert_str_eq(plain->variant->name, "lora");
        ck_assert_str_eq(((const peft_lora_options *)plain->options)->init, "kaiming");
        ck_assert_int_eq(plain->layers[0].rank, 2 * l.adapter->rank);
        ck_assert_int_eq(plain->layers[0].num_values, PEFT_LORA_VALUES);
        float *expected = layer_output(&l, 1);
        l.adapter = &plain->layers[0];
        float *y = layer_output(&l, 1);
        check_close("the plain LoRA", y, expected, outputs_of(&l));
        free(y);
        free(expected);
    }
    peft_adapters_free(plain);
    layer_close(&l);
}
END_TEST

START_TEST(resumed_and_on_more_threads_training_ends_in_the_same_bits)
{
    enum { STEPS = 6, BREAK = 3 };
    const layer_case size = sizes[0];
    layer_training whole, begun, resumed, threaded;
    const peft_variant *variant = peft_variant_find("lora");
    training_open(&whole, variant, size, words[_i], 1);
    training_open(&threaded, variant, size, words[_i], 2);
    training_run(&whole, 1, STEPS, STEPS);
    training_run(&threaded, 1, STEPS, STEPS);
    ck_assert(training_same(&threaded, &whole));
    training_open(&begun, variant, size, words[_i], 1);
    training_run(&begun, 1, BREAK, STEPS);
    training_open(&resumed, variant, size, words[_i], 1);
    training_resume(&resumed, &begun);
    training_run(&resumed, BREAK + 1, STEPS, STEPS);
    ck_assert(training_same(&resumed, &whole));
    training_close(&whole);
    training_close(&begun);
    training_close(&resumed);
    training_close(&threaded);
}
END_TEST

/* ---- pissa ---- */

/* s B A in double: [out, in] */
static void update_of(const peft_adapter *a, double *update)
{
    const float *A = a->values[PEFT_LORA_A].data, *B = a->values[PEFT_LORA_B].data;
    for (int64_t o = 0; o < a->out_features; o++)
        for (int64_t i = 0; i < a->in_features; i++) {
            double sum = 0;
            for (int64_t j = 0; j < a->rank; j++) sum += (double)B[o * a->rank + j] * (double)A[j * a->in_features + i];
            update[o * a->in_features + i] = a->scaling * sum;
        }
}

/* Singular values of the weight minus `factor` times the update. */
static void values_of_rest(const adapted_layer *l, double factor, double *values)
{
    double rest[MOST], u[MOST], vt[MOST];
    update_of(l->adapter, rest);
    for (int64_t k = 0; k < l->sizes.in_features * l->sizes.out_features; k++)
        rest[k] = (double)l->weight_data[k] - factor * rest[k];
    ck_assert(!peft_svd(l->sizes.out_features, l->sizes.in_features, rest, u, values, vt, &error));
}

START_TEST(pissa_leaves_the_smaller_singular_values)
{
    const char *const text[] = {"init=pissa", "init=pissa_niter_200"};
    adapted_layer l;
    double all[64], rest[64];
    open_lora(&l, sizes[4], text[_i]);
    int64_t rank = l.sizes.rank, count = l.sizes.out_features;
    values_of_rest(&l, 0, all);
    values_of_rest(&l, 1, rest);
    for (int64_t k = 0; k + rank < count; k++) ck_assert_double_eq_tol(rest[k], all[k + rank], 1e-6);
    for (int64_t k = count - rank; k < count; k++) ck_assert_double_le(rest[k], 1e-6);
    layer_close(&l);
}
END_TEST

static double square(const float *values, int64_t count, int64_t stride)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)values[i * stride] * (double)values[i * stride];
    return sum;
}

START_TEST(pissa_shares_each_singular_value_between_A_and_B)
{
    adapted_layer l;
    double all[64];
    open_lora(&l, sizes[4], "init=pissa");
    const peft_adapter *a = l.adapter;
    values_of_rest(&l, 0, all);
    for (int64_t j = 0; j < a->rank; j++) {
        double share = all[j] / a->scaling;
        ck_assert_double_eq_tol(square(a->values[PEFT_LORA_A].data + j * 40, 40, 1), share, 1e-5 * share);
        ck_assert_double_eq_tol(square(a->values[PEFT_LORA_B].data + j, 30, a->rank), share, 1e-5 * share);
    }
    layer_close(&l);
}
END_TEST

static peft_status try_init(double alpha, float first)
{
    adapted_layer l;
    layer_case size = sizes[0];
    open_lora(&l, size, NULL);
    peft_adapters *all;
    char text[64];
    snprintf(text, sizeof text, "init=pissa;rank=2;alpha=%g", alpha);
    peft_layer layer = {"a.query", size.in_features, size.out_features};
    ck_assert(!adapters_open(&all, peft_variant_find("lora"), &layer, 1, text, &error));
    l.weight_data[0] = first;
    peft_status status = peft_adapter_init_from_base(&all->layers[0], &l.base, 1, &error);
    peft_adapters_free(all);
    layer_close(&l);
    return status;
}

START_TEST(what_pissa_cannot_start_from_is_refused)
{
    ck_assert_int_eq(try_init(-1, 1), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "a.query: init: expected an alpha above 0, found -1");
    ck_assert_int_eq(try_init(0, 1), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(try_init(1, NAN), PEFT_ERR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "a.query: a value of the matrix is nan"));
    ck_assert_int_eq(try_init(1, 1), PEFT_OK);
}
END_TEST

START_TEST(without_its_model_a_start_is_not_known)
{
    const peft_layer layer = {"a.query", 6, 4};
    peft_adapters *all;
    peft_lora_factors factors;
    ck_assert(!adapters_open(&all, peft_variant_find("lora"), &layer, 1, "init=pissa", &error));
    ck_assert_int_eq(peft_adapter_to_lora(&all->layers[0], &factors, &error), PEFT_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "load it together with its model"));
    peft_adapters_free(all);
}
END_TEST

/* ---- olora ---- */

/* Q_r R_r has the weight's first r columns, since R is an upper triangle. */
START_TEST(olora_takes_the_first_columns)
{
    adapted_layer l;
    double update[MOST];
    open_lora(&l, sizes[4], "init=olora");
    const peft_adapter *a = l.adapter;
    update_of(a, update);
    for (int64_t o = 0; o < 30; o++)
        for (int64_t i = 0; i < a->rank; i++)
            ck_assert_double_eq_tol(update[o * 40 + i], a->scaling * (double)l.weight_data[o * 40 + i], 1e-5);
    for (int64_t j = 0; j < a->rank; j++) {
        ck_assert_double_eq_tol(square(a->values[PEFT_LORA_B].data + j, 30, a->rank), 1, 1e-6);
        ck_assert(largest_value(a->values[PEFT_LORA_A].data + j * 40, j) == 0);
    }
    layer_close(&l);
}
END_TEST

/* ---- orthogonal ---- */

START_TEST(orthogonal_factors_have_no_product)
{
    const int64_t ranks[] = {2, 5, 8};
    adapted_layer l;
    double update[MOST];
    layer_case size = sizes[4];
    size.rank = ranks[_i];
    open_lora(&l, size, "init=orthogonal");
    const float *A = l.adapter->values[PEFT_LORA_A].data, *B = l.adapter->values[PEFT_LORA_B].data;
    update_of(l.adapter, update);
    for (int k = 0; k < 30 * 40; k++) ck_assert_double_eq_tol(update[k], 0, 1e-6);
    /* rows of O_1^T R_1 / 10: of r rows only half are independent, so each has half of the mean square 1 / 100 */
    ck_assert_double_eq_tol(square(A, size.rank * 40, 1) / (40 * 0.01 * (double)((size.rank + 1) / 2)), 1, 0.5);
    ck_assert_double_eq_tol(square(B, size.rank * 30, 1) / (30 * 0.01 * (double)(size.rank / 2)), 1, 0.5);
    ck_assert_int_eq(l.adapter->num_values, PEFT_LORA_VALUES);
    layer_close(&l);
}
END_TEST

/* ---- freeze_a ---- */

START_TEST(a_frozen_A_does_not_move)
{
    enum { STEPS = 5 };
    layer_training t, free_to_move;
    training_open(&t, peft_variant_find("lora"), sizes[4], "freeze_a=true", 1);
    training_open(&free_to_move, peft_variant_find("lora"), sizes[4], NULL, 1);
    const peft_adapter *a = t.layer.adapter, *other = free_to_move.layer.adapter;
    const size_t A_bytes = 8 * 40 * sizeof(float), B_bytes = 8 * 30 * sizeof(float);
    ck_assert_ptr_null(a->values[PEFT_LORA_A].gradient);
    ck_assert_int_eq(t.layer.all->set.num_trained, 8 * 30);
    training_run(&t, 1, 1, STEPS);
    training_run(&free_to_move, 1, 1, STEPS); /* with B = 0, A has no gradient yet */
    ck_assert_mem_eq(a->values[PEFT_LORA_B].gradient, other->values[PEFT_LORA_B].gradient, B_bytes);
    ck_assert_mem_eq(a->values[PEFT_LORA_B].data, other->values[PEFT_LORA_B].data, B_bytes);
    float *A = malloc(A_bytes);
    memcpy(A, a->values[PEFT_LORA_A].data, A_bytes);
    training_run(&t, 2, STEPS, STEPS);
    training_run(&free_to_move, 2, STEPS, STEPS);
    ck_assert_mem_eq(a->values[PEFT_LORA_A].data, A, A_bytes);
    ck_assert_mem_ne(other->values[PEFT_LORA_A].data, A, A_bytes);
    free(A);
    training_close(&t);
    training_close(&free_to_move);
}
END_TEST

START_TEST(a_frozen_A_passes_gradients_to_the_input)
{
    adapted_layer l;
    open_lora(&l, sizes[0], "freeze_a=true");
    layer_shake(&l);
    layer_check_gradient(&l);
    layer_close(&l);
}
END_TEST

/* ---- dora ---- */

START_TEST(dora_starts_beside_the_whole_weight_only)
{
    const peft_layer layer = {"a.query", 6, 4};
    peft_adapters *all;
    adapted_layer l;
    ck_assert_int_eq(adapters_open(&all, peft_variant_find("dora"), &layer, 1, "init=olora", &error),
                     PEFT_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "dora: init: \"olora\""));
    layer_open(&l, peft_variant_find("dora"), sizes[4], "init=orthogonal");
    float *y = layer_output(&l, 1), *expected = base_output(&l);
    ck_assert(largest_value(l.adapter->values[PEFT_LORA_B].data, 8 * 30) > 0);
    check_close("DoRA's start", y, expected, outputs_of(&l));
    free(y);
    free(expected);
    layer_close(&l);
}
END_TEST

TEST_MAIN("lora_start", tcase_add_loop_test(tc, the_layer_starts_as_the_base_layer, 0, NUM_ALL);
          tcase_add_loop_test(tc, backward_is_the_adjoint_of_forward, 0, NUM_ALL);
          tcase_add_loop_test(tc, merged_weights_give_the_adapted_output, 0, NUM_ALL);
          tcase_add_loop_test(tc, files_hold_a_plain_lora_with_the_same_output, 0, NUM_ALL);
          tcase_add_loop_test(tc, resumed_and_on_more_threads_training_ends_in_the_same_bits, 0, NUM_WORDS);
          tcase_add_loop_test(tc, pissa_leaves_the_smaller_singular_values, 0, 2);
          tcase_add_test(tc, pissa_shares_each_singular_value_between_A_and_B);
          tcase_add_test(tc, what_pissa_cannot_start_from_is_refused);
          tcase_add_test(tc, without_its_model_a_start_is_not_known); tcase_add_test(tc, olora_takes_the_first_columns);
          tcase_add_loop_test(tc, orthogonal_factors_have_no_product, 0, 3);
          tcase_add_test(tc, a_frozen_A_does_not_move); tcase_add_test(tc, a_frozen_A_passes_gradients_to_the_input);
          tcase_add_test(tc, dora_starts_beside_the_whole_weight_only))
