/* Adapters of every variant from tensors in memory. */
#include "variants/tensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/variants/adapted_layer.h"

enum { MAX_TENSORS = 2 * PEFT_MAX_VALUES };

static const layer_case sizes = {.in_features = 7, .out_features = 5, .rank = 3, .tokens = 11, .alpha = 2.5};

static peft_error error;
static adapted_layer source, target; /* of one variant; the source's values were moved */
static peft_adapter_list list;       /* of the source */
static peft_named_tensor tensors[MAX_TENSORS];

static int num_variants(void)
{
    int count = 0;
    while (peft_variant_at((size_t)count)) count++;
    return count;
}

static void open_both(const peft_variant *variant)
{
    layer_open(&source, variant, sizes, NULL);
    layer_open(&target, variant, sizes, NULL);
    layer_shake(&source);
    ck_assert_msg(!peft_adapters_list(source.all, &list, &error), "%s", error.message);
    ck_assert_int_le(list.count, MAX_TENSORS);
    for (int64_t i = 0; i < list.count; i++) /* in another order */
        tensors[list.count - 1 - i] =
            (peft_named_tensor){list.items[i].name, list.items[i].value->spec.shape, list.items[i].value->data};
}

static void close_both(void)
{
    peft_adapter_list_free(&list);
    layer_close(&source);
    layer_close(&target);
}

static size_t memory_bytes(const peft_adapters *all)
{
    return (size_t)all->num_trained * sizeof(float);
}

START_TEST(set_tensors_make_the_same_adapter_in_place)
{
    open_both(peft_variant_at((size_t)_i));
    const float *memory = target.all->memory, *first = target.adapter->values[0].data;
    ck_assert_msg(!peft_adapters_set(target.all, tensors, (size_t)list.count, &error), "%s", error.message);
    float *expected = layer_output(&source, 1), *found = layer_output(&target, 1);
    ck_assert_mem_eq(found, expected, (size_t)(sizes.tokens * sizes.out_features) * sizeof(float));
    ck_assert_ptr_eq(target.all->memory, memory);
    ck_assert_ptr_eq(target.adapter->values[0].data, first);
    free(expected);
    free(found);
    close_both();
}
END_TEST

START_TEST(the_list_has_what_is_trained_and_names_it)
{
    open_both(peft_variant_at((size_t)_i));
    int64_t trained = 0;
    for (int64_t i = 0; i < list.count; i++) {
        const peft_adapter_item *item = &list.items[i];
        const char *value = item->value->spec.name;
        size_t length = strlen(item->module);
        ck_assert_str_eq(item->module, item->value->spec.scope == PEFT_SCOPE_MODEL ? "" : source.adapter->module);
        ck_assert(strncmp(item->name, item->module, length) == 0);
        ck_assert_str_eq(item->name + length + (length > 0), value);
        ck_assert_int_ne(item->value->spec.kind, PEFT_VALUE_STATE);
        if (item->value->gradient) trained += peft_shape_count(&item->value->spec.shape);
    }
    ck_assert_int_eq(trained, source.all->num_trained);
    close_both();
}
END_TEST

/* ---- refusals ---- */

static void refuses(size_t count, peft_status status, const char *message, const char *name)
{
    size_t bytes = memory_bytes(target.all);
    float *before = memcpy(malloc(bytes), target.all->memory, bytes);
    ck_assert_int_eq(peft_adapters_set(target.all, tensors, count, &error), status);
    ck_assert_msg(strstr(error.message, message) && strstr(error.message, name), "%s", error.message);
    ck_assert_mem_eq(target.all->memory, before, bytes);
    free(before);
}

START_TEST(what_does_not_fit_is_refused_by_name_and_changes_nothing)
{
    char other[128];
    open_both(peft_variant_at((size_t)_i));
    size_t count = (size_t)list.count, last = count - 1;
    const peft_named_tensor right = tensors[last];
    int64_t elements = peft_shape_count(&right.shape);
    float *broken = memcpy(malloc((size_t)elements * sizeof *broken), right.data, (size_t)elements * sizeof *broken);

    refuses(last, PEFT_ERR_ARGUMENT, "this tensor is missing", right.name);
    snprintf(other, sizeof other, "%sx", right.name);
    tensors[last].name = other;
    refuses(count, PEFT_ERR_ARGUMENT, "unknown; did you mean", right.name);
    tensors[last] = right;
    tensors[count] = right;
    refuses(count + 1, PEFT_ERR_ARGUMENT, "this tensor comes twice", right.name);
    tensors[last].shape.size[0]++;
    refuses(count, PEFT_ERR_SHAPE, "expected [", right.name);
    tensors[last] = right;
    broken[elements - 1] = NAN;
    tensors[last].data = broken;
    refuses(count, PEFT_ERR_NUMERIC, "is nan", right.name);
    free(broken);
    close_both();
}
END_TEST

START_TEST(every_failing_allocation_is_reported)
{
    open_both(peft_variant_find("adalora"));
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        fail_allocation(call);
        peft_status status = peft_adapters_set(target.all, tensors, (size_t)list.count, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert_int_eq(memcmp(source.all->memory, target.all->memory, memory_bytes(source.all)) == 0, !failed);
    }
    close_both();
}
END_TEST

TEST_MAIN("tensors", int n = num_variants(); tcase_add_loop_test(tc, set_tensors_make_the_same_adapter_in_place, 0, n);
          tcase_add_loop_test(tc, the_list_has_what_is_trained_and_names_it, 0, n);
          tcase_add_loop_test(tc, what_does_not_fit_is_refused_by_name_and_changes_nothing, 0, n);
          tcase_add_test(tc, every_failing_allocation_is_reported))
