#include "variants/pattern.h"

#include <string.h>

#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

/* What Python's re.fullmatch(pattern, name) and re.match(rf"(.*\.)?({pattern})$", name) say. */
static const struct {
    peft_pattern_kind kind;
    const char *pattern, *name;
    bool matches;
} cases[] = {
    {PEFT_PATTERN_FULL, ".*\\.(query|dense)", "bert.encoder.layer.0.attention.self.query", true},
    {PEFT_PATTERN_FULL, ".*\\.(query|dense)", "bert.encoder.layer.0.attention.self.query.x", false},
    {PEFT_PATTERN_FULL, "query|dense", "dense", true},
    {PEFT_PATTERN_FULL, "query|dense", "query.dense", false},
    {PEFT_PATTERN_FULL, "query", "a.query", false},
    {PEFT_PATTERN_FULL, "", "", true},
    {PEFT_PATTERN_FULL, "", "a", false},
    {PEFT_PATTERN_FULL, "(?P<part>a)(?P=part)", "aa", true},
    {PEFT_PATTERN_FULL, "[^\\W\\d]+\\.\\d+", "sch\303\266n.7", true},
    {PEFT_PATTERN_SUFFIX, "query", "query", true},
    {PEFT_PATTERN_SUFFIX, "query", "layer.0.query", true},
    {PEFT_PATTERN_SUFFIX, "query", "layer.0.my_query", false},
    {PEFT_PATTERN_SUFFIX, "query", "layer.0.query.dense", false},
    {PEFT_PATTERN_SUFFIX, "layer\\.1\\.output\\.dense", "bert.encoder.layer.1.output.dense", true},
    {PEFT_PATTERN_SUFFIX, "layer.1.output.dense", "bert.encoder.layer.11.output.dense", false},
    {PEFT_PATTERN_SUFFIX, "key|value", "a.value", true},
    {PEFT_PATTERN_PREFIX, "bert\\.", "bert.pooler", true},
    {PEFT_PATTERN_PREFIX, "pooler", "bert.pooler", false},
};

START_TEST(patterns_match_as_in_python)
{
    peft_pattern *pattern;
    peft_error error = {0};
    bool matches;
    ck_assert_msg(!peft_pattern_compile(&pattern, cases[_i].kind, cases[_i].pattern, &error), "%s", error.message);
    ck_assert_msg(!peft_pattern_match(pattern, cases[_i].name, &matches, &error), "%s", error.message);
    ck_assert_msg(matches == cases[_i].matches, "\"%s\" and \"%s\": expected %d", cases[_i].pattern, cases[_i].name,
                  cases[_i].matches);
    peft_pattern_free(pattern);
}
END_TEST

static const struct {
    const char *pattern, *message;
} malformed[] = {
    {"a(b", "pattern \"a(b\": at character 3: missing closing parenthesis"},
    {"a)(b", "pattern \"a)(b\": at character 1: unmatched closing parenthesis"},
    {"*.query", "pattern \"*.query\": at character 0: quantifier does not follow a repeatable item"},
    {"[z-a]", "pattern \"[z-a]\": at character 3: range out of order in character class"},
    {"\377", "UTF-8 error"},
};

START_TEST(malformed_patterns_are_shown_with_place_and_reason)
{
    peft_pattern *pattern;
    peft_error error = {0};
    ck_assert_int_eq(peft_pattern_compile(&pattern, PEFT_PATTERN_FULL, malformed[_i].pattern, &error),
                     PEFT_ERR_ARGUMENT);
    ck_assert_ptr_null(pattern);
    ck_assert_msg(strstr(error.message, malformed[_i].message) != NULL, "found: %s", error.message);
}
END_TEST

START_TEST(a_pattern_that_takes_forever_is_given_up)
{
    peft_pattern *pattern;
    peft_error error = {0};
    bool matches = true;
    ck_assert(!peft_pattern_compile(&pattern, PEFT_PATTERN_FULL, "(a|a|aa)*[bd]", &error));
    ck_assert_int_eq(peft_pattern_match(pattern, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", &matches, &error),
                     PEFT_ERR_ARGUMENT);
    ck_assert(!matches);
    ck_assert_ptr_nonnull(strstr(error.message, "given up on"));
    peft_pattern_free(pattern);
}
END_TEST

START_TEST(the_first_group_gives_a_number)
{
    peft_pattern *pattern;
    int64_t number;
    ck_assert(!peft_pattern_compile(&pattern, PEFT_PATTERN_PREFIX, ".*?\\.[^.]*\\.(\\d+)\\.", NULL));
    ck_assert(!peft_pattern_number(pattern, "bert.encoder.layer.11.attention.12.query", &number, NULL));
    ck_assert_int_eq(number, 11);
    ck_assert(!peft_pattern_number(pattern, "bert.pooler.dense", &number, NULL));
    ck_assert_int_eq(number, -1);
    peft_pattern_free(pattern);
}
END_TEST

static int64_t value_of(peft_pattern_map *map, const char *name)
{
    const json_t *value;
    ck_assert(!peft_pattern_map_find(map, name, &value, NULL));
    return value ? json_integer_value(value) : 0;
}

START_TEST(the_first_key_of_a_map_counts)
{
    json_t *object = json_loads("{\"z\\\\.query\": 1, \"query\": 2, \"a.query\": 3, \"key\": 4}", 0, NULL);
    peft_pattern_map map;
    ck_assert(!peft_pattern_map_open(&map, object, NULL));
    ck_assert_int_eq(value_of(&map, "z.query"), 1);
    ck_assert_int_eq(value_of(&map, "a.query"), 2);
    ck_assert_int_eq(value_of(&map, "value"), 0);
    const bool matched[] = {true, true, true, false};
    for (size_t n = 0; n < map.count; n++) ck_assert_int_eq(map.entries[n].matched, matched[n]);
    peft_pattern_map_close(&map);
    json_decref(object);
    ck_assert(!peft_pattern_map_open(&map, NULL, NULL));
    ck_assert_int_eq(value_of(&map, "query"), 0);
    peft_pattern_map_close(&map);
}
END_TEST

START_TEST(maps_survive_a_failing_allocator)
{
    json_t *object = json_loads("{\"query\": 2, \"key\": 4}", 0, NULL);
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_pattern_map map;
        const json_t *value;
        fail_allocation(call);
        peft_status status = peft_pattern_map_open(&map, object, NULL);
        if (status == PEFT_OK) status = peft_pattern_map_find(&map, "key", &value, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        peft_pattern_map_close(&map);
    }
    json_decref(object);
}
END_TEST

TEST_MAIN("pattern", tcase_add_loop_test(tc, patterns_match_as_in_python, 0, sizeof cases / sizeof *cases);
          tcase_add_loop_test(tc, malformed_patterns_are_shown_with_place_and_reason, 0,
                              sizeof malformed / sizeof *malformed);
          tcase_add_test(tc, a_pattern_that_takes_forever_is_given_up);
          tcase_add_test(tc, the_first_group_gives_a_number); tcase_add_test(tc, the_first_key_of_a_map_counts);
          tcase_add_test(tc, maps_survive_a_failing_allocator))
