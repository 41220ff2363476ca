/* LoKr: how sizes are factored, which matrices are products, and the update itself. */
#include <math.h>
#include <string.h>

#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/variants/adapted_layer.h"

enum { MAX_SIZES = 4 };

static layer_case sizes_of(int64_t in, int64_t out, int64_t rank)
{
    return (layer_case){.in_features = in, .out_features = out, .rank = rank, .tokens = 5, .alpha = 3};
}

/* As PEFT 0.21.2 has them; {rows of C, columns of C, rows of D, columns of D}. */
static const struct {
    int64_t in, out;
    const char *option;
    int64_t sizes[MAX_SIZES];
} factored[] = {
    {32, 32, NULL, {4, 4, 8, 8}},
    {256, 128, NULL, {8, 16, 16, 16}},
    {127, 384, NULL, {16, 1, 24, 127}},
    {1, 2, NULL, {1, 1, 2, 1}},
    {128, 64, "decompose_factor=4", {4, 4, 16, 32}},
    {8, 2, "decompose_factor=4", {1, 4, 2, 2}},
    {30, 36, "decompose_factor=7", {6, 5, 6, 6}},
    {30, 36, "decompose_factor=1", {1, 1, 36, 30}},
    {8, 12, "decompose_factor=8", {3, 8, 4, 1}},
    {30, 36, "decompose_factor=0", {1, 1, 36, 30}},
};

START_TEST(sizes_are_factored_as_peft_does)
{
    adapted_layer l;
    layer_open(&l, peft_variant_find("lokr"), sizes_of(factored[_i].in, factored[_i].out, 512), factored[_i].option);
    ck_assert_int_eq(l.adapter->num_values, 2);
    for (int k = 0; k < MAX_SIZES; k++)
        ck_assert_int_eq(l.adapter->values[k / 2].spec.shape.size[k % 2], factored[_i].sizes[k]);
    layer_close(&l);
}
END_TEST

/* Sizes 16 = 4 x 4 and 64 = 8 x 8: D [8, 4] is a product below rank 4, C [8, 4] only where that is asked for. */
static const struct {
    int64_t rank;
    const char *option, *names[5];
} products[] = {
    {4, NULL, {"lokr_w1", "lokr_w2"}},
    {3, NULL, {"lokr_w1", "lokr_w2_a", "lokr_w2_b"}},
    {4, "decompose_both=true", {"lokr_w1", "lokr_w2"}},
    {3, "decompose_both=true", {"lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"}},
    {3, "decompose_both=true;decompose_factor=2", {"lokr_w1", "lokr_w2_a", "lokr_w2_b"}},
    {3, "decompose_both=true;decompose_factor=16", {"lokr_w1_a", "lokr_w1_b", "lokr_w2"}},
};
enum { NUM_PRODUCTS = sizeof products / sizeof *products };

static void open_product(adapted_layer *l, int i)
{
    layer_open(l, peft_variant_find("lokr"), sizes_of(16, 64, products[i].rank), products[i].option);
    layer_shake(l);
}

START_TEST(large_matrices_are_products)
{
    adapted_layer l;
    open_product(&l, _i);
    int32_t v = 0;
    for (; products[_i].names[v]; v++) ck_assert_str_eq(l.adapter->values[v].spec.name, products[_i].names[v]);
    ck_assert_int_eq(l.adapter->num_values, v);
    layer_close(&l);
}
END_TEST

/* The matrix whose (left factor's) name is given, as it is or multiplied out: [*rows, *columns]. */
static double *multiplied_out(const peft_adapter *a, const char *name, int64_t *rows, int64_t *columns)
{
    int32_t v = 0;
    while (strncmp(a->values[v].spec.name, name, strlen(name)) != 0) v++;
    const peft_value *x = &a->values[v], *z = &a->values[v + 1];
    bool product = strstr(x->spec.name, "_a") != NULL;
    *rows = x->spec.shape.size[0];
    *columns = (product ? z : x)->spec.shape.size[1];
    double *m = calloc((size_t)(*rows * *columns), sizeof *m);
    for (int64_t i = 0; i < *rows; i++)
        for (int64_t j = 0; j < *columns; j++)
            if (!product)
                m[i * *columns + j] = (double)x->data[i * *columns + j];
            else
                for (int64_t r = 0; r < a->rank; r++)
                    m[i * *columns + j] += (double)x->data[i * a->rank + r] * (double)z->data[r * *columns + j];
    return m;
}

START_TEST(the_update_is_the_kronecker_product)
{
    adapted_layer l;
    int64_t c_rows, c_columns, d_rows, d_columns;
    open_product(&l, _i);
    double *C = multiplied_out(l.adapter, "lokr_w1", &c_rows, &c_columns);
    double *D = multiplied_out(l.adapter, "lokr_w2", &d_rows, &d_columns);
    float *y = layer_output(&l, 1);
    for (int64_t t = 0; t < l.sizes.tokens; t++)
        for (int64_t o = 0; o < 64; o++) {
            double expected = (double)l.bias_data[o];
            for (int64_t i = 0; i < 16; i++) {
                double update = C[o / d_rows * c_columns + i / d_columns] * D[o % d_rows * d_columns + i % d_columns];
                expected += ((double)l.weight_data[o * 16 + i] + l.adapter->scaling * update) * (double)l.x[t * 16 + i];
            }
            ck_assert_double_eq_tol((double)y[t * 64 + o], expected, 1e-5 * (1 + fabs(expected)));
        }
    free(C);
    free(D);
    free(y);
    layer_close(&l);
}
END_TEST

START_TEST(products_have_right_gradients_and_merge)
{
    adapted_layer l;
    open_product(&l, _i);
    layer_check_gradient(&l);
    float *expected = layer_output(&l, 1);
    ck_assert(!peft_adapter_merge(l.adapter, l.weight_data, l.bias_data, NULL));
    peft_adapter *adapter = l.adapter;
    l.adapter = NULL;
    float *y = layer_output(&l, 1);
    ck_assert_double_le(largest_difference(y, expected, 5 * 64), 1e-5 * (1 + largest_value(expected, 5 * 64)));
    l.adapter = adapter;
    free(expected);
    free(y);
    layer_close(&l);
}
END_TEST

START_TEST(either_matrix_may_start_at_zero)
{
    static const char *const inits[] = {"init=peft;decompose_both=true", "init=lycoris;decompose_both=true"};
    adapted_layer l;
    layer_open(&l, peft_variant_find("lokr"), sizes_of(16, 64, 3), inits[_i]);
    int zero = _i == 0 ? 0 : 3; /* lokr_w1_a or lokr_w2_b */
    for (int v = 0; v < 4; v++) {
        const peft_value *value = &l.adapter->values[v];
        double largest = largest_value(value->data, peft_shape_count(&value->spec.shape));
        double bound = 1 / sqrt((double)value->spec.shape.size[1]);
        ck_assert_int_eq(largest == 0, v == zero);
        ck_assert_double_le(largest, bound);
    }
    adapted_layer base = l;
    base.adapter = NULL;
    float *y = layer_output(&l, 1), *expected = layer_output(&base, 1);
    ck_assert_mem_eq(y, expected, 5 * 64 * sizeof *y);
    free(y);
    free(expected);
    layer_close(&l);
}
END_TEST

START_TEST(exporting_survives_a_failing_allocator)
{
    adapted_layer l;
    open_product(&l, _i);
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_lora_factors factors;
        fail_allocation(call);
        peft_status status = peft_adapter_to_lora(l.adapter, &factors, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        free(factors.A);
        free(factors.B);
    }
    layer_close(&l);
}
END_TEST

TEST_MAIN("lokr", tcase_add_loop_test(tc, sizes_are_factored_as_peft_does, 0, sizeof factored / sizeof *factored);
          tcase_add_loop_test(tc, large_matrices_are_products, 0, NUM_PRODUCTS);
          tcase_add_loop_test(tc, the_update_is_the_kronecker_product, 0, NUM_PRODUCTS);
          tcase_add_loop_test(tc, products_have_right_gradients_and_merge, 0, NUM_PRODUCTS);
          tcase_add_loop_test(tc, either_matrix_may_start_at_zero, 0, 2);
          tcase_add_loop_test(tc, exporting_survives_a_failing_allocator, 0, NUM_PRODUCTS))
