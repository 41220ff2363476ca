/* Tests of io/yaml.c: each text means the JSON beside it; what a configuration needs not is refused with its line. */
#include "io/yaml.h"

#include <check.h>
#include <string.h>

#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"

static peft_error error;

static const struct {
    const char *yaml, *json;
} meanings[] = {
    {"", "null"},
    {"# nothing\n", "null"},
    {"---\n...\n", "null"},
    {"a: 1\nb: [x, 2.5, null]\nc:\n  - d: true\n  - {e: ~}\n",
     "{\"a\":1,\"b\":[\"x\",2.5,null],\"c\":[{\"d\":true},{\"e\":null}]}"},
    {"--- {a: 1} # end\n", "{\"a\":1}"},
    {"[~, null, Null, NULL, '', nUll]", "[null,null,null,null,\"\",\"nUll\"]"},
    {"[true, True, TRUE, tRue, yes, on, y]", "[true,true,true,\"tRue\",\"yes\",\"on\",\"y\"]"},
    {"[false, False, FALSE, no, off]", "[false,false,false,\"no\",\"off\"]"},
    {"[0, -3, +3, 010, 0x1F, 0o17]", "[0,-3,3,10,31,15]"},
    {"[9223372036854775807, -9223372036854775808]", "[9223372036854775807,-9223372036854775808]"},
    {"[1e-4, .5, 1., -0.25, +2.5E+3, 1e3]", "[0.0001,0.5,1.0,-0.25,2500.0,1000.0]"},
    {"[1_000, 0b1, 0x, 0o8, '.', e5, 1e, 1.2.3, +, 12a, -0x1]",
     "[\"1_000\",\"0b1\",\"0x\",\"0o8\",\".\",\"e5\",\"1e\",\"1.2.3\",\"+\",\"12a\",\"-0x1\"]"},
    {"['1', \"2.5\", 'true', \"~\"]", "[\"1\",\"2.5\",\"true\",\"~\"]"},
    {"[2024-01-01, 12:30:45]", "[\"2024-01-01\",\"12:30:45\"]"},
    {"1: a\ntrue: b\n~: c\n", "{\"1\":\"a\",\"true\":\"b\",\"~\":\"c\"}"},
    {"a: |\n  x\n   y\nb: >-\n  x\n  y\n", "{\"a\":\"x\\n y\\n\",\"b\":\"x y\"}"},
    {"a: \"tab\\there, \\u00e9\"\n", "{\"a\":\"tab\\there, \\u00e9\"}"},
    {"a:\tb\n", "{\"a\":\"b\"}"},
    {"z: 1\na: 2\n", "{\"z\":1,\"a\":2}"},
};

START_TEST(text_means_the_same_as_json)
{
    json_t *root, *expected = json_loads(meanings[_i].json, JSON_DECODE_ANY, NULL);
    const char *text = meanings[_i].yaml;
    ck_assert_msg(peft_yaml_parse(text, strlen(text), "c.yaml", &root, &error) == PEFT_OK, "%s", error.message);
    char *found = json_dumps(root, JSON_ENCODE_ANY), *wanted = json_dumps(expected, JSON_ENCODE_ANY);
    ck_assert_str_eq(found, wanted); /* as text, so that 1 and 1.0 differ and order counts */
    free(found);
    free(wanted);
    json_decref(expected);
    json_decref(root);
}
END_TEST

static const struct {
    const char *yaml, *message;
} refused[] = {
    {"a: 1\nb: &x 2\n", "c.yaml:2: anchors"},
    {"a: &x [1]\n", "c.yaml:1: anchors"},
    {"a: &x {b: 1}\n", "c.yaml:1: anchors"},
    {"&x a: 1\n", "c.yaml:1: anchors"},
    {"a: 1\nb: *x\n", "c.yaml:2: aliases"},
    {"*x : 1\n", "c.yaml:1: expected a key"},
    {"a: !!str 1\n", "c.yaml:1: tags"},
    {"a: !mine [1]\n", "c.yaml:1: tags"},
    {"!!map {a: 1}\n", "c.yaml:1: tags"},
    {"a: 1\n---\nb: 2\n", "c.yaml:3: expected one document"},
    {"a: 1\nb: 2\na: 3\n", "c.yaml:3: the key \"a\" comes twice"},
    {"a: {b: 1,\n b: 2}\n", "c.yaml:2: the key \"b\" comes twice"},
    {"a:\n\tb: 1\n", "c.yaml:2: indented with a tab"},
    {"a:\n  b: 1\n \tc: 2\n", "c.yaml:3: indented with a tab"},
    {"? [a]\n: 1\n", "c.yaml:1: expected a key"},
    {"{a: 1}: 2\n", "c.yaml:1: expected a key"},
    {"a: .inf\n", "c.yaml:1: expected a finite number"},
    {"a: -.INF\n", "c.yaml:1: expected a finite number"},
    {"a: .nan\n", "c.yaml:1: expected a finite number"},
    {"a: 9223372036854775808\n", "c.yaml:1: expected an integer of 64 bits"},
    {"a: 1e999\n", "c.yaml:1: expected a number of double precision"},
    {"a: \"x\\0y\"\n", "c.yaml:1: a string may not hold"},
    {"\"x\\0y\": 1\n", "c.yaml:1: a string may not hold"},
    {"a: [1, 2\nb: 3\n", "c.yaml:2: "},
    {"a: 1\n  b: 2\n", "c.yaml:2: "},
    {"a: \"x\n", "c.yaml:"},
    {"a: \xff\n", "c.yaml: byte 3: "},
    {"%YAML 3.0\n---\na: 1\n", "c.yaml:1: "},
};

START_TEST(the_rest_is_refused_with_its_line)
{
    json_t *root;
    const char *text = refused[_i].yaml;
    ck_assert_int_eq(peft_yaml_parse(text, strlen(text), "c.yaml", &root, &error), PEFT_ERR_FORMAT);
    ck_assert_ptr_null(root);
    ck_assert_msg(strstr(error.message, refused[_i].message) == error.message, "'%s' is not '%s…'", error.message,
                  refused[_i].message);
}
END_TEST

/* `depth` lists, one in the other. */
static peft_status parse_nested(size_t depth)
{
    char text[2 * (PEFT_YAML_MAX_DEPTH + 1)];
    json_t *root;
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    peft_status status = peft_yaml_parse(text, 2 * depth, "deep", &root, &error);
    json_decref(root);
    return status;
}

START_TEST(nesting_is_bounded)
{
    ck_assert_int_eq(parse_nested(PEFT_YAML_MAX_DEPTH), PEFT_OK);
    ck_assert_int_eq(parse_nested(PEFT_YAML_MAX_DEPTH + 1), PEFT_ERR_FORMAT);
    ck_assert_str_eq(error.message, "deep:1: lists and objects are nested too deeply");
}
END_TEST

START_TEST(size_is_bounded)
{
    json_t *root;
    ck_assert_int_eq(peft_yaml_parse(NULL, PEFT_YAML_MAX_BYTES + 1, "big", &root, &error), PEFT_ERR_FORMAT);
    ck_assert_str_eq(error.message, "big: expected YAML of at most 1048576 bytes, found 1048577");
}
END_TEST

START_TEST(files_are_loaded_by_name)
{
    json_t *root;
    ck_assert_int_eq(peft_yaml_load(scratch_write("c.yaml", "rank: 8\n", 8), &root, &error), PEFT_OK);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "rank")), 8);
    json_decref(root);
    ck_assert_int_eq(peft_yaml_load(scratch("no.yaml"), &root, &error), PEFT_ERR_FILE);
    ck_assert_ptr_null(root);
}
END_TEST

START_TEST(each_part_knows_its_line)
{
    static const char text[] = "# two tasks\n- name: a\n  files:\n    train: x\n    dev: {b: 1,\n      c: 2}\n\n- 3\n";
    json_t *root;
    peft_yaml_lines lines;
    ck_assert_int_eq(peft_yaml_load_lines(scratch_write("t.yaml", text, sizeof text - 1), &root, &lines, &error),
                     PEFT_OK);
    json_t *first = json_array_get(root, 0), *files = json_object_get(first, "files"),
           *dev = json_object_get(files, "dev");
    ck_assert_uint_eq(peft_yaml_line_of_item(&lines, root, 0), 2);
    ck_assert_uint_eq(peft_yaml_line_of_item(&lines, root, 1), 8);
    ck_assert_uint_eq(peft_yaml_line_of_item(&lines, root, 2), 0);
    ck_assert_uint_eq(peft_yaml_line_of_key(&lines, first, "name"), 2);
    ck_assert_uint_eq(peft_yaml_line_of_key(&lines, first, "files"), 3);
    ck_assert_uint_eq(peft_yaml_line_of_key(&lines, files, "train"), 4);
    ck_assert_uint_eq(peft_yaml_line_of_key(&lines, files, "dev"), 5);
    ck_assert_uint_eq(peft_yaml_line_of_key(&lines, dev, "c"), 6);
    ck_assert_uint_eq(peft_yaml_line_of_key(&lines, dev, "d"), 0);
    json_decref(root);
    peft_yaml_lines_free(&lines);
    ck_assert_int_eq(peft_yaml_load_lines(scratch_write("t.yaml", "a: 1\na: 2\n", 10), &root, &lines, &error),
                     PEFT_ERR_FORMAT);
    ck_assert_ptr_null(lines.entries);
}
END_TEST

/* libyaml's own allocations are out of the test's reach. */
START_TEST(running_out_of_memory_is_reported)
{
    static const char text[] = "a: 1\nb: [x, 2.5, null, 'y']\nc:\n  - d: true\n";
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        json_t *root;
        fail_allocation(call);
        peft_status status = peft_yaml_parse(text, sizeof text - 1, "c.yaml", &root, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        json_decref(root);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("yaml");
    tcase_add_checked_fixture(tests, scratch_setup, scratch_teardown);
    tcase_add_loop_test(tests, text_means_the_same_as_json, 0, sizeof meanings / sizeof meanings[0]);
    tcase_add_loop_test(tests, the_rest_is_refused_with_its_line, 0, sizeof refused / sizeof refused[0]);
    tcase_add_test(tests, nesting_is_bounded);
    tcase_add_test(tests, size_is_bounded);
    tcase_add_test(tests, files_are_loaded_by_name);
    tcase_add_test(tests, each_part_knows_its_line);
    tcase_add_test(tests, running_out_of_memory_is_reported);
    return run_tests(tests);
}
