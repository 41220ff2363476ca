/* A table that is not whole is refused with a sentence that names the variant and the entry. */
#include <string.h>

#include "tests/support/main.h"
#include "tests/variants/adapted_layer.h"

/* lora's table, or another's, with one entry damaged. */
static peft_variant damaged;

static const peft_json_name no_such_option[] = {{.option = "lora_r", .json = "r"}, {0}};
static const peft_option far_option[] = {{.name = "far", .type = PEFT_OPTION_INT, .offset = 4096, .initial = "1"}, {0}};

static int64_t fit_size(const peft_adapters *all)
{
    (void)all;
    return 0;
}

#define REMOVE(entry)                                                                                                  \
    static void remove_##entry(void)                                                                                   \
    {                                                                                                                  \
        damaged.entry = 0;                                                                                             \
    }

REMOVE(name)
REMOVE(equation)
REMOVE(source)
REMOVE(summary)
REMOVE(peft_type)
REMOVE(options)
REMOVE(options_bytes)
REMOVE(scaling)
REMOVE(layer_values)
REMOVE(forward)
REMOVE(json_names)
REMOVE(init_from_trace)
REMOVE(trace_wish)
REMOVE(own_format)

static void empty_source(void)
{
    damaged.source = "";
}

static void add_fit_size(void)
{
    damaged.fit_size = fit_size;
}

static void name_no_option(void)
{
    damaged.json_names = no_such_option;
}

static void put_option_far_away(void)
{
    damaged.options = far_option;
    damaged.json_names = (const peft_json_name[]){{0}};
}

static void take_a_type_of_peft(void)
{
    damaged.peft_type = "BOFT";
}

static void take_the_type_of_another(void)
{
    damaged.peft_type = "SORA";
}

static void take_the_flag_of_another(void)
{
    damaged.peft_flag = "use_dora";
}

static const struct {
    const char *variant;
    void (*damage)(void);
    const char *named; /* in the message */
} damages[] = {
    {"lora", remove_name, "a variant: name: "},
    {"lora", remove_equation, "lora: equation: "},
    {"lora", remove_source, "lora: source: "},
    {"lora", empty_source, "lora: source: "},
    {"lora", remove_summary, "lora: summary: "},
    {"lora", remove_peft_type, "lora: peft_type: "},
    {"lora", remove_options, "lora: options: "},
    {"lora", remove_options_bytes, "lora: options_bytes: "},
    {"lora", remove_scaling, "lora: scaling: "},
    {"lora", remove_layer_values, "lora: layer_values: "},
    {"lora", remove_forward, "lora: forward: "},
    {"lora", remove_json_names, "lora: json_names: "},
    {"lora", remove_init_from_trace, "lora: init_from_trace: "},
    {"lora", remove_trace_wish, "lora: trace_wish: "},
    {"lora", add_fit_size, "lora: fit: "},
    {"lora", name_no_option, "lora: lora_r: "},
    {"lora", put_option_far_away, "lora: far: "},
    {"lora", take_the_flag_of_another, "lora: peft_type: "},
    {"mov", remove_own_format, "mov: own_format: "},
    {"mov", take_a_type_of_peft, "mov: own_format: "},
    {"mov", take_the_type_of_another, "mov: peft_type: "},
};
enum { NUM_DAMAGES = sizeof damages / sizeof *damages };

static const peft_layer layer = {"model.layer.0.query", 4, 4};

static void check_refused(const char *named)
{
    peft_adapters *all;
    peft_error error = {0};
    union {
        peft_common_options common;
        char bytes[4096];
    } options = {0};
    ck_assert_int_eq(peft_adapters_create(&all, &damaged, &options, &layer, 1, 1, &error), PEFT_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, named) == error.message, "expected \"%s...\", found \"%s\"", named,
                  error.message);
}

START_TEST(what_is_missing_is_named)
{
    damaged = *peft_variant_find(damages[_i].variant);
    ck_assert(!peft_variant_check(&damaged, NULL));
    damages[_i].damage();
    check_refused(damages[_i].named);
}
END_TEST

/* ---- values ---- */

static int32_t without_role(const peft_adapter *a, peft_value_spec *specs)
{
    specs[0] = (peft_value_spec){.name = "one", .shape = peft_shape_1(a->in_features)};
    return 1;
}

static int32_t twice_the_same(const peft_adapter *a, peft_value_spec *specs)
{
    specs[0] = specs[1] =
        (peft_value_spec){.name = "one", .shape = peft_shape_1(a->in_features), .role = PEFT_ROLE_OTHER};
    return 2;
}

static int32_t none(const peft_adapter *a, peft_value_spec *specs)
{
    (void)a;
    (void)specs;
    return 0;
}

static const struct {
    int32_t (*values)(const peft_adapter *a, peft_value_spec *specs);
    const char *words[3];
} wrong_values[] = {{without_role, {"toy", "model.layer.0.query.one", "role"}},
                    {twice_the_same, {"toy", "model.layer.0.query", "two values called \"one\""}},
                    {none, {"toy", "model.layer.0.query", "no values"}}};
enum { NUM_WRONG_VALUES = sizeof wrong_values / sizeof *wrong_values };

START_TEST(wrong_values_are_named)
{
    peft_adapters *all;
    peft_error error = {0};
    damaged = *peft_variant_find("mov");
    damaged.name = "toy";
    damaged.peft_type = "TOY";
    damaged.layer_values = wrong_values[_i].values;
    ck_assert_int_eq(adapters_open(&all, &damaged, &layer, 1, NULL, &error), PEFT_ERR_ARGUMENT);
    for (int k = 0; k < 3; k++) ck_assert_ptr_nonnull(strstr(error.message, wrong_values[_i].words[k]));
}
END_TEST

TEST_MAIN("variant_check", tcase_add_loop_test(tc, what_is_missing_is_named, 0, NUM_DAMAGES);
          tcase_add_loop_test(tc, wrong_values_are_named, 0, NUM_WRONG_VALUES))
