/* What is special to LoRA2: its two planes, the limits in which it is AdaLoRA and LoRA, its penalty, and what is
 * scored.
 */
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/read.h"
#include "tests/variants/layer_training.h"
#include "variants/budget.h"
#include "variants/orthogonality.h"

enum { A2, A1, E, B1, B2, STATE, VALUES = STATE + PEFT_BUDGET_STATE };

static const layer_case sizes = {.in_features = 7, .out_features = 5, .rank = 3, .tokens = 6, .alpha = 3};
enum { IN = 7, OUT = 5, R = 3, OUTPUTS = 6 * OUT };

static peft_error error;

static void open_lora2(adapted_layer *l, const char *text)
{
    layer_open(l, peft_variant_find("lora2"), sizes, text);
}

static int64_t count_of(const adapted_layer *l, int value)
{
    return peft_shape_count(&l->adapter->values[value].spec.shape);
}

static float *data_of(const adapted_layer *l, int value)
{
    return l->adapter->values[value].data;
}

static void set_identity(float *M, int64_t size)
{
    for (int64_t k = 0; k < size * size; k++) M[k] = k % (size + 1) == 0;
}

/* out [m, n] = left [m, inner] right [inner, n] */
static void multiply(const float *left, const float *right, int64_t m, int64_t inner, int64_t n, float *out)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < inner; k++) sum += (double)left[i * inner + k] * (double)right[k * n + j];
            out[i * n + j] = (float)sum;
        }
}

/* ---- limits ---- */

/* k = r and inner planes of ones on the diagonal: outputs, and gradients of what both have, to the bit. */
START_TEST(identical_inner_planes_are_adalora_to_the_bit)
{
    static const int of_adalora[] = {A2, E, B2};
    adapted_layer l, ada;
    open_lora2(&l, "k=3;orth_reg_weight=0");
    layer_open(&ada, peft_variant_find("adalora"), sizes, "orth_reg_weight=0");
    layer_shake(&l);
    set_identity(data_of(&l, A1), R);
    set_identity(data_of(&l, B1), R);
    for (int v = 0; v < 3; v++)
        memcpy(data_of(&ada, v), data_of(&l, of_adalora[v]), (size_t)count_of(&l, of_adalora[v]) * sizeof(float));
    ck_assert_double_eq(l.adapter->scaling, ada.adapter->scaling);
    float *y = layer_output(&l, 1), *expected = layer_output(&ada, 1);
    ck_assert_mem_eq(y, expected, OUTPUTS * sizeof(float));
    double *gradient = layer_gradient(&l), *of_ada = layer_gradient(&ada);
    for (int v = 0; v < 3; v++) {
        const double *mine = gradient + (data_of(&l, of_adalora[v]) - l.all->set.memory);
        const double *other = of_ada + (data_of(&ada, v) - ada.all->set.memory);
        for (int64_t k = 0; k < count_of(&ada, v); k++) ck_assert(mine[k] == other[k]);
    }
    free(y);
    free(expected);
    free(gradient);
    free(of_ada);
    layer_close(&l);
    layer_close(&ada);
}
END_TEST

/* With all of E one, too, it is LoRA with the same scale. */
START_TEST(its_products_are_the_factors_of_lora)
{
    adapted_layer l, lora;
    open_lora2(&l, "k=4");
    layer_shake(&l);
    for (int j = 0; j < R; j++) data_of(&l, E)[j] = 1;
    layer_case same_scale = sizes;
    same_scale.alpha = l.adapter->scaling * R;
    layer_open(&lora, peft_variant_find("lora"), same_scale, NULL);
    multiply(data_of(&l, A1), data_of(&l, A2), R, 4, IN, data_of(&lora, 0));
    multiply(data_of(&l, B2), data_of(&l, B1), OUT, 4, R, data_of(&lora, 1));
    float *y = layer_output(&l, 1), *expected = layer_output(&lora, 1);
    ck_assert_double_le(largest_difference(y, expected, OUTPUTS), 1e-6 * (1 + largest_value(expected, OUTPUTS)));
    free(y);
    free(expected);
    layer_close(&l);
    layer_close(&lora);
}
END_TEST

/* ---- the start ---- */

START_TEST(only_E_has_a_gradient_in_the_first_step)
{
    adapted_layer l;
    open_lora2(&l, "k=4;orth_reg_weight=0");
    double *gradient = layer_gradient(&l);
    for (int v = A2; v <= B2; v++)
        for (int64_t k = 0; k < count_of(&l, v); k++)
            ck_assert_msg((gradient[data_of(&l, v) - l.all->set.memory + k] != 0) == (v == E), "%s",
                          l.adapter->values[v].spec.name);
    free(gradient);
    layer_close(&l);
}
END_TEST

START_TEST(it_may_start_orthonormal)
{
    static const char *const ranks[] = {"k=4;rank=3;init=orthonormal", "k=2;rank=3;init=orthonormal"};
    for (int i = 0; i < 2; i++) {
        adapted_layer l;
        open_lora2(&l, ranks[i]);
        float *y = layer_output(&l, 1);
        peft_adapter *adapter = l.adapter;
        l.adapter = NULL;
        float *base = layer_output(&l, 1);
        l.adapter = adapter;
        ck_assert_mem_eq(y, base, OUTPUTS * sizeof(float));
        double with = layer_loss_at(&l, -1, 0);
        ((peft_budget_options *)l.all->options)->orth_reg_weight = 0;
        ck_assert_double_eq_tol(with, layer_loss_at(&l, -1, 0), 1e-9);
        free(y);
        free(base);
        layer_close(&l);
    }
}
END_TEST

/* ---- the penalty ---- */

/* All matrices zero: each term counts the rows of its Gram matrix. k = 4, r = 3: 4 + 4 + 3 + 3 over four terms, and
 * 3 + 3 + 4 + 4 + 3 + 4 over six; k = 2, r = 3: 2 + 2 + 2 + 2 over four. */
static const struct {
    const char *text;
    double penalty;
} zero_penalties[] = {{"k=4;orth_reg_weight=1", 14.0 / 4},
                      {"k=4;orth_reg_weight=1;orthogonality=paper", 21.0 / 6},
                      {"k=2;orth_reg_weight=1", 8.0 / 4}};

START_TEST(the_penalty_is_a_mean_of_its_terms)
{
    adapted_layer l;
    open_lora2(&l, zero_penalties[_i].text);
    memset(l.all->set.memory, 0, (size_t)l.all->set.num_trained * sizeof(float));
    double with = layer_loss_at(&l, -1, 0);
    ((peft_budget_options *)l.all->options)->orth_reg_weight = 0;
    ck_assert_double_eq_tol(with - layer_loss_at(&l, -1, 0), zero_penalties[_i].penalty, 1e-12);
    layer_close(&l);
}
END_TEST

/* The registry's tests have the default; the paper's terms go through the products. */
START_TEST(gradients_of_the_papers_penalty_are_right)
{
    static const char *const texts[] = {"k=4;orthogonality=paper", "k=2;orthogonality=paper", "k=2"};
    for (int i = 0; i < 3; i++) {
        adapted_layer l;
        open_lora2(&l, texts[i]);
        layer_shake(&l);
        layer_check_gradient(&l);
        layer_close(&l);
    }
}
END_TEST

/* |M M^T - I| of the rows of M [rows, columns], or of its columns. */
static double distance(const float *M, int64_t rows, int64_t columns, bool of_columns)
{
    int64_t count = of_columns ? columns : rows, length = of_columns ? rows : columns;
    double sum = 0;
    for (int64_t a = 0; a < count; a++)
        for (int64_t b = 0; b < count; b++) {
            double dot = 0;
            for (int64_t k = 0; k < length; k++)
                dot += (double)M[of_columns ? k * columns + a : a * columns + k] *
                       (double)M[of_columns ? k * columns + b : b * columns + k];
            sum += (dot - (a == b)) * (dot - (a == b));
        }
    return sqrt(sum);
}

/* For k >= r orthonormal planes make both sides of the update orthonormal: a penalty that outweighs the task by far
 * leads there. */
START_TEST(the_penalty_makes_both_sides_orthonormal)
{
    layer_training t;
    float A[R * IN], B[OUT * R];
    training_open(&t, peft_variant_find("lora2"), sizes, "k=4;orth_reg_weight=1e6;target_rank=3", 1);
    training_run(&t, 1, 1500, 1500);
    const adapted_layer *l = &t.layer;
    multiply(data_of(l, A1), data_of(l, A2), R, 4, IN, A);
    multiply(data_of(l, B2), data_of(l, B1), OUT, 4, R, B);
    ck_assert_double_le(distance(A, R, IN, false), 1e-3);
    ck_assert_double_le(distance(B, OUT, R, true), 1e-3);
    training_close(&t);
}
END_TEST

static const char *const orthonormal_starts[] = {"init=orthonormal", "init=orthonormal;k=4", "init=orthonormal;k=16",
                                                 "init=orthonormal;orthogonality=paper",
                                                 "init=orthonormal;orthogonality=paper;k=16"};
enum { NUM_ORTHONORMAL_STARTS = sizeof orthonormal_starts / sizeof *orthonormal_starts };

static float *trained_output(const char *text, const char *backend)
{
    enum { STEPS = 14 };
    const layer_case wide = {.in_features = 64, .out_features = 48, .rank = 8, .tokens = 40, .alpha = 16};
    layer_training t;
    training_open(&t, peft_variant_find("lora2"), wide, text, 1);
    t.backend = backend;
    t.rate = 3e-2;
    training_run(&t, 1, STEPS, STEPS);
    float *y = layer_output(&t.layer, 1);
    training_close(&t);
    return y;
}

/* Two ways of summing end close to each other: at the start the factors' gradient is 0, not what rounding leaves of the
 * penalty's, of which Adam would make steps as large as any. They were up to 3.6 apart, and are 1e-5. */
START_TEST(an_orthonormal_start_does_not_follow_rounding)
{
    enum { COUNT = 40 * 48 };
    float *y = trained_output(orthonormal_starts[_i], NULL),
          *other = trained_output(orthonormal_starts[_i], "portable");
    ck_assert_double_le(largest_difference(y, other, COUNT), 1e-4);
    free(y);
    free(other);
}
END_TEST

/* What counts as 0 is less than can be seen, here of single precision. */
START_TEST(the_slack_hardly_changes_the_penalty)
{
    static const char *const texts[][2] = {{"k=4", "init=orthonormal;k=4"},
                                           {"k=2", "init=orthonormal;k=2"},
                                           {"k=4;orthogonality=paper", "init=orthonormal;k=4;orthogonality=paper"},
                                           {"k=2;orthogonality=paper", "init=orthonormal;k=2;orthogonality=paper"}};
    adapted_layer normal, orthonormal;
    open_lora2(&normal, texts[_i][0]);
    open_lora2(&orthonormal, texts[_i][1]);
    layer_shake(&normal);
    memcpy(orthonormal.all->set.memory, normal.all->set.memory, (size_t)normal.all->set.num_trained * sizeof(float));
    double expected = layer_loss_at(&normal, -1, 0);
    ck_assert_double_eq_tol(layer_loss_at(&orthonormal, -1, 0), expected, 1e-5 * expected);
    layer_check_gradient(&orthonormal);
    layer_close(&normal);
    layer_close(&orthonormal);
}
END_TEST

/* ---- the budget ---- */

START_TEST(the_outer_planes_have_no_scores)
{
    adapted_layer l;
    open_lora2(&l, "k=4");
    ck_assert_int_eq(l.adapter->num_values, VALUES);
    int64_t floats = 0;
    for (int v = STATE; v < VALUES; v++) {
        ck_assert_int_eq(l.adapter->values[v].spec.kind, PEFT_VALUE_STATE);
        floats += count_of(&l, v);
    }
    ck_assert_int_eq(floats, 2 * (R + 2 * R * 4) + R); /* two averages of E, A1 and B1, and who is left */
    layer_close(&l);
}
END_TEST

START_TEST(pruning_leaves_the_target)
{
    layer_training t;
    training_open(&t, peft_variant_find("lora2"), sizes, "k=4;target_rank=2", 1);
    training_run(&t, 1, 20, 20);
    int left = 0;
    for (int j = 0; j < R; j++) left += data_of(&t.layer, E)[j] != 0;
    ck_assert_int_eq(left, 2);
    peft_adapters *smaller;
    ck_assert(!peft_adapters_compact(t.layer.all, &smaller, &error));
    ck_assert_int_eq(smaller->layers[0].rank, 2);
    ck_assert_int_eq(smaller->layers[0].values[A1].spec.shape.size[0], 2);
    ck_assert_int_eq(smaller->layers[0].values[A2].spec.shape.size[0], 4);
    float *expected = layer_output(&t.layer, 1);
    peft_adapter *adapter = t.layer.adapter;
    t.layer.adapter = &smaller->layers[0];
    float *y = layer_output(&t.layer, 1);
    ck_assert_double_le(largest_difference(y, expected, OUTPUTS), 1e-6 * (1 + largest_value(expected, OUTPUTS)));
    t.layer.adapter = adapter;
    free(y);
    free(expected);
    peft_adapters_free(smaller);
    training_close(&t);
}
END_TEST

static void keep_note(void *argument, const char *text)
{
    snprintf(argument, PEFT_MESSAGE_BYTES, "%s", text);
}

START_TEST(a_rank_above_k_is_noted)
{
    static const struct {
        const char *text, *note;
    } notes[] = {{"k=3", ""}, {"k=4", ""}, {"k=2", "lora2: the rank is above k, 2: an update has rank 2 at most"}};
    for (int i = 0; i < 3; i++) {
        char text[PEFT_MESSAGE_BYTES] = "";
        adapted_layer l;
        open_lora2(&l, notes[i].text);
        peft_adapters_notes(l.all, keep_note, text);
        ck_assert_int_eq(*text != '\0', *notes[i].note != '\0');
        ck_assert_ptr_nonnull(strstr(text, notes[i].note));
        peft_adapters_notes(l.all, NULL, NULL);
        layer_close(&l);
    }
}
END_TEST

/* ---- as a plain LoRA ---- */

static const struct {
    const char *text;
    int closed;
    int64_t rank;
} exports[] = {{"k=4", 0, 3}, {"k=4", 1, 2}, {"k=2", 0, 2}, {"k=2", 1, 2}, {"k=2", 2, 1}, {"k=4", 3, 0}};

START_TEST(the_smaller_rank_is_exported)
{
    adapted_layer l;
    peft_lora_factors factors;
    open_lora2(&l, exports[_i].text);
    layer_shake(&l);
    memset(data_of(&l, E), 0, (size_t)exports[_i].closed * sizeof(float));
    ck_assert(!peft_adapter_to_lora(l.adapter, &factors, &error));
    ck_assert_int_eq(factors.rank, exports[_i].rank);
    ck_assert_double_eq(factors.scaling, l.adapter->scaling);
    float *expected = layer_output(&l, 1);
    ck_assert(!peft_adapter_merge(l.adapter, l.weight_data, l.bias_data, &error));
    l.adapter = NULL;
    float *y = layer_output(&l, 1);
    ck_assert_double_le(largest_difference(y, expected, OUTPUTS), 1e-5 * (1 + largest_value(expected, OUTPUTS)));
    free(y);
    free(expected);
    free(factors.A);
    free(factors.B);
    layer_close(&l);
}
END_TEST

START_TEST(exporting_survives_a_failing_allocator)
{
    static const char *const texts[] = {"k=4", "k=2"};
    for (int i = 0; i < 2; i++) {
        adapted_layer l;
        open_lora2(&l, texts[i]);
        layer_shake(&l);
        bool failed = true;
        for (int64_t call = 0; failed; call++) {
            peft_lora_factors factors;
            fail_allocation(call);
            peft_status status = peft_adapter_to_lora(l.adapter, &factors, NULL);
            failed = allocation_failed();
            ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
            ck_assert_int_eq(factors.A == NULL, failed);
            free(factors.A);
            free(factors.B);
        }
        layer_close(&l);
    }
}
END_TEST

/* ---- one for each sequence ---- */

/* Two adapters in [2, ...], one for each sequence, are what each of them alone gives its sequence. */
START_TEST(each_sequence_may_have_its_own_planes)
{
    adapted_layer l;
    peft_graph *g;
    peft_context *ctx;
    float *alone[2], *both[STATE];
    open_lora2(&l, "k=4");
    for (int v = A2; v <= B2; v++) both[v] = malloc(2 * (size_t)count_of(&l, v) * sizeof(float));
    for (int s = 0; s < 2; s++) {
        layer_shake(&l);
        for (int v = A2; v <= B2; v++)
            memcpy(both[v] + s * count_of(&l, v), data_of(&l, v), (size_t)count_of(&l, v) * sizeof(float));
        alone[s] = layer_output(&l, 1);
    }
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    for (int v = A2; v <= B2; v++) {
        const peft_shape *one = &l.adapter->values[v].spec.shape;
        peft_graph_bind(g, &l.adapter->values[v],
                        peft_constant(g, PEFT_F32, peft_shape_3(2, one->size[0], one->size[1]), both[v], "bound"));
    }
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_2(6, IN), l.x, "x");
    peft_tensor *y = peft_graph_keep(g, peft_adapter_forward(g, l.adapter, &l.base, x, &l.batch));
    ck_assert_msg(!peft_graph_status(g, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    const double limit = 1e-5 * (1 + largest_value(alone[1], OUTPUTS));
    ck_assert_double_le(largest_difference(read_values(g, y), alone[0], OUT), limit);
    ck_assert_double_le(largest_difference((const float *)read_values(g, y) + OUT, alone[1] + OUT, OUTPUTS - OUT),
                        limit);
    ck_assert_double_gt(largest_difference((const float *)read_values(g, y) + OUT, alone[0] + OUT, OUTPUTS - OUT),
                        1e-2);
    peft_graph_free(g);
    peft_context_close(ctx);
    for (int v = A2; v <= B2; v++) free(both[v]);
    free(alone[0]);
    free(alone[1]);
    layer_close(&l);
}
END_TEST

TEST_MAIN("lora2", tcase_add_test(tc, identical_inner_planes_are_adalora_to_the_bit);
          tcase_add_test(tc, its_products_are_the_factors_of_lora);
          tcase_add_test(tc, only_E_has_a_gradient_in_the_first_step); tcase_add_test(tc, it_may_start_orthonormal);
          tcase_add_loop_test(tc, the_penalty_is_a_mean_of_its_terms, 0,
                              sizeof zero_penalties / sizeof *zero_penalties);
          tcase_add_test(tc, gradients_of_the_papers_penalty_are_right);
          tcase_add_test(tc, the_penalty_makes_both_sides_orthonormal);
          tcase_add_loop_test(tc, an_orthonormal_start_does_not_follow_rounding, 0, NUM_ORTHONORMAL_STARTS);
          tcase_add_loop_test(tc, the_slack_hardly_changes_the_penalty, 0, 4);
          tcase_add_test(tc, the_outer_planes_have_no_scores); tcase_add_test(tc, pruning_leaves_the_target);
          tcase_add_test(tc, a_rank_above_k_is_noted);
          tcase_add_loop_test(tc, the_smaller_rank_is_exported, 0, sizeof exports / sizeof *exports);
          tcase_add_test(tc, exporting_survives_a_failing_allocator);
          tcase_add_test(tc, each_sequence_may_have_its_own_planes))
