#include "variants/module_name.h"

#include <string.h>

#include "tests/support/main.h"

static const struct {
    const char *name, *part;
    bool ends, lies;
} cases[] = {
    {"bert.pooler.dense", "dense", true, true},
    {"bert.pooler.dense", "pooler.dense", true, true},
    {"bert.pooler.dense", "bert.pooler.dense", true, true},
    {"bert.pooler.dense", "pooler", false, true},
    {"bert.pooler.dense", "bert", false, true},
    {"bert.pooler.dense", "ense", false, true},
    {"bert.pooler.dense", "pool", false, false},
    {"bert.pooler.dense", "pooler.den", false, false},
    {"dense", "pooler.dense", false, false},
    {"classifier", "classifier", true, true},
    {"classifier.out_proj", "classifier", false, true},
    {"pre_classifier.weight", "classifier", false, true},
    {"my_classifiers", "classifier", false, false},
};

START_TEST(names_are_compared_as_peft_does)
{
    ck_assert_int_eq(peft_module_ends_with(cases[_i].name, cases[_i].part), cases[_i].ends);
    ck_assert_int_eq(peft_module_lies_in(cases[_i].name, cases[_i].part), cases[_i].lies);
}
END_TEST

static const char *const modules[] = {"bert.layer.0.attention.query", "bert.layer.0.attention.key",
                                      "bert.layer.1.attention.query", "bert.pooler.dense", "classifier"};
static const peft_names names = {modules, 5, sizeof *modules};

static const struct {
    const char *pattern, *message;
} unmatched[] = {
    {"qeury", "target_modules: \"qeury\" matches none of 5 modules; did you mean \"query\"? Their names end in: query, "
              "key, dense, classifier"},
    {"attention.kee", "did you mean \"attention.key\"?"},
    {"bert.pooler.dence", "did you mean \"bert.pooler.dense\"?"},
    {"up_proj_of_nothing", "matches none of 5 modules. Their names end in: query"},
};

START_TEST(what_matches_nothing_is_told_with_what_is_near)
{
    peft_error error = {0};
    ck_assert_int_eq(peft_fail_unmatched(&error, "target_modules", unmatched[_i].pattern, &names), PEFT_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, unmatched[_i].message) != NULL, "found: %s", error.message);
}
END_TEST

TEST_MAIN("module_name", tcase_add_loop_test(tc, names_are_compared_as_peft_does, 0, sizeof cases / sizeof *cases);
          tcase_add_loop_test(tc, what_matches_nothing_is_told_with_what_is_near, 0,
                              sizeof unmatched / sizeof *unmatched))
