/* Tests of io/option.c: what is written in a table is what flags and JSON can set, and nothing else. */
#include "io/option.h"
#include "tests/support/failing_alloc.h"

#include <check.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    int64_t rank, steps, offset;
    double dropout, rate, alpha;
    bool bias;
    char *schedule, *output;
    json_t *modules;
} settings;

static const char *const schedules[] = {"linear", "cosine", "constant", NULL};

static const peft_option table[] = {
    {.name = "rank", .type = PEFT_OPTION_INT, .offset = offsetof(settings, rank), .initial = "8", .min = 1, .max = 64},
    {.name = "steps", .type = PEFT_OPTION_INT, .offset = offsetof(settings, steps), .min = 0, .max = HUGE_VAL},
    {.name = "offset", .type = PEFT_OPTION_INT, .offset = offsetof(settings, offset)},
    {.name = "dropout", .type = PEFT_OPTION_FLOAT, .offset = offsetof(settings, dropout), .min = 0, .max = 0.5},
    {.name = "learning_rate",
     .elsewhere = "lr",
     .type = PEFT_OPTION_FLOAT,
     .offset = offsetof(settings, rate),
     .initial = "1e-4",
     .min = DBL_MIN,
     .max = HUGE_VAL},
    {.name = "alpha", .type = PEFT_OPTION_FLOAT, .offset = offsetof(settings, alpha), .min = -HUGE_VAL, .max = 9},
    {.name = "bias", .type = PEFT_OPTION_BOOL, .offset = offsetof(settings, bias), .initial = "true"},
    {.name = "schedule",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(settings, schedule),
     .initial = "linear",
     .choices = schedules},
    {.name = "output", .type = PEFT_OPTION_STRING, .offset = offsetof(settings, output)},
    {.name = "target_modules", .type = PEFT_OPTION_JSON, .offset = offsetof(settings, modules), .names = true},
    {0}};

static settings values;
static peft_error error;

static void setup(void)
{
    memset(&error, 0, sizeof error);
    ck_assert_int_eq(peft_options_init(table, &values, &error), PEFT_OK);
}

static void teardown(void)
{
    peft_options_free(table, &values);
}

static peft_status set(const char *name, const char *text)
{
    return peft_options_set_text(table, &values, name, text, &error);
}

static void refused(const char *name, const char *text, const char *message)
{
    ck_assert_int_eq(set(name, text), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, message);
}

static void check_json(const json_t *found, const char *expected)
{
    json_t *wanted = json_loads(expected, JSON_DECODE_ANY, NULL);
    char *text = json_dumps(found, JSON_ENCODE_ANY);
    ck_assert_ptr_nonnull(wanted);
    ck_assert_msg(json_equal(wanted, found), "expected %s, found %s", expected, text);
    free(text);
    json_decref(wanted);
}

START_TEST(fields_start_at_their_defaults)
{
    ck_assert_int_eq(values.rank, 8);
    ck_assert_int_eq(values.steps, 0);
    ck_assert_double_eq(values.rate, 1e-4);
    ck_assert(values.bias);
    ck_assert_str_eq(values.schedule, "linear");
    ck_assert_ptr_null(values.output);
    ck_assert_ptr_null(values.modules);
}
END_TEST

START_TEST(a_default_that_its_table_forbids_is_an_error)
{
    static const peft_option wrong[] = {
        {.name = "output", .type = PEFT_OPTION_STRING, .offset = offsetof(settings, output), .initial = "x"},
        {.name = "rank",
         .type = PEFT_OPTION_INT,
         .offset = offsetof(settings, rank),
         .initial = "0",
         .min = 1,
         .max = 2},
        {0}};
    settings other;
    ck_assert_int_eq(peft_options_init(wrong, &other, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_null(other.output);
}
END_TEST

START_TEST(flags_set_every_type)
{
    ck_assert_int_eq(set("rank", "64"), PEFT_OK);
    ck_assert_int_eq(set("offset", "-9223372036854775808"), PEFT_OK);
    ck_assert_int_eq(set("learning_rate", ".5e-3"), PEFT_OK);
    ck_assert_int_eq(set("bias", "false"), PEFT_OK);
    ck_assert_int_eq(set("schedule", "cosine"), PEFT_OK);
    ck_assert_int_eq(set("output", ""), PEFT_OK);
    ck_assert_int_eq(values.rank, 64);
    ck_assert_int_eq(values.offset, INT64_MIN);
    ck_assert_double_eq(values.rate, 0.5e-3);
    ck_assert(!values.bias);
    ck_assert_str_eq(values.schedule, "cosine");
    ck_assert_str_eq(values.output, "");
}
END_TEST

START_TEST(numbers_are_read_strictly)
{
    static const char *const no_integers[] = {"", " 8", "8 ", "8.0", "0x8", "1e1", "eight", "-", "9223372036854775808"};
    static const char *const no_numbers[] = {"", " 1", "1 ", "nan", "inf", "0x1p3", "1,5", "1e999", "1e", "--1"};
    for (size_t i = 0; i < sizeof no_integers / sizeof *no_integers; i++)
        ck_assert_msg(set("offset", no_integers[i]) == PEFT_ERR_ARGUMENT, "'%s' was taken", no_integers[i]);
    for (size_t i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++)
        ck_assert_msg(set("alpha", no_numbers[i]) == PEFT_ERR_ARGUMENT, "'%s' was taken", no_numbers[i]);
    ck_assert_int_eq(values.offset, 0);
    ck_assert_double_eq(values.alpha, 0.0);
}
END_TEST

START_TEST(the_decimal_sign_is_a_point_in_every_locale)
{
    static const char *const comma_locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
    for (size_t i = 0; i < sizeof comma_locales / sizeof *comma_locales; i++) (void)setlocale(LC_ALL, comma_locales[i]);
    ck_assert_int_eq(set("dropout", "0.25"), PEFT_OK);
    ck_assert_double_eq(values.dropout, 0.25);
    setlocale(LC_ALL, "C");
}
END_TEST

START_TEST(errors_say_flag_expectation_and_finding)
{
    refused("rank", "0", "--rank: expected an integer from 1 to 64, found \"0\"");
    refused("rank", "x", "--rank: expected an integer from 1 to 64, found \"x\"");
    refused("steps", "-1", "--steps: expected an integer at least 0, found \"-1\"");
    refused("learning_rate", "0", "--learning-rate: expected a number above 0, found \"0\"");
    refused("dropout", "0.6", "--dropout: expected a number from 0 to 0.5, found \"0.6\"");
    refused("alpha", "10", "--alpha: expected a number at most 9, found \"10\"");
    refused("bias", "yes", "--bias: expected true or false, found \"yes\"");
    refused("schedule", "cosin",
            "--schedule: expected one of linear, cosine, constant, found \"cosin\"; did you mean \"cosine\"?");
    refused("schedule", "zzzzzz", "--schedule: expected one of linear, cosine, constant, found \"zzzzzz\"");
    refused("target_module", "q", "--target-module: there is no such setting; did you mean --target-modules?");
    refused("zzzzzzzz", "q", "--zzzzzzzz: there is no such setting");
    refused("output", "a\xff", "--output: the value is not valid UTF-8");
    ck_assert_int_eq(values.rank, 8);
    ck_assert_str_eq(values.schedule, "linear");
}
END_TEST

START_TEST(a_choice_may_stand_for_words_with_a_number)
{
    ck_assert(peft_option_is_choice("linear", "linear"));
    ck_assert(peft_option_is_choice("steps_N", "steps_4"));
    ck_assert(peft_option_is_choice("steps_N", "steps_9999"));
    static const char *const others[] = {"steps_N", "steps_", "steps_10000", "steps_-1", "steps_1x", "step_1", "steps"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!peft_option_is_choice("steps_N", others[i]), "%s", others[i]);
    ck_assert(!peft_option_is_choice("_linear", "linear"));
}
END_TEST

START_TEST(json_fields_take_json_lists_and_words)
{
    static const char *const cases[][2] = {
        {"[\"q\", 1]", "[\"q\", 1]"},
        {"0.5", "0.5"},
        {"\"a,b\"", "\"a,b\""},
        {"{\"a\": 1}", "{\"a\": 1}"},
        {"0,1,2", "[0, 1, 2]"},
        {"1e-3,5e-4", "[0.001, 0.0005]"},
        {"query,value", "[\"query\", \"value\"]"},
        {"mlp.down_proj", "[\"mlp.down_proj\"]"},
        {"all-linear", "\"all-linear\""},
        {"[qkv]_proj", "\"[qkv]_proj\""},
        {".*\\.(query|value)", "\".*\\\\.(query|value)\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(set("target_modules", cases[i][0]), PEFT_OK);
        check_json(values.modules, cases[i][1]);
    }
    ck_assert_int_eq(set("target_modules", "a,,b"), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(set("target_modules", "a,"), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(set("target_modules", ""), PEFT_ERR_ARGUMENT);
    check_json(values.modules, "\".*\\\\.(query|value)\"");
    ck_assert_int_eq(set("target_modules", "null"), PEFT_OK);
    ck_assert_ptr_null(values.modules);
}
END_TEST

/* Each pair: a value, and the message it is refused with, or NULL where it is taken. */
START_TEST(json_types_must_agree)
{
    static const struct {
        const char *name, *value, *message;
    } cases[] = {
        {"rank", "3", NULL},
        {"rank", "3.0", "rank: expected an integer from 1 to 64, found 3.0"},
        {"rank", "\"3\"", "rank: expected an integer from 1 to 64, found \"3\""},
        {"rank", "65", "rank: expected an integer from 1 to 64, found 65"},
        {"rank", "null", "rank: expected an integer from 1 to 64, found null"},
        {"alpha", "3", NULL},
        {"alpha", "[]", "alpha: expected a number at most 9, found a list of 0"},
        {"bias", "false", NULL},
        {"bias", "0", "bias: expected true or false, found 0"},
        {"schedule", "\"constant\"", NULL},
        {"schedule", "true", "schedule: expected one of linear, cosine, constant, found true"},
        {"output", "null", NULL},
        {"target_modules", "[\"a\", {}]", NULL},
        {"target_modules", "null", NULL},
        {"ranc", "1", "ranc: there is no such setting; did you mean rank?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);
        peft_status status = peft_options_set_json(table, &values, cases[i].name, value, &error);
        json_decref(value);
        ck_assert_int_eq(status, cases[i].message ? PEFT_ERR_ARGUMENT : PEFT_OK);
        if (cases[i].message) ck_assert_str_eq(error.message, cases[i].message);
    }
    ck_assert_int_eq(values.rank, 3);
}
END_TEST

START_TEST(a_struct_survives_the_way_through_json)
{
    settings other;
    ck_assert_int_eq(set("target_modules", "query,value"), PEFT_OK);
    ck_assert_int_eq(set("learning_rate", "0.1"), PEFT_OK);
    json_t *object = peft_options_to_json(table, &values);
    check_json(object, "{\"rank\": 8, \"steps\": 0, \"offset\": 0, \"dropout\": 0.0, \"learning_rate\": 0.1, "
                       "\"alpha\": 0.0, \"bias\": true, \"schedule\": \"linear\", \"output\": null, "
                       "\"target_modules\": [\"query\", \"value\"]}");
    ck_assert_int_eq(peft_options_init(table, &other, NULL), PEFT_OK);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
        ck_assert_int_eq(peft_options_set_json(table, &other, key, value, NULL), PEFT_OK);
    json_t *again = peft_options_to_json(table, &other);
    ck_assert(json_equal(object, again));
    json_decref(again);
    json_decref(object);
    peft_options_free(table, &other);
}
END_TEST

START_TEST(a_shared_name_is_set_in_every_struct_that_has_it)
{
    static const peft_option more[] = {{.name = "rank", .type = PEFT_OPTION_INT, .offset = offsetof(settings, rank)},
                                       {.name = "top_k", .type = PEFT_OPTION_INT, .offset = offsetof(settings, steps)},
                                       {0}};
    settings second = {0};
    const peft_option_set sets[] = {{table, &values}, {more, &second}}, *owner;
    ck_assert_int_eq(peft_option_sets_set_text(sets, 2, "rank", "5", &error), PEFT_OK);
    ck_assert_int_eq(values.rank, 5);
    ck_assert_int_eq(second.rank, 5);
    ck_assert_ptr_eq(peft_option_sets_find(sets, 2, "top_k", &owner), &more[1]);
    ck_assert_ptr_eq(owner, &sets[1]);
    ck_assert_ptr_null(peft_option_sets_find(sets, 2, "top_p", NULL));
    ck_assert_str_eq(peft_option_sets_nearest(sets, 2, "topk"), "top_k");
    ck_assert_str_eq(peft_option_sets_nearest(sets, 2, "ran"), "rank");
    ck_assert_str_eq(peft_option_sets_nearest(sets, 2, "lr"), "learning_rate");
    ck_assert_ptr_null(peft_option_sets_nearest(sets, 2, "zzzzzzzz"));
    json_t *object = peft_option_sets_to_json(sets, 2);
    ck_assert_uint_eq(json_object_size(object), 11);
    json_decref(object);
}
END_TEST

static peft_status fill_and_dump(void)
{
    settings other;
    json_t *list = NULL, *object = NULL;
    peft_status status = peft_options_init(table, &other, NULL);
    if (status != PEFT_OK) return status;
    status = peft_options_set_text(table, &other, "target_modules", "0,query", NULL);
    if (status == PEFT_OK) status = peft_options_set_text(table, &other, "output", "folder", NULL);
    if (status == PEFT_OK && !(list = json_pack("[s, s]", "a", "b"))) status = PEFT_ERR_MEMORY;
    if (status == PEFT_OK) status = peft_options_set_json(table, &other, "target_modules", list, NULL);
    if (status == PEFT_OK && !(object = peft_options_to_json(table, &other))) status = PEFT_ERR_MEMORY;
    json_decref(object);
    json_decref(list);
    peft_options_free(table, &other);
    return status;
}

START_TEST(running_out_of_memory_is_reported_and_leaks_nothing)
{
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        fail_allocation(call);
        peft_status status = fill_and_dump();
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("option");
    TCase *tcase = tcase_create("option");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, fields_start_at_their_defaults);
    tcase_add_test(tcase, a_default_that_its_table_forbids_is_an_error);
    tcase_add_test(tcase, flags_set_every_type);
    tcase_add_test(tcase, numbers_are_read_strictly);
    tcase_add_test(tcase, the_decimal_sign_is_a_point_in_every_locale);
    tcase_add_test(tcase, errors_say_flag_expectation_and_finding);
    tcase_add_test(tcase, a_choice_may_stand_for_words_with_a_number);
    tcase_add_test(tcase, json_fields_take_json_lists_and_words);
    tcase_add_test(tcase, json_types_must_agree);
    tcase_add_test(tcase, a_struct_survives_the_way_through_json);
    tcase_add_test(tcase, a_shared_name_is_set_in_every_struct_that_has_it);
    tcase_add_test(tcase, running_out_of_memory_is_reported_and_leaks_nothing);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures != 0;
}
