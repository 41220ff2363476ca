/* Ranks handed out by worth: as many as before, to the best, and the rest of an adapter follows. */
#include "variants/redistribute.h"

#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/variants/adapted_layer.h"
#include "variants/lora.h"

static const peft_layer layers[] = {{"a.query", 6, 4}, {"b.query", 6, 4}, {"c.dense", 3, 5}};
enum { NUM_LAYERS = 3, WIDE = 4 + 4 + 3 };

static peft_error error;
static peft_adapters *all, *wide, *shared;

static void make(const char *variant, const char *text)
{
    ck_assert_msg(!adapters_open(&all, peft_variant_find(variant), layers, NUM_LAYERS, text, &error), "%s",
                  error.message);
    ck_assert_msg(!peft_adapters_widen(all, 2, &wide, &error), "%s", error.message);
}

static void teardown(void)
{
    peft_adapters_free(all);
    peft_adapters_free(wide);
    peft_adapters_free(shared);
    all = wide = shared = NULL;
}

START_TEST(widening_stops_at_the_number_of_inputs)
{
    make("lora", "rank=2;alpha=4;rank_pattern={\"b.query\": 5}");
    const int64_t ranks[] = {4, 6, 3};
    for (int l = 0; l < NUM_LAYERS; l++) {
        ck_assert_int_eq(wide->layers[l].rank, ranks[l]);
        ck_assert_double_eq_tol(wide->layers[l].scaling, all->layers[l].scaling, 1e-15);
    }
}
END_TEST

static void share(const double *worth)
{
    ck_assert_msg(!peft_adapters_share_ranks(all, wide, worth, &shared, &error), "%s", error.message);
}

START_TEST(the_best_are_kept)
{
    make("lora", "rank=2;alpha=4");
    for (int l = 0; l < NUM_LAYERS; l++)
        for (int64_t k = 0; k < wide->layers[l].rank * layers[l].in_features; k++)
            wide->layers[l].values[PEFT_LORA_A].data[k] = (float)(100 * l + k);
    /* six in all: four of the second, one of each other */
    share((const double[WIDE]){0.3, 0.1, 0, 0, 0.9, 0.8, 0.7, 0.2, 0.4, 0.15, 0});
    const int64_t ranks[] = {1, 4, 1};
    ck_assert_int_eq(shared->num_layers, NUM_LAYERS);
    for (int l = 0; l < NUM_LAYERS; l++) {
        const peft_adapter *a = &shared->layers[l];
        ck_assert_str_eq(a->module, layers[l].module);
        ck_assert_int_eq(a->rank, ranks[l]);
        ck_assert_double_eq(a->scaling, 2);
        for (int64_t k = 0; k < a->rank * a->in_features; k++)
            ck_assert_double_eq((double)a->values[PEFT_LORA_A].data[k], (double)(100 * l + k));
    }
    ck_assert_int_eq(((const peft_lora_options *)shared->options)->common.rank, 2);
}
END_TEST

START_TEST(of_equal_ones_the_first_count)
{
    make("lora", "rank=1;alpha=4");
    const double equal[] = {0.5, 0.5, 0.5, 0.5, 0.5, 0.5};
    ck_assert_int_eq(wide->layers[0].rank + wide->layers[1].rank + wide->layers[2].rank, 6);
    share(equal);
    ck_assert_int_eq(shared->num_layers, 2); /* the third layer is left out */
    ck_assert_int_eq(shared->layers[0].rank, 2);
    ck_assert_int_eq(shared->layers[1].rank, 1);
    ck_assert_double_eq(shared->layers[0].alpha, 8);
}
END_TEST

/* B [out, r] loses columns; what has no rank in its shape is whole. */
START_TEST(every_value_is_cut_where_the_rank_is)
{
    make("dora", "rank=2;alpha=4");
    peft_adapter *a = &wide->layers[1];
    for (int64_t o = 0; o < 4; o++) {
        for (int64_t j = 0; j < 4; j++) a->values[PEFT_LORA_B].data[o * 4 + j] = (float)(10 * o + j);
        a->values[PEFT_LORA_VALUES].data[o] = (float)o;
    }
    share((const double[WIDE]){0.9, 0.8, 0, 0, 0.7, 0.6, 0.5, 0, 0.4, 0, 0});
    ck_assert_int_eq(shared->layers[1].rank, 3);
    for (int64_t o = 0; o < 4; o++) {
        for (int64_t j = 0; j < 3; j++)
            ck_assert_double_eq((double)shared->layers[1].values[PEFT_LORA_B].data[o * 3 + j], (double)(10 * o + j));
        ck_assert_double_eq((double)shared->layers[1].values[PEFT_LORA_VALUES].data[o], (double)o);
    }
}
END_TEST

START_TEST(failing_allocations_leak_nothing)
{
    const double worth[WIDE] = {0.3, 0.1, 0, 0, 0.9, 0.8, 0.7, 0.2, 0.4, 0.15, 0};
    make("lora", "rank=2;alpha=4");
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_adapters *wider = NULL, *other = NULL;
        fail_allocation(call);
        peft_status status = peft_adapters_widen(all, 2, &wider, NULL);
        if (status == PEFT_OK) status = peft_adapters_share_ranks(all, wider, worth, &other, NULL);
        failed = allocation_failed();
        if (!failed) ck_assert_int_eq(status, PEFT_OK);
        peft_adapters_free(wider);
        peft_adapters_free(other);
    }
}
END_TEST

TEST_MAIN("redistribute", tcase_add_checked_fixture(tc, NULL, teardown);
          tcase_add_test(tc, widening_stops_at_the_number_of_inputs); tcase_add_test(tc, the_best_are_kept);
          tcase_add_test(tc, of_equal_ones_the_first_count); tcase_add_test(tc, every_value_is_cut_where_the_rank_is);
          tcase_add_test(tc, failing_allocations_leak_nothing))
