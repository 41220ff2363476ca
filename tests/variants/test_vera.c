/* VeRA's projections: drawn as PEFT draws them, shared by layers of all sizes, saved or not. */
#include <math.h>
#include <string.h>

#include "tests/support/main.h"
#include "tests/variants/adapted_layer.h"

enum { LAMBDA_B, LAMBDA_D }; /* values of a layer */
enum { A, B };               /* and of the model */

static const peft_layer layers[] = {{"a.query", 7, 5}, {"a.dense", 4, 8}};
enum { NUM_LAYERS = sizeof layers / sizeof *layers, RANK = 3, WIDEST_IN = 7, WIDEST_OUT = 8 };

static peft_adapters *create(const char *option, const char *value)
{
    const peft_variant *vera = peft_variant_find("vera");
    peft_adapters *all;
    peft_error error = {0};
    void *options = calloc(1, vera->options_bytes);
    ck_assert(!peft_options_init(vera->options, options, NULL));
    ck_assert(!peft_options_set_text(vera->options, options, "rank", "3", NULL));
    ck_assert(!peft_options_set_text(vera->options, options, "projection_prng_key", "7", NULL));
    if (option) ck_assert(!peft_options_set_text(vera->options, options, option, value, NULL));
    ck_assert_msg(!peft_adapters_create(&all, vera, options, layers, NUM_LAYERS, 1, &error), "%s", error.message);
    peft_options_free(vera->options, options);
    free(options);
    return all;
}

/* peft 0.21.2, torch 2.15: _kaiming_init of (3, 7) and (8, 3) with one generator of seed 7 */
START_TEST(projections_are_those_of_peft)
{
    peft_adapters *all = create(NULL, NULL);
    const float *a = all->values[A].data, *b = all->values[B].data;
    ck_assert_int_eq(peft_shape_count(&all->values[A].spec.shape), RANK * WIDEST_IN);
    ck_assert_int_eq(peft_shape_count(&all->values[B].spec.shape), WIDEST_OUT * RANK);
    ck_assert(a[0] == 0x1.08dd18p-4F && a[RANK * WIDEST_IN - 1] == 0x1.6afbb2p-1F);
    ck_assert(b[0] == -0x1.f6f512p-3F && b[WIDEST_OUT * RANK - 1] == 0x1.4b4b02p+0F);
    peft_adapters_free(all);
}
END_TEST

START_TEST(projections_are_saved_or_kept_to_oneself)
{
    peft_adapters *saved = create(NULL, NULL), *own = create("save_projection", "false");
    ck_assert_int_eq(saved->values[A].spec.kind, PEFT_VALUE_FROZEN);
    ck_assert_int_eq(own->values[B].spec.kind, PEFT_VALUE_STATE);
    for (int v = A; v <= B; v++) {
        size_t bytes = (size_t)peft_shape_count(&saved->values[v].spec.shape) * sizeof(float);
        ck_assert_mem_eq(saved->values[v].data, own->values[v].data, bytes);
    }
    ck_assert_int_eq(saved->set.num_trained, 5 + 3 + 8 + 3);
    peft_adapters_free(saved);
    peft_adapters_free(own);
}
END_TEST

START_TEST(the_inner_factors_start_at_their_option)
{
    peft_adapters *all = create("d_initial", "0.25");
    for (int k = 0; k < NUM_LAYERS; k++)
        for (int r = 0; r < RANK; r++) ck_assert(all->layers[k].values[LAMBDA_D].data[r] == 0.25F);
    peft_adapters_free(all);
}
END_TEST

/* y = W x + b + l_b * B (l_d * (A x)) with the first columns of A and the first rows of B */
START_TEST(each_layer_uses_its_part)
{
    for (int k = 0; k < NUM_LAYERS; k++) {
        peft_adapters *all = create(NULL, NULL);
        adapted_layer l;
        int64_t in = layers[k].in_features, out = layers[k].out_features;
        layer_open(&l, peft_variant_find("vera"),
                   (layer_case){.in_features = in, .out_features = out, .rank = RANK, .tokens = 4}, NULL);
        peft_adapter *alone = l.adapter, *shared = &all->layers[k];
        for (int o = 0; o < out; o++) shared->values[LAMBDA_B].data[o] = 0.5F - 0.1F * (float)o;
        l.adapter = NULL;
        float *base = layer_output(&l, 1);
        l.adapter = shared;
        float *y = layer_output(&l, 1);
        for (int t = 0; t < 4; t++)
            for (int o = 0; o < out; o++) {
                double update = 0;
                for (int r = 0; r < RANK; r++)
                    for (int i = 0; i < in; i++)
                        update += (double)all->values[B].data[o * RANK + r] * (double)0.1F *
                                  (double)all->values[A].data[r * WIDEST_IN + i] * (double)l.x[t * in + i];
                double expected = (double)base[t * out + o] + (0.5 - 0.1 * o) * update;
                ck_assert_double_eq_tol((double)y[t * out + o], expected, 1e-5);
            }
        ck_assert(!peft_adapter_merge(shared, l.weight_data, l.bias_data, NULL));
        l.adapter = NULL;
        float *merged = layer_output(&l, 1);
        ck_assert_double_le(largest_difference(merged, y, 4 * out), 1e-5 * (1 + largest_value(y, 4 * out)));
        l.adapter = alone;
        free(base);
        free(y);
        free(merged);
        layer_close(&l);
        peft_adapters_free(all);
    }
}
END_TEST

TEST_MAIN("vera", tcase_add_test(tc, projections_are_those_of_peft);
          tcase_add_test(tc, projections_are_saved_or_kept_to_oneself);
          tcase_add_test(tc, the_inner_factors_start_at_their_option); tcase_add_test(tc, each_layer_uses_its_part))
