#include "peft/target.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

/* A model of two layers as names alone. */
static const peft_linear_layer linears[] = {
    {.module = "bert.encoder.layer.0.attention.self.query"},
    {.module = "bert.encoder.layer.0.attention.self.value"},
    {.module = "bert.encoder.layer.0.output.dense"},
    {.module = "bert.encoder.layer.1.attention.self.query"},
    {.module = "bert.encoder.layer.1.attention.self.value"},
    {.module = "bert.encoder.layer.1.output.dense"},
    {.module = "bert.pooler.dense"},
    {.module = "classifier", .output = true},
};
enum { NUM_LINEARS = sizeof linears / sizeof *linears };

static const char *const defaults[] = {"query", "value", NULL};

static peft_error error;

/* `fields` is an object of settings. */
static peft_status find(const char *fields, bool selected[NUM_LINEARS], json_t **report)
{
    peft_target_options options;
    json_t *object = json_loads(fields, 0, NULL);
    ck_assert_msg(object != NULL, "%s", fields);
    ck_assert(!peft_options_init(peft_target_option_table, &options, NULL));
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i))
        ck_assert_msg(!peft_options_set_json(peft_target_option_table, &options, json_object_iter_key(i),
                                             json_object_iter_value(i), &error),
                      "%s", error.message);
    memset(selected, 0, NUM_LINEARS * sizeof *selected);
    peft_status status = peft_targets_find(linears, NUM_LINEARS, defaults, &options, selected, report, &error);
    peft_options_free(peft_target_option_table, &options);
    json_decref(object);
    return status;
}

/* Expected selections: a letter for each of the linears above, x: adapted. They are what PEFT 0.21 chooses. */
static const struct {
    const char *fields, *selected;
} cases[] = {
    {"{}", "xx-xx---"},
    {"{\"target_modules\": null}", "xx-xx---"},
    {"{\"target_modules\": [\"query\"]}", "x--x----"},
    {"{\"target_modules\": [\"dense\"]}", "--x--xx-"},
    {"{\"target_modules\": [\"output.dense\", \"pooler.dense\"]}", "--x--xx-"},
    {"{\"target_modules\": [\"bert.pooler.dense\"]}", "------x-"},
    {"{\"target_modules\": [\"query\", \"classifier\"]}", "x--x---x"},
    {"{\"target_modules\": \"all-linear\"}", "xxxxxxx-"},
    {"{\"target_modules\": \"ALL-LINEAR\"}", "xxxxxxx-"},
    {"{\"target_modules\": \".*\\\\.(query|dense)\"}", "x-xx-xx-"},
    {"{\"target_modules\": \".*query|classifier\"}", "x--x---x"},
    {"{\"target_modules\": \".*\\\\.1\\\\..*\"}", "---xxx--"},
    {"{\"target_modules\": \"all-linear\", \"exclude_modules\": [\"dense\"]}", "xx-xx---"},
    {"{\"target_modules\": \"all-linear\", \"exclude_modules\": \".*layer\\\\.0.*\"}", "---xxxx-"},
    {"{\"exclude_modules\": [], \"target_modules\": [\"value\"]}", "-x--x---"},
    {"{\"target_modules\": [\"dense\", \"classifier\"], \"modules_to_save\": [\"pooler\", \"classifier\"]}",
     "--x--x--"},
    {"{\"target_modules\": [\"query\"], \"modules_to_save\": [\"layer.0\"]}", "---x----"},
    {"{\"layers_to_transform\": 1}", "---xx---"},
    {"{\"target_modules\": [\"query\", \"dense\"], \"layers_to_transform\": [0]}", "x-x-----"},
    {"{\"target_modules\": [\"query\"], \"layers_to_transform\": [1, 0], \"layers_pattern\": \"layer\"}", "x--x----"},
    {"{\"target_modules\": [\"query\"], \"layers_to_transform\": [1], \"layers_pattern\": [\"h\", \"layer\"]}",
     "---x----"},
    {"{\"target_modules\": [\"query\", \"nothing\"], \"allow_unmatched\": true}", "x--x----"},
    {"{\"target_modules\": [\"nothing\"], \"allow_unmatched\": true}", "--------"},
    {"{\"target_modules\": [\"bert.encoder.layer.0.output.dense\", \"query\"], \"layers_to_transform\": [1]}",
     "--xx----"},
};

START_TEST(the_rules_of_peft_decide)
{
    bool selected[NUM_LINEARS];
    ck_assert_msg(!find(cases[_i].fields, selected, NULL), "%s: %s", cases[_i].fields, error.message);
    for (int i = 0; i < NUM_LINEARS; i++)
        ck_assert_msg(selected[i] == (cases[_i].selected[i] == 'x'), "%s: %s", cases[_i].fields, linears[i].module);
}
END_TEST

static const struct {
    const char *fields, *message;
} refused[] = {
    {"{\"target_modules\": [\"query\", \"qeury\"]}",
     "target_modules: \"qeury\" matches none of 8 modules; did you mean \"query\"?"},
    {"{\"target_modules\": [\"q_proj\", \"v_proj\"]}", "Their names end in: query, value, dense, classifier"},
    {"{\"target_modules\": \"query\"}", "target_modules: \"query\" matches none of 8 modules"},
    {"{\"target_modules\": \"all-linear\", \"exclude_modules\": [\"densee\"]}",
     "exclude_modules: \"densee\" matches none of 8 modules; did you mean \"dense\"?"},
    {"{\"target_modules\": \".*(query\"}", "target_modules: pattern \".*(query\": at character 8: missing closing"},
    {"{\"target_modules\": [\"que\"]}", "\"que\" matches none"},
    {"{\"target_modules\": [1]}", "target_modules: expected names in the list, found 1"},
    {"{\"target_modules\": 1}", "target_modules: expected a string or a list of names, found 1"},
    {"{\"target_modules\": {}}", "target_modules: expected a string or a list of names, found an object"},
    {"{\"modules_to_save\": \"classifier\"}", "modules_to_save: expected a list of names, found \"classifier\""},
    {"{\"target_modules\": [\"query\"], \"exclude_modules\": [\"query\"]}", "no layer is left to adapt, of 8"},
    {"{\"target_modules\": []}", "no layer is left to adapt"},
    {"{\"target_modules\": [\"dense\"], \"layers_to_transform\": [1, 7]}",
     "layers_to_transform: no target lies in layer 7"},
    {"{\"target_modules\": [\"dense\"], \"layers_to_transform\": [\"1\"]}",
     "layers_to_transform: expected layers' numbers, found \"1\""},
    {"{\"target_modules\": \".*dense\", \"layers_to_transform\": [1]}", "needs target_modules that is a list"},
    {"{\"layers_pattern\": \"layer\"}", "layers_pattern: needs layers_to_transform"},
    {"{\"layers_to_transform\": [0], \"layers_pattern\": [2]}", "layers_pattern: expected a name or a list of names"},
    {"{\"layers_to_transform\": [0], \"layers_pattern\": \"(\"}", "layers_pattern: pattern"},
};

START_TEST(what_matches_nothing_or_makes_no_sense_is_refused)
{
    bool selected[NUM_LINEARS];
    json_t *report = NULL;
    ck_assert_msg(find(refused[_i].fields, selected, &report) == PEFT_ERR_ARGUMENT, "%s", refused[_i].fields);
    ck_assert_ptr_null(report);
    ck_assert_msg(strstr(error.message, refused[_i].message) != NULL, "%s\nfound: %s", refused[_i].fields,
                  error.message);
}
END_TEST

START_TEST(the_report_tells_what_each_item_matched)
{
    bool selected[NUM_LINEARS];
    json_t *report;
    ck_assert(
        !find("{\"target_modules\": [\"query\", \"classifier\"], \"exclude_modules\": [\"1.attention.self.query\"]}",
              selected, &report));
    json_t *expected =
        json_pack("[{s:s, s:s, s:[s, s]}, {s:s, s:s, s:[s]}, {s:s, s:s, s:[s]}]", "setting", "target_modules",
                  "pattern", "query", "modules", linears[0].module, linears[3].module, "setting", "target_modules",
                  "pattern", "classifier", "modules", linears[7].module, "setting", "exclude_modules", "pattern",
                  "1.attention.self.query", "modules", linears[3].module);
    ck_assert(json_equal(report, expected));
    json_decref(report);
    json_decref(expected);
}
END_TEST

START_TEST(every_failing_allocation_is_reported)
{
    json_t *fields = json_loads("{\"target_modules\": [\"query\", \"dense\"], \"exclude_modules\": \".*pooler.*\","
                                "\"modules_to_save\": [\"classifier\"], \"layers_to_transform\": [1]}",
                                0, NULL);
    peft_target_options options = {.target_modules = json_object_get(fields, "target_modules"),
                                   .exclude_modules = json_object_get(fields, "exclude_modules"),
                                   .modules_to_save = json_object_get(fields, "modules_to_save"),
                                   .layers_to_transform = json_object_get(fields, "layers_to_transform")};
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        bool selected[NUM_LINEARS];
        json_t *report;
        fail_allocation(call);
        peft_status status = peft_targets_find(linears, NUM_LINEARS, defaults, &options, selected, &report, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert_int_eq(report == NULL, failed);
        json_decref(report);
    }
    json_decref(fields);
}
END_TEST

TEST_MAIN("target", tcase_add_loop_test(tc, the_rules_of_peft_decide, 0, sizeof cases / sizeof *cases);
          tcase_add_loop_test(tc, what_matches_nothing_or_makes_no_sense_is_refused, 0,
                              sizeof refused / sizeof *refused);
          tcase_add_test(tc, the_report_tells_what_each_item_matched);
          tcase_add_test(tc, every_failing_allocation_is_reported))
