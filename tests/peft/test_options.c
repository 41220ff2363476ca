/* Tests of the options that the public header describes by tables: an init leaves no field half set. */
#include "peft/peft.h"
#include <stddef.h>
#include <string.h>

#include "tests/support/main.h"

static const struct {
    const peft_option *table;
    size_t bytes;
} structs[] = {
    {peft_train_option_table, sizeof(peft_train_options)},
    {peft_data_option_table, sizeof(peft_data_options)},
    {peft_target_option_table, sizeof(peft_target_options)},
};

static size_t field_bytes(const peft_option *option)
{
    static const size_t bytes[] = {[PEFT_OPTION_INT] = sizeof(int64_t),
                                   [PEFT_OPTION_FLOAT] = sizeof(double),
                                   [PEFT_OPTION_BOOL] = sizeof(bool),
                                   [PEFT_OPTION_STRING] = sizeof(char *),
                                   [PEFT_OPTION_JSON] = sizeof(json_t *)};
    return bytes[option->type];
}

enum { MOST = 4096 };

static void mark_fields(const peft_option *table, bool covered[MOST])
{
    memset(covered, false, MOST);
    for (const peft_option *option = table; option->name; option++)
        memset(covered + option->offset, true, field_bytes(option));
}

/* What no field of the table covers is what aligns the next one. */
START_TEST(a_table_covers_its_struct)
{
    bool covered[MOST];
    mark_fields(structs[_i].table, covered);
    for (size_t at = 0; at < structs[_i].bytes; at++) {
        size_t gap = 0;
        while (at + gap < structs[_i].bytes && !covered[at + gap]) gap++;
        ck_assert_msg(gap == 0 || (gap < sizeof(int64_t) && (at + gap) % sizeof(int64_t) == 0),
                      "no option for bytes %zu to %zu", at, at + gap);
        at += gap;
    }
}
END_TEST

/* Structs that variants share have fields that one of them leaves out of its table: they are 0. */
START_TEST(options_of_a_variant_are_set_whatever_stood_there)
{
    bool covered[MOST];
    unsigned char _Alignas(max_align_t) values[MOST];
    for (size_t k = 0; peft_variant_at(k); k++) {
        const peft_variant *variant = peft_variant_at(k);
        ck_assert_uint_le(variant->options_bytes, MOST);
        mark_fields(variant->options, covered);
        memset(values, 0xFF, sizeof values);
        ck_assert(!peft_variant_options_init(variant, values, NULL));
        for (size_t at = 0; at < variant->options_bytes; at++)
            ck_assert_msg(covered[at] || values[at] == 0, "%s: byte %zu", variant->name, at);
        ck_assert_uint_eq(values[variant->options_bytes], 0xFF);
        peft_options_free(variant->options, values);
    }
}
END_TEST

START_TEST(an_adapter_config_is_set_whatever_stood_there)
{
    peft_adapter_config config;
    peft_error error = {0};
    memset(&config, 0xFF, sizeof config);
    ck_assert(!peft_adapter_config_init(&config, peft_variant_find("lora"), &error));
    peft_adapter_config_free(&config);
}
END_TEST

START_TEST(a_job_without_its_parts_is_refused)
{
    const peft_train_job nothing = {.model = "x"};
    json_t *summary;
    peft_error error = {0};
    ck_assert_int_eq(peft_train(&nothing, &summary, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "train: model, output, train, data and targets must be set");
}
END_TEST

TEST_MAIN("options", tcase_add_loop_test(tc, a_table_covers_its_struct, 0, sizeof structs / sizeof structs[0]);
          tcase_add_test(tc, options_of_a_variant_are_set_whatever_stood_there);
          tcase_add_test(tc, an_adapter_config_is_set_whatever_stood_there);
          tcase_add_test(tc, a_job_without_its_parts_is_refused))
