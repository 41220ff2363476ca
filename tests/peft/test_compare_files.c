/* Tests of item.c and csv.c in peft/cli/compare, and run_log.c in peft/cli/runner: what a comparison reads and writes.
 */
#include "peft/cli/compare/csv.h"
#include "peft/cli/compare/item.h"
#include "peft/cli/runner/run_log.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"

#include <string.h>

typedef struct method_options {
    int64_t rank;
    double alpha;
} method_options;

typedef struct shared_options {
    char *schedule;
    json_t *target_modules;
} shared_options;

static const char *const schedules[] = {"linear", "cosine", NULL};
static const peft_option method_table[] = {
    {.name = "rank",
     .type = PEFT_OPTION_INT,
     .offset = offsetof(method_options, rank),
     .initial = "8",
     .min = 1,
     .max = 64},
    {.name = "alpha", .type = PEFT_OPTION_FLOAT, .offset = offsetof(method_options, alpha), .initial = "16"},
    {0}};
static const peft_option shared_table[] = {
    {.name = "schedule",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(shared_options, schedule),
     .initial = "linear",
     .choices = schedules},
    {.name = "target_modules", .type = PEFT_OPTION_JSON, .offset = offsetof(shared_options, target_modules)},
    {0}};

static method_options method = {.rank = 4, .alpha = 2.0};
static char given[] = "cosine";
static shared_options shared = {.schedule = given};
static const peft_option_set sets[] = {{method_table, &method}, {shared_table, &shared}};

/* ---- items ---- */

static void check_item(const char *text, const char *variant, const char *label, const char *own, const char *all)
{
    peft_error error = {0};
    peft_compare_item item;
    ck_assert_msg(peft_compare_item_parse(&item, text, sets, 2, &error) == PEFT_OK, "%s", error.message);
    ck_assert_str_eq(item.text, text);
    ck_assert_str_eq(item.variant, variant);
    ck_assert_str_eq(item.label, label);
    char *written = json_dumps(item.own, JSON_COMPACT);
    ck_assert_str_eq(written, own);
    free(written);
    written = json_dumps(item.all, JSON_COMPACT);
    ck_assert_str_eq(written, all);
    free(written);
    peft_compare_item_free(&item);
}

START_TEST(an_item_without_options_has_the_values_that_were_given)
{
    check_item("lora", "lora", "lora", "{}",
               "{\"rank\":4,\"alpha\":2.0,\"schedule\":\"cosine\",\"target_modules\":null}");
}
END_TEST

START_TEST(options_of_an_item_go_before_those)
{
    check_item("lora:rank=8:schedule=linear", "lora", "lora-rank-8-schedule-linear",
               "{\"rank\":8,\"schedule\":\"linear\"}",
               "{\"rank\":8,\"alpha\":2.0,\"schedule\":\"linear\",\"target_modules\":null}");
    ck_assert_int_eq(method.rank, 4);
    ck_assert_str_eq(shared.schedule, "cosine");
}
END_TEST

START_TEST(a_flag_with_dashes_is_the_key_and_a_label_is_a_plain_name)
{
    check_item("lora:target-modules=.*\\.(query|value)", "lora", "lora-target-modules-.--.-query-value-",
               "{\"target_modules\":\".*\\\\.(query|value)\"}",
               "{\"rank\":4,\"alpha\":2.0,\"schedule\":\"cosine\",\"target_modules\":\".*\\\\.(query|value)\"}");
}
END_TEST

START_TEST(wrong_options_are_named)
{
    static const struct {
        const char *text, *message;
    } wrong[] = {{"lora:rnak=2", "lora:rnak=2: --rnak: there is no such setting; did you mean --rank?"},
                 {"lora:rank=65", "lora:rank=65: --rank: expected an integer from 1 to 64, found \"65\""},
                 {"lora:schedule=liner", "did you mean \"linear\"?"},
                 {"lora:rank", "lora:rank: \"rank\": expected OPTION=VALUE"},
                 {"lora:=2", "lora:=2: \"=2\": expected OPTION=VALUE"},
                 {"lora:rank=", "--rank: expected an integer"}};
    for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
        peft_error error = {0};
        peft_compare_item item;
        ck_assert_int_eq(peft_compare_item_parse(&item, wrong[k].text, sets, 2, &error), PEFT_ERR_ARGUMENT);
        ck_assert_msg(strstr(error.message, wrong[k].message) != NULL, "%s: %s", wrong[k].text, error.message);
        ck_assert_ptr_null(item.text);
    }
}
END_TEST

START_TEST(an_item_survives_every_way_of_running_out_of_memory)
{
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_compare_item item;
        fail_allocation(call);
        peft_status status = peft_compare_item_parse(&item, "lora:rank=8:schedule=linear", sets, 2, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        peft_compare_item_free(&item);
    }
}
END_TEST

/* ---- CSV ---- */

static void check_csv(const char *rows, const char *expected)
{
    static const char *const columns[] = {"a", "b,c"};
    json_t *array = json_loads(rows, 0, NULL);
    ck_assert_int_eq(peft_csv_save(scratch("out.csv"), columns, 2, array, NULL), PEFT_OK);
    ck_assert(holds(scratch("out.csv"), expected, strlen(expected)));
    json_decref(array);
}

START_TEST(fields_are_quoted_where_they_must_be)
{
    check_csv("[]", "a,\"b,c\"\n");
    check_csv("[{\"a\": \"x y\", \"b,c\": \"x,y\"}, {\"a\": \"say \\\"x\\\"\", \"b,c\": \"two\\nlines\"}]",
              "a,\"b,c\"\nx y,\"x,y\"\n\"say \"\"x\"\"\",\"two\nlines\"\n");
}
END_TEST

START_TEST(numbers_have_the_digits_that_they_need)
{
    check_csv("[{\"a\": 0.1, \"b,c\": 12345678901}, {\"a\": 0.30000000000000004, \"b,c\": 1e-9}]",
              "a,\"b,c\"\n0.1,12345678901\n0.30000000000000004,1e-09\n");
}
END_TEST

START_TEST(what_a_row_lacks_is_an_empty_field)
{
    check_csv("[{\"b,c\": true, \"other\": 1}, {\"a\": null, \"b,c\": false}]", "a,\"b,c\"\n,true\n,false\n");
}
END_TEST

START_TEST(a_file_that_cannot_be_written_is_an_error)
{
    peft_error error = {0};
    static const char *const columns[] = {"a"};
    ck_assert_int_eq(peft_csv_save(scratch("none/out.csv"), columns, 1, NULL, &error), PEFT_ERR_WRITE);
}
END_TEST

/* ---- logs ---- */

static void write_log(const char *text)
{
    scratch_write("log.jsonl", text, strlen(text));
}

START_TEST(the_last_step_is_found_behind_evaluations_and_half_lines)
{
    peft_log_step step;
    ck_assert(!peft_log_last_step(scratch(""), &step));
    write_log("{\"step\":1,\"epoch\":0.5,\"loss\":0.9}\n{\"step\":2,\"epoch\":1.0,\"loss\":0.8}\n"
              "{\"step\":2,\"split\":\"dev\",\"metrics\":{\"accuracy\":0.5}}\n{\"step\":3,\"epo");
    ck_assert(peft_log_last_step(scratch(""), &step));
    ck_assert_int_eq(step.step, 2);
    ck_assert_double_eq(step.epoch, 1.0);
    ck_assert_double_eq(step.loss, 0.8);
}
END_TEST

START_TEST(only_the_end_of_a_long_log_is_read)
{
    enum { LINES = 1000 };
    char text[LINES * 40], *at = text;
    for (int k = 1; k <= LINES; k++) at += sprintf(at, "{\"step\":%d,\"epoch\":1.0,\"loss\":1.0}\n", k);
    write_log(text);
    peft_log_step step;
    ck_assert(peft_log_last_step(scratch(""), &step));
    ck_assert_int_eq(step.step, LINES);
}
END_TEST

START_TEST(scores_are_those_of_one_split)
{
    double last = 0.0, largest = 0.0;
    write_log("{\"step\":1,\"split\":\"held_out\",\"metrics\":{\"f1\":0.5,\"accuracy\":0.9}}\n"
              "{\"step\":1,\"split\":\"dev\",\"metrics\":{\"f1\":0.99}}\n"
              "{\"step\":2,\"split\":\"held_out\",\"metrics\":{\"f1\":0.75}}\n"
              "{\"step\":3,\"split\":\"held_out\",\"metrics\":{\"f1\":0.25}}\n");
    ck_assert(peft_log_scores(scratch(""), "held_out", &last, &largest));
    ck_assert_double_eq(last, 0.25);
    ck_assert_double_eq(largest, 0.75);
    ck_assert(!peft_log_scores(scratch(""), "test", &last, &largest));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("compare_files");
    tcase_add_checked_fixture(tests, scratch_setup, scratch_teardown);
    tcase_add_test(tests, an_item_without_options_has_the_values_that_were_given);
    tcase_add_test(tests, options_of_an_item_go_before_those);
    tcase_add_test(tests, a_flag_with_dashes_is_the_key_and_a_label_is_a_plain_name);
    tcase_add_test(tests, wrong_options_are_named);
    tcase_add_test(tests, an_item_survives_every_way_of_running_out_of_memory);
    tcase_add_test(tests, fields_are_quoted_where_they_must_be);
    tcase_add_test(tests, numbers_have_the_digits_that_they_need);
    tcase_add_test(tests, what_a_row_lacks_is_an_empty_field);
    tcase_add_test(tests, a_file_that_cannot_be_written_is_an_error);
    tcase_add_test(tests, the_last_step_is_found_behind_evaluations_and_half_lines);
    tcase_add_test(tests, only_the_end_of_a_long_log_is_read);
    tcase_add_test(tests, scores_are_those_of_one_split);
    return run_tests(tests);
}
