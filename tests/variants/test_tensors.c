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
static adapted_layer source, target;           /* of one variant; the source's values were moved */
static peft_named_tensor tensors[MAX_TENSORS]; /* of the source, last one first */
static size_t count;

static int num_variants(void)
{
    int variants = 0;
    while (peft_variant_at((size_t)variants)) variants++;
    return variants;
}

static void open_both(const peft_variant *variant)
{
    layer_open(&source, variant, sizes, NULL);
    layer_open(&target, variant, sizes, NULL);
    layer_shake(&source);
    const peft_value_set *set = &source.all->set;
    count = 0;
    for (int64_t i = set->count; i-- > 0;) {
        const peft_value *value = set->items[i].value;
        if (value->spec.kind == PEFT_VALUE_STATE) continue;
        ck_assert_uint_lt(count, MAX_TENSORS);
        tensors[count++] = (peft_named_tensor){set->items[i].name, value->spec.shape, value->data};
    }
}

static void close_both(void)
{
    layer_close(&source);
    layer_close(&target);
}

static size_t memory_bytes(const peft_adapters *all)
{
    return (size_t)all->set.num_trained * sizeof(float);
}

START_TEST(set_tensors_make_the_same_adapter_in_place)
{
    open_both(peft_variant_at((size_t)_i));
    const float *memory = target.all->set.memory, *first = target.adapter->values[0].data;
    ck_assert_msg(!peft_adapters_set(target.all, tensors, count, &error), "%s", error.message);
    float *expected = layer_output(&source, 1), *found = layer_output(&target, 1);
    ck_assert_mem_eq(found, expected, (size_t)(sizes.tokens * sizes.out_features) * sizeof(float));
    ck_assert_ptr_eq(target.all->set.memory, memory);
    ck_assert_ptr_eq(target.adapter->values[0].data, first);
    free(expected);
    free(found);
    close_both();
}
END_TEST

START_TEST(the_set_names_each_value_by_its_module)
{
    open_both(peft_variant_at((size_t)_i));
    const peft_value_set *set = &source.all->set;
    for (int64_t i = 0; i < set->count; i++) {
        const peft_value_item *item = &set->items[i];
        bool of_layer = i < source.adapter->num_values;
        size_t length = strlen(item->module);
        ck_assert_str_eq(item->module, of_layer ? source.adapter->module : "");
        ck_assert(strncmp(item->name, item->module, length) == 0);
        ck_assert_str_eq(item->name + length + (length > 0), item->value->spec.name);
        ck_assert_ptr_eq(peft_value_set_find(set, item->name), item->value);
    }
    ck_assert_ptr_null(peft_value_set_find(set, "another"));
    close_both();
}
END_TEST

/* ---- refusals ---- */

static void refuses(size_t given, peft_status status, const char *message, const char *name)
{
    size_t bytes = memory_bytes(target.all);
    float *before = memcpy(malloc(bytes), target.all->set.memory, bytes);
    ck_assert_int_eq(peft_adapters_set(target.all, tensors, given, &error), status);
    ck_assert_msg(strstr(error.message, message) && strstr(error.message, name), "%s", error.message);
    ck_assert_mem_eq(target.all->set.memory, before, bytes);
    free(before);
}

START_TEST(what_does_not_fit_is_refused_by_name_and_changes_nothing)
{
    char other[128];
    open_both(peft_variant_at((size_t)_i));
    size_t last = count - 1;
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
        peft_status status = peft_adapters_set(target.all, tensors, count, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert_int_eq(memcmp(source.all->set.memory, target.all->set.memory, memory_bytes(source.all)) == 0,
                         !failed);
    }
    close_both();
}
END_TEST

TEST_MAIN("tensors", int n = num_variants(); tcase_add_loop_test(tc, set_tensors_make_the_same_adapter_in_place, 0, n);
          tcase_add_loop_test(tc, the_set_names_each_value_by_its_module, 0, n);
          tcase_add_loop_test(tc, what_does_not_fit_is_refused_by_name_and_changes_nothing, 0, n);
          tcase_add_test(tc, every_failing_allocation_is_reported))
